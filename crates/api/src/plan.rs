//! `ContinuityPlan`: what a team wants of the backups of one application.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::selector::LabelSelector;

/// What a team wants of the backups of one application: what is protected, when, how long points are kept.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "ContinuityPlan",
    namespaced,
    shortname = "cplan",
    category = "coffer",
    status = "ContinuityPlanStatus",
    derive = "PartialEq",
    doc = "What a team wants of the backups of one application: what is protected, when, how long points are kept.",
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule.cron"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Last Success", type_ = "date", json_path = ".status.lastSuccessTime"),
    printcolumn(name = "Next Run", type_ = "string", json_path = ".status.nextRunTime"),
    printcolumn(name = "Chain", type_ = "integer", json_path = ".status.chainPoints"),
    printcolumn(name = "Points", type_ = "integer", json_path = ".status.points"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Reason", type_ = "string", priority = "1", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')")
        .message("a plan's name is a DNS label of at most 40 of a-z, 0-9 and -: the names of its backups begin with it"),
    validation = Rule::new("self.spec.location == oldSelf.spec.location")
        .message("a plan stays at its location, since its points are there: make another plan")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContinuityPlanSpec {
    /// Name of the `BackupLocation` for its points.
    #[schemars(length(min = 1, max = 253))]
    pub location: String,
    /// What is protected.
    pub select: Selection,
    /// When points are made. Without it only `trigger` makes some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// No point is made by schedule while this is set. Slots that passed meanwhile are not caught up with.
    #[serde(default)]
    pub suspend: bool,
    /// A new value makes one point now, also while suspended. Any text; the value served last is in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub trigger: Option<String>,
    /// When points are full and when incremental.
    #[serde(default)]
    pub chain: Chain,
    /// How long points are kept. Without it all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// What the plan promises; missing it is said in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectives: Option<Objectives>,
}

/// What is protected: the volumes of claims that any of these name, and the application's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.claims) || (has(self.workloads) && self.workloads.size() > 0) || (has(self.hostPaths) && self.hostPaths.size() > 0)")
    .message("a plan protects something: give claims, workloads or hostPaths; claims: {} means every claim of the namespace"))]
pub struct Selection {
    /// Claims of the namespace by their labels; empty: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<LabelSelector>,
    /// Workloads whose pods' claims are protected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub workloads: Vec<Workload>,
    /// Directories, images or devices of nodes. Each lies below a directory that the `Team` allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub host_paths: Vec<HostPath>,
    /// Kubernetes objects of the application. Without it the objects that the selected claims and workloads need.
    #[serde(default)]
    pub resources: Resources,
}

/// A workload of the plan's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Kinds of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadKind {
    /// `apps/v1`.
    StatefulSet,
    /// `apps/v1`.
    Deployment,
    /// `apps/v1`.
    DaemonSet,
}

/// A path of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPath {
    /// Name of the volume in the point.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The node.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// The path on it.
    #[schemars(length(min = 2, max = 4095), regex(pattern = r"^/"))]
    pub path: String,
}

/// Kubernetes objects of the application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Further objects of the namespace by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelSelector>,
    /// No objects are in the points, only volumes.
    #[serde(default)]
    pub none: bool,
}

/// When points are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Cron's five fields: minute, hour, day of month, month, day of week.
    #[schemars(length(min = 9, max = 100))]
    #[x_kube(validation = Rule::new("self.split(' ').filter(field, field != '').size() == 5")
        .message("cron has five fields: minute, hour, day of month, month, day of week, such as 0 * * * * for every hour"))]
    pub cron: String,
    /// The time zone of `cron`, by its name in the IANA database.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Each run begins up to this many seconds after its slot; how many is the plan's own and stays.
    #[serde(default)]
    #[schemars(range(max = 86400))]
    pub jitter_seconds: u32,
    /// A slot that is later than this by the time it could begin is left out. Without it the newest slot that was missed is caught up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 604800))]
    pub starting_deadline_seconds: Option<u32>,
}

/// When points are full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chain {
    /// Complete points in a chain: one full and this many less one incremental.
    #[serde(default = "full_every")]
    #[schemars(range(min = 1, max = 256))]
    pub full_every: u32,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { full_every: full_every() }
    }
}

/// How long points are kept. A point stays if any rule keeps it; the newest complete point and held ones always do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.keepDays) || has(self.keepLast) || has(self.keepHourly) || has(self.keepDaily) || has(self.keepWeekly) || has(self.keepMonthly)")
    .message("retention has a rule at least, such as keepDays: 3; leave retention out to keep all points"))]
pub struct Retention {
    /// Points of the last N times 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub keep_days: Option<u32>,
    /// The N newest points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub keep_last: Option<u32>,
    /// The newest point of each of the N newest hours that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub keep_hourly: Option<u32>,
    /// The newest point of each of the N newest days that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub keep_daily: Option<u32>,
    /// The newest point of each of the N newest weeks that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub keep_weekly: Option<u32>,
    /// The newest point of each of the N newest months that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub keep_monthly: Option<u32>,
    /// More than half of the points are given up at once only if this holds the value that the condition `RetentionBlocked` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub acknowledge: Option<String>,
}

/// What a plan promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objectives {
    /// Seconds of work that may be lost at most: the newest complete point is never older.
    #[schemars(range(min = 60))]
    pub recovery_point_seconds: u32,
}

/// What became of a plan so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContinuityPlanStatus {
    /// The generation that this was found of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: it can make points. `Compliant`: its objectives are met. `RetentionBlocked`: more points would go than is safe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Slots before this time are not looked at: when the plan was made, or when it was last resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_since: Option<String>,
    /// The slot that was served last, or left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_slot: Option<String>,
    /// The next slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_time: Option<String>,
    /// Slots that made no point of their own, since an earlier run was still at it or the controller was away.
    #[serde(default)]
    pub missed_slots: i64,
    /// The value of `spec.trigger` that was served last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trigger: Option<String>,
    /// How many values of `spec.trigger` were served.
    #[serde(default)]
    pub served_triggers: i64,
    /// The run that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
    /// Time of the newest complete point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<String>,
    /// Runs that failed since the last complete point.
    #[serde(default)]
    pub consecutive_failures: i64,
    /// The chain that the next incremental point goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Complete points in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_points: Option<i64>,
    /// Complete points that can be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<i64>,
    /// Time of the oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_point_time: Option<String>,
    /// What the plan selects and cannot protect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unprotected: Vec<Unprotected>,
}

/// A run that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// Name of its `Backup`.
    pub name: String,
    /// How it ended.
    pub phase: String,
    /// Why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Something that the plan selects and cannot protect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unprotected {
    /// Its kind, such as `PersistentVolumeClaim`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

fn utc() -> String {
    "UTC".into()
}

fn full_every() -> u32 {
    24
}
