//! `coffer plugin`: for authors of plugins.

mod check;

use clap::Subcommand;

use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;

/// The verbs of `plugin`.
#[derive(Subcommand, Debug)]
pub(crate) enum PluginVerb {
    /// Hold a running plugin against the rules for plugins
    Check(check::CheckArguments),
}

pub(crate) fn run(session: &Session, verb: &PluginVerb) -> Result<ExitStatus, CliError> {
    match verb {
        PluginVerb::Check(arguments) => check::run(session, arguments),
    }
}
