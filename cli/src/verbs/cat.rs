//! `coffer cat`: what is inside of a stored object, as JSON. It decodes and checks; it never prints a volume's data or a secret.

pub(crate) mod object;

mod config;
mod manifest;
mod map;
mod map_pages;
mod options;
mod pack;

use clap::Subcommand;

use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;

/// What is looked into.
#[derive(Subcommand, Debug)]
pub(crate) enum CatVerb {
    /// A manifest, by its object key or the point's id
    Manifest(manifest::ManifestArguments),
    /// A map: header, root and extents
    Map(map::MapArguments),
    /// A pack: header, footer and block index
    Pack(pack::PackArguments),
    /// The repository's configuration
    Config(config::ConfigArguments),
}

pub(crate) fn run(session: &Session, verb: &CatVerb) -> Result<ExitStatus, CliError> {
    match verb {
        CatVerb::Manifest(arguments) => manifest::run(session, arguments),
        CatVerb::Map(arguments) => map::run(session, arguments),
        CatVerb::Pack(arguments) => pack::run(session, arguments),
        CatVerb::Config(arguments) => config::run(session, arguments),
    }
}
