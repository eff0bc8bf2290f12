//! `coffer version`.

use clap::Args;
use coffer_format::FORMAT_VERSION;
use serde::Serialize;

use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::output::Document;
use crate::session::Session;
use crate::text::Text;

/// Options of `version`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  coffer version\n  coffer version --json")]
pub(crate) struct VersionArguments {}

#[derive(Debug, Serialize)]
struct VersionDocument {
    version: &'static str,
    format: u32,
}

impl Document for VersionDocument {
    fn text(&self) -> Text {
        Text::of(format_args!("coffer {}, repository format {}", self.version, self.format))
    }
}

pub(crate) fn run(session: &Session, _arguments: &VersionArguments) -> Result<ExitStatus, CliError> {
    session.output.show(&VersionDocument { version: program_version(), format: FORMAT_VERSION })?;
    Ok(ExitStatus::Done)
}

/// The program's version.
pub(crate) fn program_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
