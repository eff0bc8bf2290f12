//! One backup from start to end, in the order that the protocol needs: look, store data, store the manifest, check.
//!
//! Rules of the protocol are named as in the model (`coffer-sim`).

use coffer_format::{Manifest, object_key};

use super::commit;
use super::open_point::{OpenedRun, open};
use super::point::{OpenPoint, PointRequest};
use super::point_reference::{exists, explain_end, read_parent};
use super::records::Wanted;
use super::report::report;
use super::request::{BackupReport, BackupRequest};
use super::volumes::{VolumesRequest, back_up, check_volumes};
use super::volumes_done::VolumesDone;
use crate::{EngineError, Repository, Resources};

/// Makes one recovery point of all volumes of the request: opens it, backs its volumes up and commits it.
///
/// When it returns a report, the point exists, was read back, and is safe from prune. When it returns an error no point was reported; what was
/// written is removed by `prune` once a later complete point stands.
pub fn run_backup(
    repository: &Repository,
    resources: &Resources,
    request: &BackupRequest,
) -> Result<BackupReport, EngineError> {
    repository.environment().cancel.explain(back_up_and_commit(repository, resources, request))
}

fn back_up_and_commit(
    repository: &Repository,
    resources: &Resources,
    request: &BackupRequest,
) -> Result<BackupReport, EngineError> {
    check_volumes(&request.volumes, request.lists.as_ref())?;
    let wanted = point_request(request);
    let (point, chain_context) = match open(repository, &wanted)? {
        OpenedRun::Repeated(report) => return Ok(*report),
        OpenedRun::New(point, chain_context) => (point, chain_context),
    };
    let volumes = VolumesRequest {
        reference: &point.reference,
        volumes: &request.volumes,
        changes: request.changes,
        lists: request.lists.as_ref(),
        block_size: request.block_size,
        compression: request.compression,
        progress: request.progress.as_ref(),
    };
    // What was read of the bucket a moment ago is not read again; the checks of the commit are made in any case.
    let done = back_up(repository, resources, &volumes, &chain_context);
    let committed = done.and_then(|done| {
        commit_collected(repository, &wanted, &point, vec![done], chain_context.parent.as_ref())
    });
    committed.map_err(|error| explain_end(repository, &point.reference, error))
}

/// Commits an open point with the volumes that came back; the request is the one that opened it.
///
/// A volume of the request without a record becomes a failed one, so that the point is partial. When this returns a report, the point exists,
/// was read back, and is safe from prune. A point is committed once: after an error that leaves open whether it stands, open a new one with
/// the same idempotency key, which finds it if it does.
///
/// # Errors
/// [`EngineError::Record`] where a record is forged or of another point, [`EngineError::Refused`] where one is doubled or of no volume of the
/// request: nothing was committed. [`EngineError::Fenced`] where the point, its parent or a run that was reused is being ended.
/// [`EngineError::AllVolumesFailed`] where no volume is there.
pub fn commit_point(
    repository: &Repository,
    request: &PointRequest,
    point: &OpenPoint,
    done: Vec<VolumesDone>,
) -> Result<BackupReport, EngineError> {
    let committed = commit_checked(repository, request, point, done);
    let committed = committed.map_err(|error| explain_end(repository, &point.reference, error));
    repository.environment().cancel.explain(committed)
}

fn commit_checked(
    repository: &Repository,
    request: &PointRequest,
    point: &OpenPoint,
    done: Vec<VolumesDone>,
) -> Result<BackupReport, EngineError> {
    let reference = &point.reference;
    repository.check_writing(&request.plan.team)?;
    if reference.plan != request.plan {
        return Err(EngineError::Refused(format!(
            "point {} was opened for plan {}, not for {}",
            reference.point, reference.plan, request.plan
        )));
    }
    if exists(repository, &object_key::manifest(&reference.plan, &reference.point))? {
        return Err(EngineError::Refused(format!(
            "point {} has a manifest already; a point is committed once",
            reference.point
        )));
    }
    let parent = reference.parent.map(|parent| read_parent(repository, reference, parent)).transpose()?;
    commit_collected(repository, request, point, done, parent.as_ref())
}

fn commit_collected(
    repository: &Repository,
    request: &PointRequest,
    point: &OpenPoint,
    done: Vec<VolumesDone>,
    parent: Option<&Manifest>,
) -> Result<BackupReport, EngineError> {
    let wanted = Wanted { repository, reference: &point.reference, volumes: &request.volumes, parent };
    let collected = wanted.collect_records(done, &request.resources)?;
    let written = collected.written;
    let manifest = commit::commit(repository, request, point, collected)?;
    Ok(report(repository, &manifest, &written))
}

fn point_request(request: &BackupRequest) -> PointRequest {
    PointRequest {
        plan: request.plan.clone(),
        volumes: request.volumes.iter().map(|volume| volume.name.clone()).collect(),
        type_wish: request.type_wish,
        full_every: request.full_every,
        resources: Vec::new(),
        resources_only: false,
        list_base: request.lists.as_ref().map(|lists| lists.base),
        snapshot_time: request.snapshot_time,
        idempotency_key: request.idempotency_key.clone(),
        description: request.description.clone(),
        tags: request.tags.clone(),
        writer: request.writer.clone(),
    }
}
