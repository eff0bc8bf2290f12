//! `coffer prune`.

use clap::Args;
use coffer_engine::{PruneRequest, run_prune};
use coffer_format::{Id, Label};

use crate::documents::prune::PruneDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{KeyOptions, RepositoryOptions};
use crate::session::Session;
use crate::values;

const EXAMPLES: &str = "\
Examples:
  coffer prune --repo file:///srv/backup --dry-run
  coffer prune --repo file:///srv/backup
  coffer prune --repo file:///srv/backup --abandoned 01jd3k5x6v8q2m4n7p9r0s1t2w

Only what no point needs is deleted. What an unfinished backup wrote goes once a later complete point of its plan stands, or when
its id is given with --abandoned; name only runs that will never finish.";

/// Options of `prune`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PruneArguments {
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,

    /// Only this team
    #[arg(long, value_name = "T", value_parser = values::format_value::<Label>)]
    team: Option<Label>,

    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,

    /// An unfinished backup that will never finish; may be repeated
    #[arg(long, value_name = "POINT", value_parser = values::format_value::<Id>)]
    abandoned: Vec<Id>,
}

pub(crate) fn run(session: &Session, arguments: &PruneArguments) -> Result<ExitStatus, CliError> {
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let request = PruneRequest {
        team: arguments.team.clone(),
        dry_run: arguments.dry_run,
        abandoned: arguments.abandoned.iter().copied().collect(),
    };
    let report = run_prune(&repository, &request)?;
    session.output.show(&PruneDocument::new(report, arguments.dry_run, session.duration_ms()))?;
    Ok(ExitStatus::Done)
}
