//! `coffer show`.

use clap::Args;
use coffer_engine::Repository;
use coffer_engine::catalog::{Filter, PointEntry, list_points, load_manifest};
use coffer_format::Id;

use crate::documents::show::{ShowDocument, Trust};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{KeyOptions, PointArgument, RepositoryOptions};
use crate::selection::point_by_id;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer show --repo file:///srv/backup 01jd3k5x6v8q2m4n7p9r0s1t2w
  coffer show --repo file:///srv/backup --key writer.key 01jd3k5x6v8q2m4n7p9r0s1t2w --json

With a key of the point's team the signature is checked.";

/// Options of `show`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,
    #[command(flatten)]
    point: PointArgument,
}

pub(crate) fn run(session: &Session, arguments: &ShowArguments) -> Result<ExitStatus, CliError> {
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let point = point_by_id(&repository, &Filter::default(), arguments.point.point)?;
    let manifest = load_manifest(&repository, &point)?.payload;
    let trust = match repository.team() {
        Some(team) if *team == manifest.team => Trust::Signature,
        _ if repository.is_encrypted() => Trust::Digest,
        _ => Trust::Unencrypted,
    };
    let chain_points = chain_points(&repository, &point)?;
    session.output.show(&ShowDocument::new(manifest, chain_points, trust))?;
    Ok(ExitStatus::Done)
}

fn chain_points(repository: &Repository, point: &PointEntry) -> Result<Vec<Id>, CliError> {
    let points = list_points(repository, &Filter::plan(&point.plan))?;
    Ok(points
        .iter()
        .filter(|other| other.summary.chain == point.summary.chain)
        .map(|other| other.id)
        .collect())
}
