//! Takes out of an object what belongs to one cluster and one moment. Pure.

use serde_json::{Map, Value};

/// Fields of `metadata` that stay.
const METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// Annotations that controllers and tools of a cluster set.
const ANNOTATIONS: [&str; 7] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
];

/// Fields of a spec, by kind.
const FIELDS: [(&str, &[&str]); 4] = [
    ("Service", &["clusterIP", "clusterIPs", "healthCheckNodePort", "ipFamilies", "ipFamilyPolicy"]),
    ("PersistentVolumeClaim", &["volumeName", "dataSource", "dataSourceRef"]),
    ("Pod", &["nodeName"]),
    ("Job", &["selector"]),
];

/// Cleans an object.
pub(crate) fn clean(object: &mut Value) {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let Some(fields) = object.as_object_mut() else { return };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| METADATA.contains(&field.as_str()));
        annotations(metadata);
    }
    let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) else { return };
    // A Service without an address of its own (headless) is that by its `clusterIP`.
    let is_headless = kind == "Service" && spec.get("clusterIP").and_then(Value::as_str) == Some("None");
    for (_, names) in FIELDS.iter().filter(|(of, _)| *of == kind) {
        names.iter().for_each(|name| drop(spec.remove(*name)));
    }
    if is_headless {
        spec.insert("clusterIP".into(), "None".into());
    }
    if kind == "Service" {
        node_ports(spec);
    }
    if kind == "StatefulSet" {
        spec.get_mut("volumeClaimTemplates")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(clean);
    }
}

fn node_ports(spec: &mut Map<String, Value>) {
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        port.as_object_mut().map(|port| port.remove("nodePort"));
    }
}

fn annotations(metadata: &mut Map<String, Value>) {
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    annotations.retain(|name, _| !ANNOTATIONS.contains(&name.as_str()));
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(mut object: Value, expected: Value) {
        clean(&mut object);
        assert_eq!(object, expected);
    }

    #[test]
    fn what_belongs_to_a_cluster_goes_and_the_wish_stays() {
        check(
            json!({
                "kind": "PersistentVolumeClaim",
                "metadata": { "name": "data", "namespace": "shop", "uid": "u", "resourceVersion": "1", "managedFields": [],
                    "ownerReferences": [{}], "finalizers": ["x"],
                    "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
                "spec": { "volumeName": "pv-1", "storageClassName": "local" },
                "status": { "phase": "Bound" },
            }),
            json!({
                "kind": "PersistentVolumeClaim",
                "metadata": { "name": "data", "namespace": "shop" },
                "spec": { "storageClassName": "local" },
            }),
        );
    }

    #[test]
    fn a_service_gets_new_addresses_but_stays_headless() {
        let service = |ip: &str| {
            json!({ "kind": "Service", "metadata": { "name": "db" }, "spec": {
                "clusterIP": ip, "clusterIPs": [ip], "ports": [{ "port": 1, "nodePort": 30_001 }] } })
        };
        let ports = json!([{ "port": 1 }]);
        check(
            service("10.0.0.1"),
            json!({ "kind": "Service", "metadata": { "name": "db" }, "spec": { "ports": ports } }),
        );
        let headless = json!({ "clusterIP": "None", "ports": ports });
        check(service("None"), json!({ "kind": "Service", "metadata": { "name": "db" }, "spec": headless }));
    }
}
