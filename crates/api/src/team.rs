//! `Team`: the tenant. Namespaces, keys and the node paths that it may name.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::secret_name::SecretName;

/// A team: whose namespaces are backed up with its keys below its own prefix of each bucket. Made by whoever runs the cluster.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "coffer.dev",
    version = "v1alpha1",
    kind = "Team",
    shortname = "cteam",
    category = "coffer",
    status = "TeamStatus",
    derive = "PartialEq",
    doc = "A team: whose namespaces are backed up with its keys below its own prefix of each bucket.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')")
        .message("a team's name is a DNS label: at most 63 of a-z, 0-9 and -, since it is a part of names in the bucket")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeamSpec {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub display_name: Option<String>,
    /// Its namespaces. A namespace belongs to one team at most; where two teams name it, neither is ready.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub namespaces: Vec<String>,
    /// Its keys.
    pub keys: TeamKeys,
    /// Directories of nodes below which its plans may name host paths. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 2, max = 1024), regex(pattern = r"^/")))]
    #[x_kube(validation = Rule::new("self.all(path, !path.split('/').exists(part, part == '..' || part == '.'))")
        .message("a directory is absolute and has no . or .. in it"))]
    pub host_paths: Vec<String>,
}

/// Secrets with the team's key files, as `coffer key team` and `coffer init` write them, each under the Secret's key `key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeamKeys {
    /// The writer key: makes points, gives them up; opens no data.
    pub writer: SecretName,
    /// The recovery key: opens data. Without it here, nothing of this team is restored on this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<SecretName>,
}

/// What was found of a team.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamStatus {
    /// The generation that this was found of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: its keys can be read and no other team has its namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
