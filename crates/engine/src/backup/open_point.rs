//! Opens a point: what it builds on, its id, and its place among the plan's points.
//!
//! Whoever opens a point (the coordinator) hands its point reference to those who back its volumes up, on this node or on others, and commits what
//! they bring back. What travels is plain data and proves nothing: each side holds it against what the bucket says.

use coffer_format::{Id, Timestamp};

use super::chain_context::{ChainContext, open_chain};
use super::choose::choose_type;
use super::list_checks::check_list_base;
use super::point::{OpenOutcome, OpenPoint, PointReference, PointRequest, check_names};
use super::report::{Written, report};
use super::request::BackupReport;
use crate::catalog::{Filter, PointEntry, list_points, load_manifest};
use crate::proof::{prove, prove_newest};
use crate::records::is_bad_object;
use crate::request_error::RequestError;
use crate::{EngineError, Repository};

/// As [`OpenOutcome`], with what was read of the bucket on the way.
pub(super) enum OpenedRun {
    New(OpenPoint, Box<ChainContext>),
    Repeated(Box<BackupReport>),
}

/// Opens a point: looks for one with the same idempotency key, chooses the type, and opens or continues a chain.
///
/// # Errors
/// [`EngineError::Refused`] where lists of changes begin at another point than the one that is built on, or an incremental was asked for and
/// cannot be made; [`EngineError::Usage`] where the request contradicts itself.
pub fn open_point(repository: &Repository, request: &PointRequest) -> Result<OpenOutcome, EngineError> {
    Ok(match repository.environment().cancel.explain(open(repository, request))? {
        OpenedRun::New(point, _) => OpenOutcome::New(point),
        OpenedRun::Repeated(report) => OpenOutcome::Repeated(report),
    })
}

/// The report of the point that an earlier call with the request's idempotency key made, if there is one. Changes nothing.
///
/// Whoever adopts a point that somebody else opened asks this first.
pub fn find_made(
    repository: &Repository,
    request: &PointRequest,
) -> Result<Option<BackupReport>, EngineError> {
    repository.check_writing(&request.plan.team)?;
    find_repeated(repository, request, &list_points(repository, &Filter::plan(&request.plan))?)
}

pub(super) fn open(repository: &Repository, request: &PointRequest) -> Result<OpenedRun, EngineError> {
    repository.check_writing(&request.plan.team)?;
    if !(request.volumes.is_empty() && request.resources_only) {
        check_names(request.volumes.iter())?;
    }
    let cancel = &repository.environment().cancel;
    cancel.check()?;
    // Those too that are not confirmed: the new point comes after all of them.
    let mut points = list_points(repository, &Filter { unconfirmed: true, ..Filter::plan(&request.plan) })?;
    if let Some(report) = find_repeated(repository, request, &points)? {
        return Ok(OpenedRun::Repeated(Box::new(report)));
    }
    let newest = prove_newest(repository, &mut points)?;
    let choice = choose_type(&points, request.type_wish, request.full_every)?;
    check_list_base(request.list_base, choice.parent.as_ref().map(|parent| parent.id))?;
    let environment = repository.environment();
    let started = environment.clock.now();
    let time = point_time(request, started)?;
    let run = environment.new_id_above(last_id(&points))?;
    cancel.check()?;
    let (reason, chain_context) =
        open_chain(repository, &request.plan, choice, run, newest.map(|newest| newest.id))?;
    let reference = PointReference {
        plan: request.plan.clone(),
        point: run,
        chain: chain_context.chain.id,
        parent: chain_context.parent.as_ref().map(|parent| parent.point),
    };
    let sequence = points.iter().map(|point| point.summary.sequence).max().unwrap_or(0).saturating_add(1);
    Ok(OpenedRun::New(OpenPoint { reference, reason, sequence, time, started }, Box::new(chain_context)))
}

/// The last id among points that are what they say: of those that only a name confirms, the newest was proven, and all with a later id.
fn last_id(points: &[PointEntry]) -> Option<Id> {
    points.iter().map(|point| point.id).max()
}

/// The time that is true, as far as this machine knows: the order of points is their sequence, so that no time has to be bent for it.
fn point_time(request: &PointRequest, now: Timestamp) -> Result<Timestamp, EngineError> {
    match request.snapshot_time {
        Some(time) if time > now => Err(RequestError::SnapshotInFuture { time, now }.into()),
        Some(time) => Ok(time),
        None => Ok(now),
    }
}

fn find_repeated(
    repository: &Repository,
    request: &PointRequest,
    points: &[PointEntry],
) -> Result<Option<BackupReport>, EngineError> {
    let Some(key) = &request.idempotency_key else { return Ok(None) };
    for point in points.iter().rev().filter(|point| point.confirmed) {
        repository.environment().cancel.check()?;
        let manifest = match load_manifest(repository, point) {
            Ok(manifest) => manifest,
            // Its damage is found by verify; it is no reason not to back up.
            Err(error) if is_bad_object(&error) => {
                repository.set_aside().report(&point.key, &error);
                continue;
            }
            Err(EngineError::Store(coffer_store::StoreError::NotFound { .. })) => continue,
            Err(error) => return Err(error),
        };
        if manifest.payload.idempotency_key.as_ref() == Some(key) {
            let is_proven = prove(repository, point.clone())?
                .is_some_and(|point| point.manifest == Some(manifest.seal.digest));
            if !is_proven {
                continue;
            }
            let mut report = report(repository, &manifest.payload, &Written::default());
            report.repeated = true;
            return Ok(Some(report));
        }
    }
    Ok(None)
}
