//! `coffer key`: makes, checks, rotates and shows keys. Secrets go into files and nowhere else.

mod check;
mod make;
mod path;
mod rotate;

use clap::{Args, Subcommand};

use self::path::key_path;
use crate::documents::key::ShowKeyDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::key_files;
use crate::options::KeyOptions;
use crate::session::Session;

/// The verbs of `key`.
#[derive(Subcommand, Debug)]
pub(crate) enum KeyVerb {
    /// Make a team with keys of its own
    Team(make::TeamArguments),
    /// Make a writer key from the recovery key
    Writer(make::WriterArguments),
    /// Replace the recovery key; old points stay readable with the new one
    Rotate(rotate::RotateArguments),
    /// Check that a key fits the repository and opens every chain
    Check(check::CheckArguments),
    /// Show the public parts of a key file
    Show(ShowArguments),
}

/// Options of `key show`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  coffer key show --key recovery.key\n  coffer key show --key writer.key --json"
)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    key: KeyOptions,
}

pub(crate) fn run(session: &Session, verb: &KeyVerb) -> Result<ExitStatus, CliError> {
    match verb {
        KeyVerb::Team(arguments) => make::team(session, arguments),
        KeyVerb::Writer(arguments) => make::writer(session, arguments),
        KeyVerb::Rotate(arguments) => rotate::run(session, arguments),
        KeyVerb::Check(arguments) => check::run(session, arguments),
        KeyVerb::Show(arguments) => show(session, arguments),
    }
}

fn show(session: &Session, arguments: &ShowArguments) -> Result<ExitStatus, CliError> {
    let key = key_files::read(key_path(&arguments.key)?)?;
    session.output.show(&ShowKeyDocument::from(&key))?;
    Ok(ExitStatus::Done)
}
