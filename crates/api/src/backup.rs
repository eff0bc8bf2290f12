//! `Backup`: one recovery point, or the run that is to make it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// One recovery point, or the run that is to make it. The bucket is the truth; this shows it.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "Backup",
    namespaced,
    shortname = "cbk",
    category = "coffer",
    status = "BackupStatus",
    derive = "PartialEq",
    doc = "One recovery point, or the run that is to make it. The bucket is the truth; this shows it.",
    printcolumn(name = "Plan", type_ = "string", json_path = ".status.plan"),
    printcolumn(name = "Type", type_ = "string", json_path = ".status.type"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Point In Time", type_ = "string", json_path = ".status.pointInTime"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".status.sizeBytes"),
    printcolumn(name = "Stored", type_ = "integer", json_path = ".status.storedBytes"),
    printcolumn(name = "Origin", type_ = "string", priority = "1", json_path = ".status.origin"),
    printcolumn(name = "Point", type_ = "string", priority = "1", json_path = ".status.point"),
    printcolumn(name = "Message", type_ = "string", priority = "1", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec == oldSelf.spec").message("a backup is what it is: make another one instead of changing its spec")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.plan) != has(self.discovered)")
    .message("a backup names a plan, whose point it makes, or is one that was discovered: give plan"))]
pub struct BackupSpec {
    /// The plan of the same namespace whose point this makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub plan: Option<String>,
    /// Which type the point is to have.
    #[serde(default, rename = "type")]
    pub kind: BackupType,
    /// The slot of the schedule that this serves, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The point that was found in a bucket. Set by the controller; deleting such a backup never deletes the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovered: Option<PointIdentity>,
}

/// Where a point is and whose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PointIdentity {
    /// Name of the `BackupLocation`.
    pub location: String,
    /// The team.
    pub team: String,
    /// The cluster that made it.
    pub cluster: String,
    /// The plan's namespace there.
    pub namespace: String,
    /// The plan.
    pub plan: String,
    /// The point's id.
    pub point: String,
}

/// Types of points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupType {
    /// As the plan's chain asks for.
    #[default]
    Auto,
    /// Everything is stored, a chain begins.
    Full,
    /// What changed since the plan's newest point is stored; refused where there is none.
    Incremental,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupPhase {
    /// Nothing was done yet.
    #[default]
    Pending,
    /// Agents are at work.
    Running,
    /// The point stands, with all volumes.
    Completed,
    /// The point stands without some volumes: it is not picked, not kept, not built on.
    PartiallyFailed,
    /// There is no point.
    Failed,
}

impl BackupPhase {
    /// Whether nothing more happens.
    pub fn has_ended(self) -> bool {
        matches!(self, BackupPhase::Completed | BackupPhase::PartiallyFailed | BackupPhase::Failed)
    }
}

/// Who made a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Origin {
    /// This cluster.
    Local,
    /// Another cluster, or this one before its objects were lost.
    Discovered,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// The generation that this was found of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the point is complete. `Reconciling`: it is being made. `Stalled`: it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How far it is.
    #[serde(default)]
    pub phase: BackupPhase,
    /// Who made the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The plan, as `kubectl get` shows it: its name, after cluster and namespace where they are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The point's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// `full` or `incremental`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why it has this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_reason: Option<String>,
    /// Its chain's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Its place among the plan's points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<i64>,
    /// The point that it builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The moment that it shows, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_in_time: Option<String>,
    /// Bytes of its volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// Bytes that it added to the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<i64>,
    /// Its volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<BackupVolume>,
    /// Why it failed, or what is odd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A volume of a point.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupVolume {
    /// Its name in the point: its claim's.
    pub name: String,
    /// The node that read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// Bytes that it added to the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
