//! Manifests: the object that makes a point exist.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Attributes, ResourceRecord, Signed, VolumeRecord};
use crate::{
    FormatError, Id, Label, PlanId, PointState, PointType, Reason, RepositoryId, Summary, Timestamp,
};

/// A reason as a manifest writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ReasonCode", into = "ReasonCode")]
pub struct ReasonRecord(pub Reason);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonCode {
    code: u8,
    argument: u64,
}

impl TryFrom<ReasonCode> for ReasonRecord {
    type Error = FormatError;

    fn try_from(stored: ReasonCode) -> Result<Self, FormatError> {
        Reason::from_code(stored.code, stored.argument).map(Self)
    }
}

impl From<ReasonRecord> for ReasonCode {
    fn from(reason: ReasonRecord) -> Self {
        let (code, argument) = reason.0.to_code();
        Self { code, argument }
    }
}

impl From<Reason> for ReasonRecord {
    fn from(reason: Reason) -> Self {
        Self(reason)
    }
}

/// A committed point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository that wrote it first.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Label,
    /// Namespace.
    pub namespace: Label,
    /// Plan.
    pub plan: Label,
    /// Chain.
    pub chain: Id,
    /// The point.
    pub point: Id,
    /// Number that orders points of one time.
    pub sequence: u64,
    /// The point it follows.
    pub parent: Option<Id>,
    /// Complete or partial.
    pub state: PointState,
    /// Full or incremental.
    #[serde(rename = "type")]
    pub point_type: PointType,
    /// Why.
    pub reason: ReasonRecord,
    /// When the source was frozen.
    pub time: Timestamp,
    /// When the run started.
    pub started: Timestamp,
    /// When the run ended.
    pub completed: Timestamp,
    /// Bytes of the volumes.
    pub size: u64,
    /// Bytes that differ from the parent.
    pub changed: u64,
    /// Bytes of the objects that the point wrote.
    pub stored: u64,
    /// Unfinished runs whose packs are used.
    #[serde(rename = "taken_over")]
    pub reused_runs: Vec<Id>,
    /// The caller's key for doing the work once.
    pub idempotency_key: Option<String>,
    /// The user's words.
    pub description: String,
    /// The user's labels.
    pub tags: BTreeMap<String, String>,
    /// Program and version.
    pub writer: String,
    /// What later programs add.
    pub attributes: Attributes,
    /// The volumes with the seals of who wrote them.
    pub volumes: Vec<Signed<VolumeRecord>>,
    /// The resources that plugins protect; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceRecord>,
}

impl Manifest {
    /// The plan.
    #[must_use]
    pub fn plan_id(&self) -> PlanId {
        PlanId {
            team: self.team.clone(),
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            plan: self.plan.clone(),
        }
    }

    /// What a list of points shows of it, names included as far as they fit.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            kind: self.point_type,
            state: self.state,
            reason: self.reason.0,
            time: self.time,
            completed: self.completed,
            sequence: self.sequence,
            size: self.size,
            changed: self.changed,
            stored: self.stored,
            chain: self.chain,
            parent: self.parent,
            volumes: Some(self.volumes.iter().map(|volume| volume.payload.name.clone()).collect()),
        }
    }

    /// The key it belongs under.
    #[must_use]
    pub fn key(&self) -> String {
        crate::object_key::manifest(&self.plan_id(), &self.point)
    }

    /// The records of its volumes.
    pub fn volume_records(&self) -> impl Iterator<Item = &VolumeRecord> {
        self.volumes.iter().map(|volume| &volume.payload)
    }
}
