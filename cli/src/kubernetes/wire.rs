//! Lists as the API sends them, as far as they are of use. Other fields are not looked at, so that no version of Kubernetes is too new.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::facts::{Claim, PathKind, PersistentVolume, Pod, Source};

/// What lists are of.
pub(super) trait Item: DeserializeOwned {
    /// The plural of its name in paths and in rights.
    const RESOURCE: &'static str;
    /// Of a list of it.
    const LIST_KIND: &'static str;
    type Fact;

    /// What is of use; `None` where nothing is.
    fn fact(self) -> Option<Self::Fact>;
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) kind: String,
    #[serde(default)]
    pub(super) metadata: ListMeta,
    pub(super) items: Option<Vec<T>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListMeta {
    /// Empty on the last page.
    #[serde(rename = "continue")]
    pub(super) next: String,
}

/// Why a call was refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    uid: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Phase {
    phase: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireVolume {
    metadata: Meta,
    spec: VolumeSpec,
    #[serde(default)]
    status: Phase,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    host_path: Option<HostPath>,
    local: Option<Local>,
    claim_ref: Option<ClaimRef>,
    node_affinity: NodeAffinity,
}

#[derive(Debug, Deserialize)]
struct HostPath {
    path: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Local {
    path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimRef {
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAffinity {
    required: NodeSelector,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSelector {
    node_selector_terms: Vec<Term>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_expressions: Vec<Requirement>,
    match_fields: Vec<Requirement>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WirePod {
    metadata: Meta,
    spec: PodSpec,
    #[serde(default)]
    status: Phase,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    volumes: Vec<PodVolume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodVolume {
    name: String,
    host_path: Option<HostPath>,
    persistent_volume_claim: Option<ClaimName>,
    ephemeral: Option<Ephemeral>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimName {
    claim_name: String,
}

#[derive(Debug, Deserialize)]
struct Ephemeral {}

impl Item for WireVolume {
    const RESOURCE: &'static str = "persistentvolumes";
    const LIST_KIND: &'static str = "PersistentVolumeList";
    type Fact = PersistentVolume;

    fn fact(self) -> Option<PersistentVolume> {
        let nodes = self.spec.node_affinity.names();
        let (path, source) = match (self.spec.host_path, self.spec.local) {
            (Some(host_path), _) => {
                let source = Source::HostPath(path_kind(host_path.kind.as_deref().unwrap_or_default()));
                (host_path.path, source)
            }
            (None, Some(local)) => (local.path, Source::Local(nodes)),
            (None, None) => return None,
        };
        // A volume that was released still names its last claim, and another may have that name by now.
        let is_bound = self.status.phase == "Bound";
        let claim = self.spec.claim_ref.filter(|_| is_bound);
        let claim = claim.map(|claim| Claim { namespace: claim.namespace, name: claim.name });
        Some(PersistentVolume { name: self.metadata.name, path, source, claim })
    }
}

impl Item for WirePod {
    const RESOURCE: &'static str = "pods";
    const LIST_KIND: &'static str = "PodList";
    type Fact = Pod;

    fn fact(self) -> Option<Pod> {
        let Meta { uid, namespace, name } = self.metadata;
        let (mut claims, mut paths) = (Vec::new(), Vec::new());
        for volume in self.spec.volumes {
            claims.extend(volume.persistent_volume_claim.map(|claim| claim.claim_name));
            claims.extend(volume.ephemeral.map(|_| format!("{name}-{}", volume.name)));
            paths.extend(volume.host_path.map(|host_path| host_path.path));
        }
        let has_ended = matches!(self.status.phase.as_str(), "Succeeded" | "Failed");
        Some(Pod { uid, namespace, name, node: self.spec.node_name, has_ended, claims, paths })
    }
}

impl NodeAffinity {
    /// Nodes that it names. A term that asks for anything else as well is left out: only labels of nodes would tell whether it holds.
    fn names(self) -> Vec<String> {
        let named = self.required.node_selector_terms.into_iter().filter_map(|term| {
            let mut all = term.match_expressions;
            all.extend(term.match_fields);
            let only = if all.len() == 1 { all.pop() } else { None };
            only.filter(|one| matches!(one.key.as_str(), "kubernetes.io/hostname" | "metadata.name"))
                .filter(|one| one.operator == "In")
        });
        named.flat_map(|requirement| requirement.values).collect()
    }
}

fn path_kind(word: &str) -> PathKind {
    match word {
        "" | "Directory" | "DirectoryOrCreate" => PathKind::Directory,
        "File" | "FileOrCreate" => PathKind::File,
        "BlockDevice" => PathKind::BlockDevice,
        _ => PathKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(spec: Value, phase: &str) -> Option<PersistentVolume> {
        let item = json!({ "metadata": { "name": "pv" }, "spec": spec, "status": { "phase": phase } });
        serde_json::from_value::<WireVolume>(item).unwrap().fact()
    }

    #[test]
    fn only_a_bound_volume_has_a_claim_and_only_paths_are_kept() {
        let claim = json!({ "namespace": "shop", "name": "data", "uid": "u" });
        let spec = json!({ "hostPath": { "path": "/a", "type": "" }, "claimRef": claim });
        let bound = volume(spec.clone(), "Bound").unwrap();
        assert_eq!(bound.claim, Some(Claim { namespace: "shop".into(), name: "data".into() }));
        assert_eq!(bound.source, Source::HostPath(PathKind::Directory));
        assert_eq!(volume(spec, "Released").unwrap().claim, None);
        assert_eq!(volume(json!({ "csi": { "driver": "x" } }), "Bound"), None);
    }

    #[test]
    fn an_affinity_names_nodes_only_where_it_asks_for_nothing_else() {
        let check = |term: Value, nodes: &[&str]| {
            let required = json!({ "nodeSelectorTerms": [term] });
            let spec = json!({ "local": { "path": "/a" }, "nodeAffinity": { "required": required } });
            let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
            assert_eq!(volume(spec, "Available").unwrap().source, Source::Local(nodes), "{term}");
        };
        let host = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["n1", "n2"] });
        let zone = json!({ "key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z"] });
        let field = json!({ "key": "metadata.name", "operator": "In", "values": ["n1"] });
        let not = json!({ "key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n1"] });
        check(json!({ "matchExpressions": [host] }), &["n1", "n2"]);
        check(json!({ "matchFields": [field] }), &["n1"]);
        check(json!({ "matchExpressions": [host, zone] }), &[]);
        check(json!({ "matchExpressions": [not] }), &[]);
        check(json!({}), &[]);
    }

    #[test]
    fn a_pods_claims_are_those_it_names_and_those_made_for_it() {
        let pod = json!({
            "metadata": { "uid": "u", "namespace": "shop", "name": "app-0" },
            "spec": { "nodeName": "n1", "volumes": [
                { "name": "data", "persistentVolumeClaim": { "claimName": "data-app-0" } },
                { "name": "scratch", "ephemeral": { "volumeClaimTemplate": {} } },
                { "name": "log", "hostPath": { "path": "/var/log", "type": "Directory" } },
                { "name": "token", "projected": {} },
            ] },
            "status": { "phase": "Running" },
        });
        let pod = serde_json::from_value::<WirePod>(pod).unwrap().fact().unwrap();
        assert_eq!(pod.claims, ["data-app-0", "app-0-scratch"]);
        assert_eq!(
            (pod.paths.concat().as_str(), pod.node.as_str(), pod.has_ended),
            ("/var/log", "n1", false)
        );
    }
}
