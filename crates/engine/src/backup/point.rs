//! Opens a point: what it builds on, its id, and its place among the plan's points.
//!
//! Whoever opens a point (the coordinator) hands its point reference to those who back its volumes up, on this node or on others, and commits what
//! they bring back. What travels is plain data and proves nothing: each side holds it against what the bucket says.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Id, PlanId, Reason, Timestamp, VolumeName};

use super::chain_context::{ChainContext, open_chain};
use super::choose::{TypeWish, choose_type};
use super::list_checks::check_list_base;
use super::report::{Written, report};
use super::request::BackupReport;
use crate::catalog::{Filter, PointEntry, list_points, load_manifest};
use crate::proof::{prove, prove_newest};
use crate::records::is_bad_object;
use crate::{EngineError, Repository};

/// Most volumes of one point.
const VOLUMES_MAX: usize = 256;

/// A point to make, as its coordinator knows it. The same request opens and commits it.
#[derive(Debug, Clone)]
pub struct PointRequest {
    /// The plan that the point belongs to.
    pub plan: PlanId,
    /// Names of the volumes, in the order of the manifest: 1 to 256, each once.
    pub volumes: Vec<VolumeName>,
    /// Full, incremental or by the plan's rhythm.
    pub type_wish: TypeWish,
    /// Complete points in a chain before the next full, 1-256.
    pub full_every: u32,
    /// The point that lists of changes begin at, if there are any; refused unless it is the one that is built on.
    pub list_base: Option<Id>,
    /// When the sources were frozen, if earlier than now.
    pub snapshot_time: Option<Timestamp>,
    /// A key that makes a repeated call return the first call's point.
    pub idempotency_key: Option<String>,
    /// Free text.
    pub description: String,
    /// Free key-value pairs.
    pub tags: BTreeMap<String, String>,
    /// Program and version, for the manifest.
    pub writer: String,
}

/// What whoever backs up volumes of an open point must know; all else is read from the repository.
///
/// A point reference names a point and gives no right to anything. It is used once for each volume: objects are never written twice, so what was
/// cut off is taken up under a new point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointReference {
    /// The plan.
    pub plan: PlanId,
    /// The point that is being made.
    pub point: Id,
    /// Its chain: the parent's; without a parent the point's own id, or the id of an unfinished run that opened it.
    pub chain: Id,
    /// The complete point that is built on; `None` makes a full.
    pub parent: Option<Id>,
}

impl PointReference {
    /// The unfinished run whose chain the point goes on with, if it is not its parent's and not its own. The chain's key belongs to that run, so
    /// it counts as taken over whether its packs are used or not.
    pub fn adopted_chain(&self) -> Option<Id> {
        (self.parent.is_none() && self.chain != self.point).then_some(self.chain)
    }
}

/// A point that was opened and not committed. Plain data: its coordinator may write it down, die, and commit after that.
///
/// Nothing of it is in the bucket but, of a new chain, the chain's key. One that is never committed is an unfinished run like any other: later
/// runs take its packs over, and prune removes the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPoint {
    /// What is handed to those who back the volumes up.
    pub reference: PointReference,
    /// Why it is a full or an incremental.
    pub reason: Reason,
    /// Its number within the plan.
    pub sequence: u64,
    /// The point in time that it shows.
    pub time: Timestamp,
    /// When it was opened.
    pub started: Timestamp,
}

/// What came of the wish for a point.
#[derive(Debug)]
pub enum OpenOutcome {
    /// It is open.
    New(OpenPoint),
    /// An earlier call with the same idempotency key made it; nothing is left to do.
    Repeated(Box<BackupReport>),
}

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
    check_names(request.volumes.iter())?;
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
    let (reason, basis) = open_chain(repository, &request.plan, choice, run, newest.map(|newest| newest.id))?;
    let reference = PointReference {
        plan: request.plan.clone(),
        point: run,
        chain: basis.chain.id,
        parent: basis.parent.as_ref().map(|parent| parent.point),
    };
    let sequence = points.iter().map(|point| point.summary.sequence).max().unwrap_or(0).saturating_add(1);
    Ok(OpenedRun::New(OpenPoint { reference, reason, sequence, time, started }, Box::new(basis)))
}

/// An error unless there is at least one name, not too many, and none twice.
pub(super) fn check_names<'a>(
    names: impl ExactSizeIterator<Item = &'a VolumeName>,
) -> Result<(), EngineError> {
    let count = names.len();
    if count == 0 {
        return Err(EngineError::Usage("name at least one volume: NAME=PATH or PATH".into()));
    }
    if count > VOLUMES_MAX {
        return Err(EngineError::Usage(format!("{count} volumes are too many, a point holds {VOLUMES_MAX}")));
    }
    if names.map(ToString::to_string).collect::<BTreeSet<_>>().len() != count {
        return Err(EngineError::Usage("two volumes have the same name; give them names: NAME=PATH".into()));
    }
    Ok(())
}

/// The last id among points that are what they say: of those that only a name confirms, the newest was proven, and all with a later id.
fn last_id(points: &[PointEntry]) -> Option<Id> {
    points.iter().map(|point| point.id).max()
}

/// The time that is true, as far as this machine knows: the order of points is their sequence, so that no time has to be bent for it.
fn point_time(request: &PointRequest, now: Timestamp) -> Result<Timestamp, EngineError> {
    match request.snapshot_time {
        Some(time) if time > now => Err(EngineError::Usage(format!(
            "--snapshot-time {time} is in the future, it is {now}; check the clocks"
        ))),
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
