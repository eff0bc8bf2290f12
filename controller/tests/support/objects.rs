//! The objects of the API in memory: revisions, generations, finalizers, owners of fields, and the log that watches read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::address::{Address, Collection};
use super::merge;
use super::refusal::Refusal;

/// An object's place: collection, namespace (empty where it has none), name.
type Place = (Collection, String, String);

/// What a change was, for watches.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) collection: Collection,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// How a write is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Write<'a> {
    /// The whole object; its resourceVersion is compared where it is there.
    Replace,
    /// JSON merge patch.
    Merge,
    /// Server-side apply.
    Apply { manager: &'a str, is_forced: bool },
}

#[derive(Default)]
struct Stored {
    object: Value,
    /// What each manager applied last, by manager and subresource.
    applied: BTreeMap<(String, String), Value>,
}

/// All objects.
#[derive(Default)]
pub(crate) struct Objects {
    revision: u64,
    stored: BTreeMap<Place, Stored>,
    changes: Vec<Change>,
    /// Changes up to this revision are forgotten.
    compacted: u64,
}

impl Objects {
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Changes after a revision.
    pub(crate) fn changes_after(&self, revision: u64) -> Result<Vec<Change>, Refusal> {
        if revision < self.compacted {
            return Err(Refusal::new(410, "Expired", format!("too old resource version: {revision}")));
        }
        Ok(self.changes.iter().filter(|change| change.revision > revision).cloned().collect())
    }

    /// Forgets the log, as etcd does in time: watches from before have to list again.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.changes.clear();
    }

    pub(crate) fn get(&self, address: &Address) -> Result<Value, Refusal> {
        let stored = self.stored.get(&place(address)).ok_or_else(|| Refusal::not_found(&told(address)))?;
        Ok(stored.object.clone())
    }

    pub(crate) fn all<'a>(&'a self, collection: &'a Collection) -> impl Iterator<Item = &'a Value> {
        let of_collection = self.stored.iter().filter(move |((found, _, _), _)| found == collection);
        of_collection.map(|(_, stored)| &stored.object)
    }

    pub(crate) fn create(&mut self, address: &Address, mut object: Value) -> Result<Value, Refusal> {
        let address = named(address, &object, self.revision)?;
        if self.stored.contains_key(&place(&address)) {
            return Err(Refusal::new(409, "AlreadyExists", format!("{} already exists", told(&address))));
        }
        let metadata = object["metadata"].as_object_mut().ok_or_else(|| Refusal::bad("no metadata"))?;
        if metadata.get("resourceVersion").is_some_and(|version| version != "") {
            return Err(Refusal::bad("resourceVersion should not be set on objects to be created"));
        }
        metadata.insert("name".into(), json!(address.name));
        if let Some(namespace) = &address.namespace {
            metadata.insert("namespace".into(), json!(namespace));
        }
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.revision + 1);
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("generation".into(), json!(1));
        metadata.insert("creationTimestamp".into(), json!("2026-01-01T00:00:00Z"));
        Ok(self.store(&address, None, object))
    }

    pub(crate) fn write(
        &mut self,
        address: &Address,
        body: &Value,
        write: Write<'_>,
    ) -> Result<Value, Refusal> {
        let Some(stored) = self.stored.get_mut(&place(address)) else {
            return self.apply_to_none(address, body, write);
        };
        let before = stored.object.clone();
        is_current(&before, body)?;
        let subresource = address.subresource.clone().unwrap_or_default();
        let mut after = before.clone();
        match write {
            Write::Replace => after = body.clone(),
            Write::Merge => merge::merge(&mut after, body),
            Write::Apply { manager, is_forced } => {
                let key = (manager.to_owned(), subresource.clone());
                let others = || stored.applied.iter().filter(|(other, _)| **other != key).map(|(_, v)| v);
                let taken: Vec<String> = others().flat_map(|other| merge::conflicts(body, other)).collect();
                if !is_forced && !taken.is_empty() {
                    return Err(Refusal::conflict(format!("fields of other managers: {}", taken.join(", "))));
                }
                merge::apply(&mut after, body, stored.applied.get(&key), others());
                stored.applied.insert(key, body.clone());
            }
        }
        let after = kept_apart(&before, after, &subresource);
        Ok(self.change(address, before, after))
    }

    pub(crate) fn delete(&mut self, address: &Address, uid: Option<&str>) -> Result<Value, Refusal> {
        let before = self.get(address)?;
        if uid.is_some_and(|uid| before["metadata"]["uid"] != uid) {
            return Err(Refusal::conflict("the object has another uid"));
        }
        let mut after = before.clone();
        after["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        Ok(self.change(address, before, after))
    }

    /// Apply makes what is not there; every other write, and a subresource, needs the object.
    fn apply_to_none(&mut self, address: &Address, body: &Value, write: Write<'_>) -> Result<Value, Refusal> {
        let (Write::Apply { manager, .. }, None) = (write, &address.subresource) else {
            return Err(Refusal::not_found(&told(address)));
        };
        let mut object = body.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let object = self.create(address, object)?;
        let stored = self.stored.get_mut(&place(address)).expect("stored above");
        stored.applied.insert((manager.to_owned(), String::new()), body.clone());
        Ok(object)
    }

    /// Stores what changed, or removes what nothing holds any more. A write that changes nothing makes no revision, as on the real server.
    fn change(&mut self, address: &Address, before: Value, mut after: Value) -> Value {
        if after == before {
            return after;
        }
        let content = |object: &Value| {
            let mut content = object.clone();
            if let Some(fields) = content.as_object_mut() {
                fields.remove("metadata");
                fields.remove("status");
            }
            content
        };
        if content(&before) != content(&after) {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
            after["metadata"]["generation"] = json!(generation + 1);
        }
        let is_held = after["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        if after["metadata"]["deletionTimestamp"].is_null() || is_held {
            return self.store(address, Some(before), after);
        }
        self.revision += 1;
        after["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.stored.remove(&place(address));
        // A watch tells of a removed object as it was last, with the revision of its removal.
        self.log(address, Some(after.clone()), None);
        after
    }

    fn store(&mut self, address: &Address, before: Option<Value>, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.stored.entry(place(address)).or_default().object = object.clone();
        self.log(address, before, Some(object.clone()));
        object
    }

    fn log(&mut self, address: &Address, before: Option<Value>, after: Option<Value>) {
        let collection = address.collection.clone();
        self.changes.push(Change { revision: self.revision, collection, before, after });
    }
}

fn place(address: &Address) -> Place {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    (address.collection.clone(), text(&address.namespace), text(&address.name))
}

fn told(address: &Address) -> String {
    format!("{} \"{}\"", address.collection.plural, address.name.clone().unwrap_or_default())
}

/// The address of a new object: by its name, or by one made from `generateName`.
fn named(address: &Address, object: &Value, revision: u64) -> Result<Address, Refusal> {
    let metadata = &object["metadata"];
    let generated = || metadata["generateName"].as_str().map(|prefix| format!("{prefix}{revision:05}"));
    let name = metadata["name"].as_str().map(str::to_owned).or_else(generated);
    let name = name.ok_or_else(|| Refusal::new(422, "Invalid", "metadata.name: Required value"))?;
    if address.name.as_ref().is_some_and(|wanted| *wanted != name) {
        return Err(Refusal::bad(format!("the name of the object ({name}) does not match the path")));
    }
    Ok(Address { name: Some(name), ..address.clone() })
}

/// Who sends a resourceVersion or uid means that one only.
fn is_current(object: &Value, body: &Value) -> Result<(), Refusal> {
    for field in ["resourceVersion", "uid"] {
        let meant = body["metadata"][field].as_str().filter(|meant| !meant.is_empty());
        if meant.is_some_and(|meant| object["metadata"][field] != meant) {
            return Err(Refusal::conflict(format!("the object has been modified: another {field}")));
        }
    }
    Ok(())
}

/// A write of the object keeps the status as it was; a write of the status keeps everything else. What the server sets stays its own.
fn kept_apart(before: &Value, after: Value, subresource: &str) -> Value {
    let (mut kept, status) = if subresource == "status" {
        (before.clone(), after.get("status"))
    } else {
        (after.clone(), before.get("status"))
    };
    let status = status.cloned();
    let fields = kept.as_object_mut().expect("objects are JSON objects");
    match status {
        Some(status) => fields.insert("status".into(), status),
        None => fields.remove("status"),
    };
    for name in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
    ] {
        if let Some(value) = before["metadata"].get(name) {
            kept["metadata"][name] = value.clone();
        }
    }
    kept
}
