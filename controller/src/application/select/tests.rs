use coffer_api::{HostPath, LabelSelector};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn claim(name: &str, labels: Value, volume: Option<&str>) -> PersistentVolumeClaim {
    object(json!({ "metadata": { "name": name, "labels": labels }, "spec": { "volumeName": volume } }))
}

fn local(name: &str, node: &str) -> (String, PersistentVolume) {
    let expression = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
    let affinity = json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [expression] }] } });
    let spec = json!({ "local": { "path": format!("/dev/{name}") }, "nodeAffinity": affinity });
    (name.to_owned(), object(json!({ "metadata": { "name": name }, "spec": spec })))
}

fn observed() -> Observed {
    let template = json!({ "metadata": { "name": "data" }, "spec": {} });
    let csi =
        json!({ "metadata": { "name": "pv-c" }, "spec": { "csi": { "driver": "x", "volumeHandle": "h" } } });
    Observed {
        claims: vec![
            claim("data-db-0", json!({ "app": "db" }), Some("pv-a")),
            claim("data-db-11", json!({ "app": "db" }), Some("pv-b")),
            claim("data-db-x", json!({}), Some("pv-a")),
            claim("uploads", json!({ "app": "web" }), Some("pv-c")),
            claim("new", json!({ "app": "new" }), None),
        ],
        volumes: [local("pv-a", "host-1"), local("pv-b", "host-2"), ("pv-c".to_owned(), object(csi))].into(),
        pods: vec![object(json!({
            "metadata": { "name": "web-1" },
            "spec": { "nodeName": "n3", "containers": [],
                "volumes": [{ "name": "u", "persistentVolumeClaim": { "claimName": "uploads" } }] },
            "status": { "phase": "Running" },
        }))],
        stateful_sets: vec![object(json!({
            "metadata": { "name": "db" },
            "spec": { "serviceName": "db", "selector": {}, "template": { "spec": { "containers": [] } },
                "volumeClaimTemplates": [template] },
        }))],
        host_names: [("host-1".to_owned(), "n1".to_owned()), ("host-2".to_owned(), "n2".to_owned())].into(),
        ..Observed::default()
    }
}

fn by_labels(key: &str, value: &str) -> Selection {
    let match_labels = [(key.to_owned(), value.to_owned())].into();
    Selection {
        claims: Some(LabelSelector { match_labels, match_expressions: Vec::new() }),
        ..Selection::default()
    }
}

fn of_set(name: &str) -> Selection {
    let workloads = vec![Workload { kind: WorkloadKind::StatefulSet, name: name.into() }];
    Selection { workloads, ..Selection::default() }
}

fn check(selection: &Selection, volumes: &[(&str, &str, &str)], unprotected: &[(&str, &str)]) {
    let selected = select(selection, &observed(), |node| node != "n2", |path| path.starts_with("/srv/shop/"));
    let found: Vec<(&str, &str, String)> = selected
        .volumes
        .iter()
        .map(|volume| {
            let source = match &volume.source {
                Source::Path(path) => path.clone(),
                Source::PersistentVolume(name) => format!("pv:{name}"),
            };
            (volume.name.as_str(), volume.node.as_str(), source)
        })
        .collect();
    let expected: Vec<_> =
        volumes.iter().map(|(name, node, source)| (*name, *node, (*source).to_owned())).collect();
    assert_eq!(found, expected);
    let left_out: Vec<&Unprotected> = selected.unprotected.iter().chain(&selected.waiting).collect();
    let names: Vec<&str> = left_out.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, unprotected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (found, (_, reason)) in left_out.iter().zip(unprotected) {
        assert!(found.reason.contains(reason), "{}", found.reason);
    }
}

#[test]
fn claims_come_by_label_and_by_workload_with_their_nodes() {
    check(&of_set("db"), &[("data-db-0", "n1", "/dev/pv-a")], &[("data-db-11", "n2 has no agent")]);
    check(&by_labels("app", "web"), &[("uploads", "n3", "pv:pv-c")], &[]);
}

#[test]
fn what_cannot_be_protected_is_named_with_its_reason() {
    check(&by_labels("app", "new"), &[], &[("new", "not bound")]);
    check(&of_set("gone"), &[], &[("gone", "no such workload")]);
}

#[test]
fn a_host_path_has_to_lie_below_a_directory_of_the_team() {
    let path = |path: &str| HostPath { name: "files".into(), node: "n1".into(), path: path.into() };
    let selection = |host_path| Selection { host_paths: vec![host_path], ..Selection::default() };
    check(&selection(path("/srv/shop/files")), &[("files", "n1", "/srv/shop/files")], &[]);
    check(&selection(path("/etc")), &[], &[("files", "allows no directory")]);
}

#[test]
fn a_volume_whose_agent_is_away_is_waited_for() {
    let selected = select(&of_set("db"), &observed(), |node| node != "n2", |_| true);
    assert_eq!(selected.waiting.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["data-db-11"]);
    assert_eq!(selected.unprotected, []);
}
