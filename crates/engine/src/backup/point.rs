//! A point that is to be made, as plain data: the request, the reference that travels, the open point.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Id, PlanId, Reason, ResourceRecord, Timestamp, VOLUMES_MAX, VolumeName};

use super::choose::TypeWish;
use super::request::BackupReport;
use crate::EngineError;
use crate::request_error::RequestError;

/// A point to make, as its coordinator knows it. The same request opens and commits it.
#[derive(Debug, Clone)]
pub struct PointRequest {
    /// The plan that the point belongs to.
    pub plan: PlanId,
    /// Names of the volumes, in the order of the manifest: 1 to 256, each once; none is allowed where there are resources.
    pub volumes: Vec<VolumeName>,
    /// Resources that plugins protect, with what became of them: read when the point is committed.
    pub resources: Vec<ResourceRecord>,
    /// Whether the point may do without volumes: its resources are to come.
    pub resources_only: bool,
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
    /// Its chain: the parent's; without a parent the point's own id, or the id of an incomplete run that opened it.
    pub chain: Id,
    /// The complete point that is built on; `None` makes a full.
    pub parent: Option<Id>,
}

impl PointReference {
    /// The incomplete run whose chain the point continues, if it is not its parent's and not its own. The chain's key belongs to that run, so
    /// it counts as reused whether its packs are used or not.
    pub fn adopted_chain(&self) -> Option<Id> {
        (self.parent.is_none() && self.chain != self.point).then_some(self.chain)
    }
}

/// A point that was opened and not committed. Plain data: its coordinator may write it down, die, and commit after that.
///
/// Nothing of it is in the bucket but, of a new chain, the chain's key. One that is never committed is an incomplete run like any other: later
/// runs reuse its packs, and prune removes the rest.
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

/// An error unless there is at least one name, not too many, and none twice.
pub(super) fn check_names<'a>(
    names: impl ExactSizeIterator<Item = &'a VolumeName>,
) -> Result<(), EngineError> {
    let count = names.len();
    if count == 0 {
        return Err(RequestError::NoVolumes.into());
    }
    if count > VOLUMES_MAX {
        return Err(EngineError::Usage(format!("{count} volumes are too many, a point holds {VOLUMES_MAX}")));
    }
    if names.map(ToString::to_string).collect::<BTreeSet<_>>().len() != count {
        return Err(RequestError::SameName.into());
    }
    Ok(())
}
