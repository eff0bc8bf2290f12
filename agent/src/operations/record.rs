//! What is kept of an operation: plain data, as the journal writes it. Never a secret.

use std::collections::BTreeMap;

use coffer_format::{Digest, Id, Label, PlanId, Timestamp};
use coffer_proto::checked::{OperationState, PointReference};
use serde::{Deserialize, Serialize};

use crate::errors::Failure;

/// Most points that one operation remembers to have written under.
const POINTS_USED_MAX: usize = 1_000;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Volumes to a point.
    Backup,
    /// A point to volumes.
    Restore,
    /// Looks at points.
    Verify,
}

impl Kind {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Backup => "backup",
            Kind::Restore => "restore",
            Kind::Verify => "verify",
        }
    }
}

/// How an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits.
    Queued,
    /// Works.
    Running,
    /// Did what it was to do.
    Succeeded,
    /// Could not.
    Failed,
    /// Was told to stop.
    Cancelled,
    /// Its agent ended first.
    Interrupted,
}

impl State {
    /// Whether it will not change any more, but by being started again.
    pub fn has_ended(self) -> bool {
        !matches!(self, State::Queued | State::Running)
    }

    /// Whether starting it again does anything.
    pub fn can_restart(self) -> bool {
        matches!(self, State::Failed | State::Cancelled | State::Interrupted)
    }

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Interrupted => "interrupted",
        }
    }
}

impl From<State> for OperationState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => OperationState::Queued,
            State::Running => OperationState::Running,
            State::Succeeded => OperationState::Succeeded,
            State::Failed => OperationState::Failed,
            State::Cancelled => OperationState::Cancelled,
            State::Interrupted => OperationState::Interrupted,
        }
    }
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Names it on this agent; sorts by when it was made.
    pub id: Id,
    /// What it does.
    pub kind: Kind,
    /// How it is.
    pub state: State,
    /// The caller's name for the work.
    pub key: String,
    /// What makes another request the same.
    pub fingerprint: Digest,
    /// On whose behalf it runs.
    pub team: Label,
    /// Who started it last.
    pub caller: String,
    /// When it was first started.
    pub created: Timestamp,
    /// When it last began to run.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How often it was started.
    pub attempt: u32,
    /// Names of its volumes in the point.
    pub volumes: Vec<String>,
    /// Of a backup.
    pub reference: Option<TicketRecord>,
    /// Points that attempts wrote under: no name is used twice.
    #[serde(default)]
    pub points_used: Vec<Id>,
    /// Targets that attempts of this operation made or replaced, by volume: what they were when that was done.
    #[serde(default)]
    pub targets_begun: BTreeMap<String, String>,
    /// How far it is.
    pub progress: Progress,
    /// Number of the newest log line.
    #[serde(default)]
    pub log_sequence: u64,
    /// Why it failed or stopped.
    pub failure: Option<Failure>,
    /// What it did.
    pub outcome: Option<Outcome>,
    /// Grows with each change, so that an older state never replaces a newer one.
    pub revision: u64,
}

impl Record {
    /// Notes that objects may be written under the point reference's point from now on.
    pub fn use_point(&mut self) {
        let Some(point) = self.reference.as_ref().map(|reference| reference.point) else { return };
        if self.points_used.len() >= POINTS_USED_MAX {
            self.points_used.remove(0);
        }
        self.points_used.push(point);
    }

    /// Without what is only told one at a time: results, and what a coordinator left.
    pub fn light(&self) -> Record {
        let mut light = Record { outcome: None, ..self.clone() };
        if let Some(reference) = &mut light.reference {
            reference.coordinator = Vec::new();
        }
        light
    }
}

impl Record {
    /// As [`Record::light`], without what is never shown.
    pub fn listed(&self) -> Record {
        let mut listed = self.light();
        listed.targets_begun = BTreeMap::new();
        listed.points_used = Vec::new();
        listed
    }
}

/// How far an operation is, bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Volume that is being worked on.
    pub volume: String,
    /// Of all volumes begun.
    pub total: u64,
    /// Of these, done.
    pub done: u64,
    /// Stored or fetched.
    pub moved: u64,
    /// Taken over from unfinished runs.
    pub resumed: u64,
}

/// The point reference of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRecord {
    /// `team/cluster/namespace/plan`.
    pub plan: String,
    /// The point.
    pub point: Id,
    /// Its chain.
    pub chain: Id,
    /// The point that it builds on.
    pub parent: Option<Id>,
    /// The coordinator's own.
    #[serde(with = "base64")]
    pub coordinator: Vec<u8>,
}

impl From<&PointReference> for TicketRecord {
    fn from(reference: &PointReference) -> Self {
        TicketRecord {
            plan: reference.plan.to_string(),
            point: reference.point,
            chain: reference.chain,
            parent: reference.parent,
            coordinator: reference.coordinator.clone(),
        }
    }
}

impl TicketRecord {
    /// The plan; `None` if the journal held something else.
    pub fn plan_id(&self) -> Option<PlanId> {
        self.plan.parse().ok()
    }
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Of a backup.
    Backup(BackupOutcome),
    /// Of a restore.
    Restore(RestoreOutcome),
    /// Of a verification.
    Verify(VerifyOutcome),
}

/// What a backup did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BackupOutcome {
    /// Signed volume records, in the order of the request.
    pub records: Vec<SignedRecord>,
    /// Unfinished runs of whose packs some are used.
    pub reused_runs: Vec<Id>,
    /// Objects written.
    pub objects: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Stored bytes taken over.
    pub resumed_bytes: u64,
    /// Requests to the store.
    pub requests: Requests,
}

/// A signed volume record, as the format lays it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRecord(#[serde(with = "base64")] pub Vec<u8>);

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RestoreOutcome {
    /// Its volumes.
    pub volumes: Vec<RestoredVolume>,
    /// Requests to the store.
    pub requests: Requests,
}

/// What a restore did with one volume, bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoredVolume {
    /// Its name.
    pub name: String,
    /// Its target.
    pub target: String,
    /// Its size.
    pub size: u64,
    /// Read from the store.
    pub fetched: u64,
    /// Written as data.
    pub written: u64,
    /// Right already.
    pub skipped: u64,
    /// Made zero.
    pub zeroed: u64,
    /// Behind the volume's end, cut off of an image.
    #[serde(default)]
    pub cut: u64,
    /// Behind the volume's end, left as they were on a device.
    #[serde(default)]
    pub tail: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyOutcome {
    /// Points checked.
    pub points: u64,
    /// Packs checked.
    pub packs: u64,
    /// Bytes of packs read.
    pub bytes_read: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is odd, or was not checked.
    pub notices: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// A short name of a closed set.
    pub kind: String,
    /// Key of the object.
    pub key: String,
    /// What is wrong.
    pub detail: String,
    /// Points that it touches.
    pub points: Vec<Id>,
}

/// Requests to an object store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Objects stored by one request.
    pub put: u64,
    /// Reads.
    pub get: u64,
    /// Pages of listings.
    pub list: u64,
    /// Deletes.
    pub delete: u64,
    /// Parts of uploads and what goes with them.
    pub multipart: u64,
}

impl From<coffer_store::RequestCounts> for Requests {
    fn from(counts: coffer_store::RequestCounts) -> Self {
        let coffer_store::RequestCounts { put, get, list, delete, multipart } = counts;
        Requests { put, get, list, delete, multipart }
    }
}

/// Bytes as base 64 text.
mod base64 {
    use data_encoding::BASE64;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}
