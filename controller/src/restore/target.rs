//! From a point's document and volumes to what is made where. Pure.

use coffer_api::{RestoreTarget, annotation, label};
use serde_json::{Value, json};

use super::rename::{claim_name, move_to};
use crate::application::Document;

/// A volume of the point that is brought back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VolumeTarget {
    /// Its name in the point.
    pub(super) name: String,
    /// Its claim.
    pub(super) claim: String,
    /// The claim as it is made; `None` where the point has no object of it.
    pub(super) object: Option<Value>,
    /// Its size in bytes.
    pub(super) size_bytes: u64,
}

/// What a restore does.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Target {
    pub(super) volumes: Vec<VolumeTarget>,
    /// Objects other than claims, in the order in which they are made.
    pub(super) objects: Vec<Value>,
}

/// Kinds in the order in which they are made; others stand before workloads.
const ORDER: [&str; 6] = ["ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "Service"];
const WORKLOADS: [&str; 4] = ["StatefulSet", "Deployment", "DaemonSet", "CronJob"];

/// Puts the target together. `volumes` are names and sizes of the point's volumes, without the objects'.
pub(super) fn target(
    document: Option<&Document>,
    volumes: &[(String, u64)],
    wish: &RestoreTarget,
    (namespace, restore, point): (&str, &str, &str),
) -> Target {
    let suffix = wish.suffix.as_deref().unwrap_or_default();
    let before: &[Value] = document.map_or(&[], |document| &document.items);
    let mut moved = move_to(before, namespace, suffix);
    moved.iter_mut().for_each(|object| mark(object, restore, point));
    let is_claim = |object: &Value| object["kind"] == "PersistentVolumeClaim";
    let volume = |(name, size_bytes): &(String, u64)| {
        let claim = claim_name(name, before, suffix);
        let object =
            moved.iter().find(|object| is_claim(object) && object["metadata"]["name"] == claim.as_str());
        let object = object.cloned().map(|mut object| {
            storage_class(&mut object, wish);
            object
        });
        VolumeTarget { name: name.clone(), claim, object, size_bytes: *size_bytes }
    };
    let volumes = volumes.iter().map(volume).collect();
    let mut objects: Vec<Value> = if wish.volumes_only { Vec::new() } else { moved.clone() };
    objects.retain(|object| !is_claim(object));
    objects.sort_by_key(rank);
    Target { volumes, objects }
}

fn rank(object: &Value) -> usize {
    let kind = object["kind"].as_str().unwrap_or_default();
    if WORKLOADS.contains(&kind) {
        return ORDER.len() + 1;
    }
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}

fn mark(object: &mut Value, restore: &str, point: &str) {
    object["metadata"]["labels"][label::RESTORE] = json!(restore);
    object["metadata"]["annotations"][annotation::RESTORED_FROM] = json!(point);
}

fn storage_class(claim: &mut Value, wish: &RestoreTarget) {
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default().to_owned();
    let exact = wish.storage_classes.iter().find(|mapping| mapping.from == class);
    let mapping = exact.or_else(|| wish.storage_classes.iter().find(|mapping| mapping.from == "*"));
    if let Some(mapping) = mapping {
        claim["spec"]["storageClassName"] = json!(mapping.to);
    }
}

#[cfg(test)]
mod tests {
    use coffer_api::StorageClassMapping;

    use super::*;

    #[test]
    fn workloads_come_last_and_classes_are_mapped() {
        let document: Document = serde_json::from_value(json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "kind": "StatefulSet", "metadata": { "name": "db" }, "spec": { "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] } },
            { "kind": "Ingress", "metadata": { "name": "web" } },
            { "kind": "Secret", "metadata": { "name": "s" } },
            { "kind": "PersistentVolumeClaim", "metadata": { "name": "data-db-0" }, "spec": { "storageClassName": "old" } },
        ] }))
        .unwrap();
        let mapping = StorageClassMapping { from: "old".into(), to: "new".into() };
        let wish = RestoreTarget {
            suffix: Some("-b".into()),
            storage_classes: vec![mapping],
            ..RestoreTarget::default()
        };
        let volumes = [("data-db-0".to_owned(), 5), ("files".to_owned(), 6)];
        let target = target(Some(&document), &volumes, &wish, ("shop", "r", "p"));
        let kinds: Vec<_> = target.objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["Secret", "Ingress", "StatefulSet"]);
        assert_eq!(target.objects[0]["metadata"]["labels"][label::RESTORE], "r");
        let claims: Vec<_> = target.volumes.iter().map(|volume| volume.claim.as_str()).collect();
        assert_eq!(claims, ["data-db-b-0", "files-b"]);
        assert_eq!(target.volumes[0].object.as_ref().unwrap()["spec"]["storageClassName"], "new");
        assert_eq!(target.volumes[1].object, None);
    }
}
