//! Restores volumes of a point to devices or files of this node. Everything that speaks against a target is said before any is changed.

use std::path::PathBuf;

use coffer_engine::catalog::{Filter, PointEntry, load_manifest};
use coffer_engine::{EngineError, Repository, RestoreRequest, check_restore, find_point, run_restore};
use coffer_format::VolumeName;
use coffer_proto::checked::{RestoreMode, RestoreVolume, StartRestore, VolumeRef};
use coffer_store::RepositoryUrl;

use super::queue::Claim;
use super::record::{RestoreOutcome, RestoredVolume};
use super::run::Run;
use super::stores;
use super::volumes::{PreparedTarget, Sight, TargetRef, TargetUse};
use crate::errors::AgentError;

pub(super) fn run(run: &Run<'_>, request: &StartRestore) -> Result<RestoreOutcome, AgentError> {
    let repository = run.open_repository(&request.repository, &request.plan.team)?;
    repository.check_reading(&request.plan.team)?;
    refuse_inside(&stores::address(&request.repository.url)?, &request.volumes)?;
    let point = find_point(&repository, &Filter::plan(&request.plan), request.point)?;
    let refs: Vec<&VolumeRef> = request.volumes.iter().map(|volume| &volume.target).collect();
    let sight = run.look(&refs)?;
    let prepared = prepare(run, &*sight, &repository, &point, &request.volumes)?;
    // A new file has its name at once, so that a later attempt finds it; so nothing is made before all volumes were looked at.
    let names: Vec<VolumeName> = request.volumes.iter().map(|volume| volume.name.clone()).collect();
    check_restore(&repository, run.resources, &point, &names)?;
    let volumes = open(run, &*sight, &request.volumes, prepared)?;
    drop(sight);
    let wanted = RestoreRequest { point: &point, volumes, progress: run.progress };
    let report = run_restore(&repository, run.resources, &wanted)?;
    let volumes = report.volumes.into_iter().map(|volume| RestoredVolume {
        name: volume.name.to_string(),
        target: volume.target,
        size: volume.size,
        fetched: volume.fetched,
        written: volume.written,
        skipped: volume.skipped,
        zeroed: volume.zeroed,
        cut: volume.cut,
        tail: volume.tail,
    });
    Ok(RestoreOutcome { volumes: volumes.collect(), requests: repository.store().requests().into() })
}

/// Holds every target, with the size that its volume has in the point.
fn prepare(
    run: &Run<'_>,
    sight: &dyn Sight,
    repository: &Repository,
    point: &PointEntry,
    volumes: &[RestoreVolume],
) -> Result<Vec<Box<dyn PreparedTarget>>, AgentError> {
    let manifest = load_manifest(repository, point)?.payload;
    let mut prepared = Vec::new();
    for volume in volumes {
        let record =
            manifest.volume_records().find(|record| record.name == volume.name).ok_or_else(|| {
                let names: Vec<String> =
                    manifest.volume_records().map(|record| record.name.to_string()).collect();
                let names = names.join(", ");
                EngineError::NotFound(format!(
                    "point {} has no volume {}; it has {names}",
                    point.id, volume.name
                ))
            })?;
        let target = TargetRef { name: &volume.name, target: &volume.target, size_bytes: record.size };
        let wish = wish(run, sight, volume)?;
        prepared.push(sight.prepare_target(&target, wish)?);
    }
    Ok(prepared)
}

/// What may be done with a target: what the request says, and going on in one that an earlier attempt began to write.
fn wish(run: &Run<'_>, sight: &dyn Sight, volume: &RestoreVolume) -> Result<TargetUse, AgentError> {
    let begun = run.targets_begun.get(volume.name.as_ref());
    let is_ours = match begun {
        None => false,
        Some(begun) => *begun == identity(&sight.claims(&volume.target)?),
    };
    Ok(match volume.mode {
        _ if is_ours => {
            run.info(format!(
                "volume {} goes on in {}, which an earlier attempt began",
                volume.name, volume.target
            ));
            TargetUse::InPlace
        }
        RestoreMode::New => TargetUse::New,
        RestoreMode::Overwrite => TargetUse::Overwrite,
        RestoreMode::InPlace => TargetUse::InPlace,
    })
}

/// Makes or empties the targets, and remembers each before a byte of the point is written to it.
fn open(
    run: &Run<'_>,
    sight: &dyn Sight,
    volumes: &[RestoreVolume],
    prepared: Vec<Box<dyn PreparedTarget>>,
) -> Result<Vec<coffer_engine::RestoreVolume>, AgentError> {
    let mut opened = Vec::new();
    for (volume, target) in volumes.iter().zip(prepared) {
        let (target, mode) = target.open()?;
        let is = identity(&sight.claims(&volume.target)?);
        run.registry.remember_target(run.id, volume.name.as_ref(), is)?;
        run.info(format!("restores volume {} to {}", volume.name, volume.target));
        opened.push(coffer_engine::RestoreVolume {
            name: volume.name.clone(),
            target: Some(target),
            label: volume.target.to_string(),
            mode,
            write_all_zeroes: false,
        });
    }
    Ok(opened)
}

/// What a target is, so that another one of the same name is told apart.
fn identity(claims: &[Claim]) -> String {
    let names: Vec<&str> = claims.iter().map(|claim| claim.name.as_str()).collect();
    names.join(" ")
}

/// Refuses targets inside of the repository's own directory.
fn refuse_inside(url: &RepositoryUrl, volumes: &[RestoreVolume]) -> Result<(), AgentError> {
    let RepositoryUrl::File { root } = url else { return Ok(()) };
    let real = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let root = real(root);
    for volume in volumes {
        let VolumeRef::Path(path) = &volume.target else { continue };
        if real(path).starts_with(&root)
            || path.parent().is_some_and(|parent| real(parent).starts_with(&root))
        {
            return Err(AgentError::Refused(format!(
                "volume {}: its target {} lies in the repository itself; choose another place",
                volume.name,
                path.display()
            )));
        }
    }
    Ok(())
}
