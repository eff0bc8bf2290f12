//! The point that a backup writes a part of, and its plan.

use coffer_format::{Id, PlanId};

use super::field::{RequestError, parsed, parsed_or_none, required};
use crate::agent::v1;

/// Most bytes that a coordinator may leave with an agent: 64 KiB.
pub const COORDINATOR_BYTES_MAX: usize = 64 << 10;

/// An open point, as its coordinator describes it. It gives no right to anything; the engine holds it against the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointReference {
    /// The plan.
    pub plan: PlanId,
    /// The point.
    pub point: Id,
    /// Its chain.
    pub chain: Id,
    /// The point it builds on.
    pub parent: Option<Id>,
    /// The coordinator's own; given back as it came.
    pub coordinator: Vec<u8>,
}

impl TryFrom<v1::PointReference> for PointReference {
    type Error = RequestError;

    fn try_from(given: v1::PointReference) -> Result<Self, RequestError> {
        let len = given.coordinator.len();
        if len > COORDINATOR_BYTES_MAX {
            let problem = format!("has {len} bytes: at most {COORDINATOR_BYTES_MAX} are kept");
            return Err(RequestError::new("point.coordinator", problem));
        }
        Ok(PointReference {
            plan: plan("point.plan", given.plan)?,
            point: parsed("point.point", &given.point)?,
            chain: parsed("point.chain", &given.chain)?,
            parent: parsed_or_none("point.parent", &given.parent)?,
            coordinator: given.coordinator,
        })
    }
}

/// A plan of which every label is given.
pub(super) fn plan(field: &str, given: Option<v1::Plan>) -> Result<PlanId, RequestError> {
    let given = required(field, given)?;
    Ok(PlanId {
        team: parsed(&format!("{field}.team"), &given.team)?,
        cluster: parsed(&format!("{field}.cluster"), &given.cluster)?,
        namespace: parsed(&format!("{field}.namespace"), &given.namespace)?,
        plan: parsed(&format!("{field}.plan"), &given.plan)?,
    })
}
