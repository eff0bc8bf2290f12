//! What verify and prune do about resources of points.

use std::time::Duration;

use coffer_engine::catalog::{Filter, list_points, load_manifest};
use coffer_engine::{Problem, PruneReport, Repository, VerifyReport, left_artefacts, strike_off};
use coffer_format::{Id, Label, ResourceRecord, VolumeState};
use coffer_plugin_sdk::Reason;
use coffer_resources::{Registry, ResourceError, delete, verify};
use tokio::runtime::Runtime;

use crate::error::CliError;
use crate::plugins::{PluginOptions, discover, runtime};

/// How long one look or deletion may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Asks plugins about the resources of all points that match. What nobody can answer is a notice, what is not there any more a problem.
pub(crate) fn verify_resources(
    repository: &Repository,
    filter: &Filter,
    options: &PluginOptions,
    report: &mut VerifyReport,
) -> Result<(), CliError> {
    let mut plugins: Option<(Runtime, Registry)> = None;
    for point in list_points(repository, filter)? {
        // What cannot be read is told by the engine's own checks.
        let Ok(manifest) = load_manifest(repository, &point) else { continue };
        let resources = manifest.payload.resources;
        for record in resources.iter().filter(|record| record.state == VolumeState::Available) {
            if plugins.is_none() {
                let runtime = runtime()?;
                let registry = discover(&runtime, options)?;
                plugins = Some((runtime, registry));
            }
            let Some((runtime, registry)) = &plugins else { continue };
            note(report, point.id, record, runtime.block_on(verify(registry, record, TIMEOUT)));
        }
    }
    Ok(())
}

fn note(report: &mut VerifyReport, point: Id, record: &ResourceRecord, result: Result<(), ResourceError>) {
    let Err(error) = result else { return };
    let is_lost = matches!(error.reason(), Some(Reason::NotFound | Reason::Failed));
    if is_lost {
        report.problems.push(Problem {
            kind: "resource",
            key: record.reference.to_string(),
            detail: error.to_string(),
            points: vec![point],
        });
        return;
    }
    let text = format!("{} of point {point} was not checked: {error}", record.reference);
    if !report.notices.contains(&text) {
        report.notices.push(text);
    }
}

/// Artefacts of points that went.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    /// How many were deleted.
    pub(crate) deleted: u64,
    /// How many are there still.
    pub(crate) left: u64,
}

/// Lets plugins delete what they made for points that are gone, newest first. What cannot be deleted stays written down, and is told.
pub(crate) fn prune_artefacts(
    repository: &Repository,
    teams: &[Label],
    options: &PluginOptions,
    dry_run: bool,
    report: &mut PruneReport,
) -> Result<Pruned, CliError> {
    let mut pruned = Pruned::default();
    let mut left = Vec::new();
    for team in teams {
        left.extend(left_artefacts(repository, team)?);
    }
    if left.is_empty() || dry_run {
        pruned.left = left.iter().map(|point| point.resources.len() as u64).sum();
        return Ok(pruned);
    }
    let runtime = runtime()?;
    let registry = discover(&runtime, options)?;
    for point in left {
        let mut failed = 0;
        // Children stand behind their parents in a point, and go before them.
        for record in point.resources.iter().rev() {
            match runtime.block_on(delete(&registry, record, TIMEOUT)) {
                Ok(()) => pruned.deleted += 1,
                Err(error) => {
                    failed += 1;
                    report.notices.push(format!(
                        "artefact of {} of point {} stays, prune tries again: {error}",
                        record.reference, point.point
                    ));
                }
            }
        }
        pruned.left += failed;
        if failed == 0 {
            strike_off(repository, &point)?;
        }
    }
    Ok(pruned)
}
