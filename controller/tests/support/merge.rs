//! How a patch changes an object: JSON merge patch (RFC 7386), and server-side apply with an owner per field. Lists are one value.

use serde_json::{Map, Value};

/// A field: the names from the object's root to it.
type Path = Vec<String>;

/// RFC 7386: null removes, objects merge, everything else replaces.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let fields = target.as_object_mut().expect("made an object above");
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Server-side apply of one manager: sets what it applies, removes what it applied before and does not any more, unless another manager owns it too.
pub(crate) fn apply<'a>(
    target: &mut Value,
    new: &Value,
    before: Option<&Value>,
    others: impl Iterator<Item = &'a Value>,
) {
    let kept: Vec<Path> = others.flat_map(leaves).chain(leaves(new)).collect();
    for path in before.map(leaves).unwrap_or_default() {
        if !kept.contains(&path) {
            remove(target, &path);
        }
    }
    merge(target, new);
}

/// The fields that a manager would take from another one: applied by both, with another value.
pub(crate) fn conflicts(new: &Value, other: &Value) -> Vec<String> {
    let differs = |path: &Path| {
        let ours = get(new, path);
        get(other, path).is_some_and(|theirs| Some(theirs) != ours)
    };
    leaves(new).into_iter().filter(differs).map(|path| path.join(".")).collect()
}

/// The fields of an applied object, without those that name it.
fn leaves(value: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    collect(value, &mut Vec::new(), &mut found);
    found.retain(|path| {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        !matches!(names.as_slice(), ["apiVersion" | "kind", ..] | ["metadata", "name" | "namespace", ..])
    });
    found
}

fn collect(value: &Value, path: &mut Path, found: &mut Vec<Path>) {
    match value {
        // An empty object has no field to own.
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name.clone());
                collect(value, path, found);
                path.pop();
            }
        }
        _ => found.push(path.clone()),
    }
}

fn get<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn remove(value: &mut Value, path: &[String]) {
    let [parents @ .., last] = path else { return };
    let parent = parents.iter().try_fold(value, |value, name| value.get_mut(name));
    if let Some(fields) = parent.and_then(Value::as_object_mut) {
        fields.remove(last);
    }
}
