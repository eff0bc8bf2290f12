//! `coffer points`.

use clap::Args;
use coffer_engine::catalog::{list_points, volume_names};

use crate::documents::points::{PointRow, PointsDocument};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{FilterOptions, KeyOptions, RepositoryOptions};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer points --repo file:///srv/backup
  coffer points --repo file:///srv/backup --plan web --since 2026-11-01T00:00:00Z --json";

/// Options of `points`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PointsArguments {
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,
    #[command(flatten)]
    filter: FilterOptions,
}

pub(crate) fn run(session: &Session, arguments: &PointsArguments) -> Result<ExitStatus, CliError> {
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let mut rows = Vec::new();
    let mut points = list_points(&repository, &arguments.filter.filter())?;
    if points.windows(2).any(|pair| matches!(pair, [a, b] if a.plan != b.plan)) {
        // Only within a plan is there an order that no clock has a say in.
        points.sort_by_key(|point| point.summary.time);
    }
    for entry in points {
        let volumes = volume_names(&repository, &entry)?;
        rows.push(PointRow::new(entry, volumes));
    }
    if rows.is_empty() {
        session.output.remark("no recovery point matches");
    }
    session.output.show(&PointsDocument(rows))?;
    Ok(ExitStatus::Done)
}
