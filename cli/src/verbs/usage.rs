//! `coffer usage`.

use clap::{Args, ValueEnum};
use coffer_engine::{UsageBy, usage};

use crate::documents::usage::UsageDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{FilterOptions, KeyOptions, RepositoryOptions};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer usage --repo file:///srv/backup
  coffer usage --repo file:///srv/backup --by volume --plan web --json";

/// Options of `usage`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct UsageArguments {
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,
    #[command(flatten)]
    filter: FilterOptions,

    /// What one row is
    #[arg(long, value_name = "WHAT", default_value = "team")]
    by: By,
}

/// What one row of usage is.
#[derive(ValueEnum, Debug, Clone, Copy)]
enum By {
    Team,
    Cluster,
    Namespace,
    Plan,
    Volume,
}

pub(crate) fn run(session: &Session, arguments: &UsageArguments) -> Result<ExitStatus, CliError> {
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let by = match arguments.by {
        By::Team => UsageBy::Team,
        By::Cluster => UsageBy::Cluster,
        By::Namespace => UsageBy::Namespace,
        By::Plan => UsageBy::Plan,
        By::Volume => UsageBy::Volume,
    };
    let rows = usage(&repository, &arguments.filter.filter(), by)?;
    if rows.is_empty() {
        session.output.remark("nothing is stored that matches");
    }
    session.output.show(&UsageDocument(rows))?;
    Ok(ExitStatus::Done)
}
