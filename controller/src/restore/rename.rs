//! Moves an application's objects into a namespace, under new names if asked, so that it stands beside the first. Pure.
//!
//! With a suffix every object of the document gets it, and so does whatever names one of them: pods' volumes and environment, selectors and the
//! labels that they select, StatefulSets' claims. Text that only the application understands (a host name in a variable) stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Names of the document's objects, by kind.
struct Names {
    by_kind: BTreeMap<String, BTreeSet<String>>,
    suffix: String,
}

/// Fields that name an object of the same namespace: the field, and the kind that it names, wherever they stand in an object.
const REFERENCES: [(&str, &str); 5] = [
    ("claimName", "PersistentVolumeClaim"),
    ("secretName", "Secret"),
    ("serviceAccountName", "ServiceAccount"),
    ("serviceAccount", "ServiceAccount"),
    ("serviceName", "Service"),
];

/// Fields that hold an object with the `name` of another one.
const HOLDERS: [(&str, &str); 8] = [
    ("configMap", "ConfigMap"),
    ("configMapRef", "ConfigMap"),
    ("configMapKeyRef", "ConfigMap"),
    ("secret", "Secret"),
    ("secretRef", "Secret"),
    ("secretKeyRef", "Secret"),
    ("service", "Service"),
    ("imagePullSecrets", "Secret"),
];

/// The objects as they are made in `namespace`; every name gets `suffix`, which may be empty.
pub fn move_to(objects: &[Value], namespace: &str, suffix: &str) -> Vec<Value> {
    let mut names = Names { by_kind: BTreeMap::new(), suffix: suffix.to_owned() };
    for object in objects {
        let kind = text(&object["kind"]).to_owned();
        names.by_kind.entry(kind).or_default().insert(text(&object["metadata"]["name"]).to_owned());
    }
    let selected = selected_labels(objects);
    let mut moved = objects.to_vec();
    for object in &mut moved {
        object["metadata"]["namespace"] = Value::String(namespace.to_owned());
        subjects(object, namespace);
        if !suffix.is_empty() {
            names.rename(object, objects);
            labels(object, &selected, suffix);
        }
    }
    moved
}

/// The name of a claim once it is moved: those that a StatefulSet makes carry the set's name in the middle.
pub fn claim_name(claim: &str, objects: &[Value], suffix: &str) -> String {
    let of_set = objects.iter().filter(|object| text(&object["kind"]) == "StatefulSet").find_map(|set| {
        let name = text(&set["metadata"]["name"]);
        let templates = set["spec"]["volumeClaimTemplates"].as_array();
        templates.into_iter().flatten().find_map(|template| {
            let prefix = format!("{}-{name}", text(&template["metadata"]["name"]));
            let ordinal = claim.strip_prefix(&prefix)?.strip_prefix('-')?;
            let is_number = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| format!("{prefix}{suffix}-{ordinal}"))
        })
    });
    of_set.unwrap_or_else(|| format!("{claim}{suffix}"))
}

impl Names {
    fn has(&self, kind: &str, name: &str) -> bool {
        self.by_kind.get(kind).is_some_and(|names| names.contains(name))
    }

    fn rename(&self, object: &mut Value, objects: &[Value]) {
        let kind = text(&object["kind"]).to_owned();
        let name = text(&object["metadata"]["name"]).to_owned();
        let new = match kind.as_str() {
            "PersistentVolumeClaim" => claim_name(&name, objects, &self.suffix),
            _ => format!("{name}{}", self.suffix),
        };
        object["metadata"]["name"] = Value::String(new);
        for field in ["spec", "secrets", "imagePullSecrets"] {
            if let Some(value) = object.get_mut(field) {
                self.references(value, field);
            }
        }
        if kind == "RoleBinding" {
            self.binding(object);
        }
        if kind == "HorizontalPodAutoscaler" {
            let target = &mut object["spec"]["scaleTargetRef"];
            let kind = text(&target["kind"]).to_owned();
            self.field(target, "name", &kind);
        }
    }

    /// Renames what is named anywhere below `value`, which stands in a field called `place`.
    fn references(&self, value: &mut Value, place: &str) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.references(item, place)),
            Value::Object(fields) => {
                if let Some((_, kind)) = HOLDERS.iter().find(|(holder, _)| *holder == place) {
                    self.in_object(fields, "name", kind);
                }
                for (field, kind) in REFERENCES {
                    self.in_object(fields, field, kind);
                }
                fields.iter_mut().for_each(|(field, value)| self.references(value, field));
            }
            _ => {}
        }
    }

    fn binding(&self, object: &mut Value) {
        let kind = text(&object["roleRef"]["kind"]).to_owned();
        self.field(&mut object["roleRef"], "name", &kind);
        for subject in object["subjects"].as_array_mut().into_iter().flatten() {
            let kind = text(&subject["kind"]).to_owned();
            self.field(subject, "name", &kind);
        }
    }

    fn field(&self, value: &mut Value, field: &str, kind: &str) {
        if let Some(fields) = value.as_object_mut() {
            self.in_object(fields, field, kind);
        }
    }

    fn in_object(&self, fields: &mut Map<String, Value>, field: &str, kind: &str) {
        if let Some(Value::String(name)) = fields.get_mut(field)
            && self.has(kind, name)
        {
            name.push_str(&self.suffix);
        }
    }
}

/// Subjects of the old namespace are of the new one.
fn subjects(object: &mut Value, namespace: &str) {
    if text(&object["kind"]) != "RoleBinding" {
        return;
    }
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        if subject.get("namespace").is_some() {
            subject["namespace"] = Value::String(namespace.to_owned());
        }
    }
}

/// Labels that workloads select their pods by.
fn selected_labels(objects: &[Value]) -> BTreeSet<(String, String)> {
    let selectors = objects.iter().filter_map(|object| object["spec"]["selector"]["matchLabels"].as_object());
    let pair = |(key, value): (&String, &Value)| (key.clone(), text(value).to_owned());
    selectors.flatten().map(pair).collect()
}

/// Where labels and selectors stand.
fn labels(object: &mut Value, selected: &BTreeSet<(String, String)>, suffix: &str) {
    let kind = text(&object["kind"]).to_owned();
    let mut places = vec!["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector/matchLabels"];
    match kind.as_str() {
        "Service" => places.push("/spec/selector"),
        "NetworkPolicy" => places.push("/spec/podSelector/matchLabels"),
        _ => {}
    }
    for place in places {
        for (key, value) in object.pointer_mut(place).and_then(Value::as_object_mut).into_iter().flatten() {
            if let Value::String(value) = value
                && selected.contains(&(key.clone(), value.clone()))
            {
                value.push_str(suffix);
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn application() -> Vec<Value> {
        let pod = json!({
            "serviceAccountName": "db", "imagePullSecrets": [{ "name": "pull" }, { "name": "elsewhere" }],
            "volumes": [
                { "name": "data", "persistentVolumeClaim": { "claimName": "extra" } },
                { "name": "conf", "configMap": { "name": "conf" } },
            ],
            "containers": [{ "name": "conf", "envFrom": [{ "secretRef": { "name": "pull" } }], "env": [{ "name": "HOST", "value": "db" }] }],
        });
        let labels = json!({ "app": "db", "tier": "data" });
        vec![
            json!({ "kind": "StatefulSet", "metadata": { "name": "db", "namespace": "shop" }, "spec": {
                "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
                "template": { "metadata": { "labels": labels }, "spec": pod },
                "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] } }),
            json!({ "kind": "Service", "metadata": { "name": "db" }, "spec": { "selector": { "app": "db" } } }),
            json!({ "kind": "ConfigMap", "metadata": { "name": "conf" }, "data": { "name": "conf" } }),
            json!({ "kind": "Secret", "metadata": { "name": "pull" } }),
            json!({ "kind": "ServiceAccount", "metadata": { "name": "db" } }),
            json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "data-db-0" } }),
            json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "extra" } }),
            json!({ "kind": "RoleBinding", "metadata": { "name": "db" }, "roleRef": { "kind": "ClusterRole", "name": "db" },
                "subjects": [{ "kind": "ServiceAccount", "name": "db", "namespace": "shop" }] }),
        ]
    }

    #[test]
    fn without_a_suffix_only_the_namespace_changes() {
        let moved = move_to(&application(), "other", "");
        assert_eq!(moved[0]["metadata"], json!({ "name": "db", "namespace": "other" }));
        assert_eq!(moved[0]["spec"], application()[0]["spec"]);
        assert_eq!(moved[7]["subjects"][0]["namespace"], "other");
    }

    #[test]
    fn with_a_suffix_everything_that_names_an_object_names_the_new_one() {
        let moved = move_to(&application(), "shop", "-copy");
        let spec = &moved[0]["spec"];
        let pod = &spec["template"]["spec"];
        assert_eq!(moved[0]["metadata"]["name"], "db-copy");
        assert_eq!(spec["serviceName"], "db-copy");
        assert_eq!(spec["volumeClaimTemplates"][0]["metadata"]["name"], "data");
        assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "extra-copy");
        assert_eq!(pod["volumes"][1]["configMap"]["name"], "conf-copy");
        assert_eq!(pod["volumes"][1]["name"], "conf");
        assert_eq!(pod["serviceAccountName"], "db-copy");
        assert_eq!(pod["imagePullSecrets"], json!([{ "name": "pull-copy" }, { "name": "elsewhere" }]));
        assert_eq!(pod["containers"][0]["envFrom"][0]["secretRef"]["name"], "pull-copy");
        assert_eq!(pod["containers"][0]["env"][0]["value"], "db");
        assert_eq!(spec["template"]["metadata"]["labels"], json!({ "app": "db-copy", "tier": "data" }));
        assert_eq!(spec["selector"]["matchLabels"], json!({ "app": "db-copy" }));
        assert_eq!(moved[1]["spec"]["selector"], json!({ "app": "db-copy" }));
        assert_eq!(moved[2]["data"], json!({ "name": "conf" }));
        assert_eq!(moved[5]["metadata"]["name"], "data-db-copy-0");
        assert_eq!(moved[6]["metadata"]["name"], "extra-copy");
        assert_eq!(moved[7]["roleRef"]["name"], "db");
        assert_eq!(moved[7]["subjects"][0]["name"], "db-copy");
    }
}
