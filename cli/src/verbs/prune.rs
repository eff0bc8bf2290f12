//! `coffer prune`.

use clap::Args;
use coffer_engine::{PruneRequest, Repository, all_teams, run_prune};
use coffer_format::{Id, Label};

use crate::documents::prune::PruneDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::human;
use crate::options::{KeyOptions, RepositoryOptions};
use crate::plugins::PluginOptions;
use crate::session::Session;
use crate::stored_resources::prune_artefacts;
use crate::values;

const EXAMPLES: &str = "\
Examples:
  coffer prune --repo file:///srv/backup --dry-run
  coffer prune --repo file:///srv/backup
  coffer prune --repo file:///srv/backup --abandoned 01jd3k5x6v8q2m4n7p9r0s1t2w

Only what no point needs is deleted. What an unfinished backup wrote goes once a later complete point of its plan stands, or when
its id is given with --abandoned; name only runs that will never finish.

What plugins made for points that are gone they delete now, newest first. What they cannot delete stays written down; prune says so, ends with
status 3, and tries again the next time.";

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

    #[command(flatten)]
    plugins: PluginOptions,
}

pub(crate) fn run(session: &Session, arguments: &PruneArguments) -> Result<ExitStatus, CliError> {
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let request = PruneRequest {
        team: arguments.team.clone(),
        dry_run: arguments.dry_run,
        abandoned: arguments.abandoned.iter().copied().collect(),
    };
    let mut report = run_prune(&repository, &request)?;
    let teams = teams(&repository, arguments)?;
    let artefacts = prune_artefacts(&repository, &teams, &arguments.plugins, arguments.dry_run, &mut report)?;
    let left = artefacts.left;
    session.output.show(&PruneDocument::new(report, artefacts, arguments.dry_run, session.duration_ms()))?;
    if left == 0 || arguments.dry_run {
        return Ok(ExitStatus::Done);
    }
    let line = format!(
        "{} of points that went could not be deleted; the notices say why, prune tries again",
        human::count(left, "artefact")
    );
    Ok(session.output.close(ExitStatus::Partly, &line))
}

/// The teams whose points were pruned: one by name, the key's own, or all.
fn teams(repository: &Repository, arguments: &PruneArguments) -> Result<Vec<Label>, CliError> {
    if let Some(team) = arguments.team.as_ref().or(repository.team()) {
        return Ok(vec![team.clone()]);
    }
    Ok(all_teams(repository)?)
}
