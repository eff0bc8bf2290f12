//! `coffer hold`.

use clap::Args;
use coffer_engine::catalog::Filter;
use coffer_engine::{hold, release};

use crate::documents::forget::HoldDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{KeyOptions, PointArgument, RepositoryOptions};
use crate::selection::point_by_id;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer hold --repo file:///srv/backup 01jd3k5x6v8q2m4n7p9r0s1t2w --note 'audit 2026'
  coffer hold --repo file:///srv/backup 01jd3k5x6v8q2m4n7p9r0s1t2w --release";

/// Options of `hold`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct HoldArguments {
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,
    #[command(flatten)]
    point: PointArgument,

    /// End all holds of the point
    #[arg(long, conflicts_with = "note")]
    release: bool,

    /// Why it is held
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

pub(crate) fn run(session: &Session, arguments: &HoldArguments) -> Result<ExitStatus, CliError> {
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let point = point_by_id(&repository, &Filter::default(), arguments.point.point)?;
    let released = if arguments.release {
        release(&repository, &point)? as u64
    } else {
        hold(&repository, &point, &arguments.note)?;
        0
    };
    session.output.show(&HoldDocument { point: point.id, held: !arguments.release, released })?;
    Ok(ExitStatus::Done)
}
