//! `Restore`: a point brought back into the namespace of the restore.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backup::PointIdentity;
use crate::condition::Condition;

/// A point brought back into this namespace: volumes, objects, or both.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "Restore",
    namespaced,
    shortname = "crs",
    category = "coffer",
    status = "RestoreStatus",
    derive = "PartialEq",
    doc = "A point brought back into this namespace: volumes, objects, or both.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage"),
    printcolumn(name = "Point", type_ = "string", json_path = ".status.point.point"),
    printcolumn(name = "Point In Time", type_ = "string", json_path = ".status.pointInTime"),
    printcolumn(name = "Message", type_ = "string", priority = "1", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec == oldSelf.spec").message("a restore is done once: make another one instead of changing its spec"),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')")
        .message("a restore's name is a DNS label of at most 40 of a-z, 0-9 and -")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreSpec {
    /// Which point.
    pub source: RestoreSource,
    /// Where to, and how.
    #[serde(default)]
    pub target: RestoreTarget,
    /// Only say what would be done: nothing is made or written.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which point is brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.backup) != has(self.plan)")
    .message("a restore has one source: the name of a backup of this namespace, or a plan and which of its points"))]
pub struct RestoreSource {
    /// Name of a `Backup` of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub backup: Option<String>,
    /// A plan, of this cluster or another, and which of its points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSource>,
}

/// A plan and which of its points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanSource {
    /// The plan's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace there. Without it: this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The cluster that made its points. Without it: the only cluster that has such a plan at the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cluster: Option<String>,
    /// Name of the `BackupLocation`.
    #[schemars(length(min = 1, max = 253))]
    pub location: String,
    /// `latest`, `previous[:N]`, `oldest`, `oldest-day[:first|last]`, `day=-N[:first|last]` or `as-of=TIME` (RFC 3339).
    #[schemars(
        length(min = 1, max = 64),
        regex(
            pattern = r"^(latest|previous(:[0-9]+)?|oldest|oldest-day(:first|:last)?|day=-[0-9]+(:first|:last)?|as-of=.+)$"
        )
    )]
    pub pick: String,
    /// Time zone of days.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

/// Where a point is brought back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.suffix) || !has(self.mode) || self.mode == 'NewVolumes'")
    .message("a suffix makes names of new objects; existing volumes have theirs"))]
pub struct RestoreTarget {
    /// Whether claims are made or written over.
    #[serde(default)]
    pub mode: TargetMode,
    /// Appended to the names of all objects, labels and selectors, so that the application stands beside the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20), regex(pattern = r"^-[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub suffix: Option<String>,
    /// Storage classes of new claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub storage_classes: Vec<StorageClassMapping>,
    /// The node that new local volumes are made on. Without it the scheduler chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub node: Option<String>,
    /// Objects that exist already.
    #[serde(default)]
    pub on_conflict: ConflictPolicy,
    /// Only volumes, no objects.
    #[serde(default)]
    pub volumes_only: bool,
}

/// Whether claims are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetMode {
    /// Claims are made, and filled.
    #[default]
    NewVolumes,
    /// The application is scaled down, its volumes are written in place (only what differs), and it is scaled up again.
    ExistingVolumes,
}

/// A storage class instead of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageClassMapping {
    /// The class that the claim had; `*` for any.
    #[schemars(length(min = 1, max = 253))]
    pub from: String,
    /// The class that it gets.
    #[schemars(length(min = 1, max = 253))]
    pub to: String,
}

/// What happens where an object exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConflictPolicy {
    /// The restore is refused before anything is written.
    #[default]
    Fail,
    /// It stays as it is.
    Keep,
    /// It becomes as the point has it, as far as it can be changed.
    Replace,
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestorePhase {
    /// Nothing was done yet.
    #[default]
    Pending,
    /// It is at work.
    Running,
    /// All is done, and workloads are ready.
    Completed,
    /// It ended before all was done.
    Failed,
}

impl RestorePhase {
    /// Whether nothing more happens.
    pub fn has_ended(self) -> bool {
        matches!(self, RestorePhase::Completed | RestorePhase::Failed)
    }
}

/// Stages, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RestoreStage {
    /// The point is chosen, and whether all can be done is found out.
    Preflight,
    /// Claims are made, and agents write.
    Volumes,
    /// Objects are made, or the workloads scaled up again.
    Activation,
    /// Workloads are waited for until they are ready.
    Verified,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreStatus {
    /// The generation that this was found of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: it is done. `Reconciling`: it is at work. `Stalled`: it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How far it is.
    #[serde(default)]
    pub phase: RestorePhase,
    /// The stage that it is in, or ended in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<RestoreStage>,
    /// The point that was chosen. It stays, whatever comes after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointIdentity>,
    /// The moment that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_in_time: Option<String>,
    /// Its volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<RestoredVolumeStatus>,
    /// Workloads that were scaled down, and to how many replicas they go back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scaled_down: Vec<ScaledDown>,
    /// What the preflight found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<RestoreFinding>,
    /// Objects that were made or changed.
    #[serde(default)]
    pub objects: i64,
    /// When it began, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<String>,
    /// Why it failed, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A workload that was scaled down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaledDown {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Replicas that it had.
    pub replicas: i32,
}

/// What became of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredVolumeStatus {
    /// Its name in the point.
    pub name: String,
    /// The claim that it is brought back to.
    pub claim: String,
    /// The node that writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// It is written.
    #[serde(default)]
    pub done: bool,
    /// Bytes that were written, where it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<i64>,
    /// Bytes that were there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_bytes: Option<i64>,
}

/// Something that the preflight found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreFinding {
    /// What it is about, such as `PersistentVolumeClaim/data`.
    pub object: String,
    /// Whether it keeps the restore from being done.
    pub blocking: bool,
    /// What is the matter, and what to do.
    pub message: String,
}

fn utc() -> String {
    "UTC".into()
}
