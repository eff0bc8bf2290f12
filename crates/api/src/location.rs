//! `BackupLocation`: a repository, and how this cluster may use it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::secret_name::SecretName;

/// A repository in a bucket, and how this cluster may use it. Made by whoever runs the cluster.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "BackupLocation",
    shortname = "cloc",
    category = "coffer",
    status = "BackupLocationStatus",
    derive = "PartialEq",
    doc = "A repository in a bucket, and how this cluster may use it.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.accessMode"),
    printcolumn(name = "Points", type_ = "integer", json_path = ".status.points"),
    printcolumn(name = "Bucket", type_ = "string", json_path = ".spec.s3.bucket"),
    printcolumn(name = "Last Sync", type_ = "date", json_path = ".status.lastSyncTime"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = "1",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupLocationSpec {
    /// The bucket.
    pub s3: S3,
    /// A Secret with `accessKeyId`, `secretAccessKey` and, if they are short-lived, `sessionToken`. Without one the controller and the agents
    /// use what their pods have (web identity, instance role).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretName>,
    /// Whether this cluster makes points here or only reads.
    #[serde(default)]
    pub access_mode: AccessMode,
    /// Seconds between two looks at what points there are.
    #[serde(default = "sync_period_seconds")]
    #[schemars(range(min = 5, max = 86400))]
    pub sync_period_seconds: u32,
    /// Giving back the space of points that were given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
}

/// Where the bucket is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("a location names one repository for ever: make another BackupLocation for another bucket"))]
pub struct S3 {
    /// Its name.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,
    /// Names of the repository's objects begin with it. Empty: the whole bucket is the repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 200), regex(pattern = r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$"))]
    pub prefix: String,
    /// Address of the server. Empty: AWS.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512), regex(pattern = r"^(https?://[^?#\s]+)?$"))]
    pub endpoint: String,
    /// Its region. Empty: as the pod's environment says, else `us-east-1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9-]*$"))]
    pub region: String,
    /// The bucket's name is a part of the path and not of the host's name.
    #[serde(default)]
    pub path_style: bool,
    /// A Secret whose key `ca.crt` holds authorities (PEM) to trust besides the system's, for the controller. Agents have theirs in their settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretName>,
}

/// What this cluster does at a location.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// Makes points, gives them up, restores.
    #[default]
    ReadWrite,
    /// Finds points and restores them.
    ReadOnly,
}

/// When and with which rights the space of points that were given up comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prune {
    /// When, in cron's five fields, UTC.
    #[serde(default = "prune_schedule")]
    #[schemars(length(min = 9, max = 100))]
    pub schedule: String,
    /// A Secret with credentials that may delete; those of the location need not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretName>,
}

/// What was found at a location.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupLocationStatus {
    /// The generation that this was found of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the repository can be opened, and its points are shown as `Backup` objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The repository's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Points of this cluster's teams there, of all clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<i64>,
    /// When its points were looked at last, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<String>,
    /// When space was last given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_prune_time: Option<String>,
}

fn sync_period_seconds() -> u32 {
    60
}

fn prune_schedule() -> String {
    "30 3 * * *".into()
}
