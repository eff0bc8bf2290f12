//! Which points are void: an `ended` record lists an object that they name (rule `void_by_ended`).
//!
//! Void is what a prune has begun to delete. A point that is void and of which nothing is gone yet can still be read, so nothing here
//! deletes it.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Ended, Id, Label, Manifest, NamedObjects, object_key};

use crate::records;
use crate::repository::store_key;
use crate::walk::{for_each_object, walk};
use crate::{EngineError, Repository};

/// The `ended` records of a team. Those of a chain are read when a point of it is asked about, so that a usual listing costs one LIST.
pub(crate) struct EndedRecords<'a> {
    repository: &'a Repository,
    keys: BTreeMap<Id, Vec<String>>,
    read: BTreeMap<Id, Vec<Ended>>,
}

impl<'a> EndedRecords<'a> {
    /// Lists them.
    pub(crate) fn list(repository: &'a Repository, team: &Label) -> Result<Self, EngineError> {
        let mut keys: BTreeMap<Id, Vec<String>> = BTreeMap::new();
        let prefix = object_key::ended_prefix(team);
        walk(repository, &prefix, object_key::parse_ended, |(_, chain, _, _), object| {
            keys.entry(chain).or_default().push(object.key.as_str().to_owned());
        })?;
        Ok(EndedRecords { repository, keys, read: BTreeMap::new() })
    }

    /// Whether there is a record of the chain at all.
    pub(crate) fn has(&self, chain: &Id) -> bool {
        self.keys.contains_key(chain) || self.read.contains_key(chain)
    }

    /// Whether a record that counts lists an object that the manifest names.
    pub(crate) fn void(&mut self, manifest: &Manifest) -> Result<bool, EngineError> {
        Ok(self.of_chain(manifest.chain)?.iter().any(|ended| ended.voids(manifest)))
    }

    fn of_chain(&mut self, chain: Id) -> Result<&[Ended], EngineError> {
        let mut records = Vec::new();
        for key in self.keys.remove(&chain).unwrap_or_default() {
            self.repository.environment().cancel.check()?;
            records.extend(records::find::<Ended>(self.repository, &key)?);
        }
        let known = self.read.entry(chain).or_default();
        known.append(&mut records);
        Ok(known)
    }
}

/// Whether all objects that a manifest names are there, each asked for by exact key where a listing does not show it.
pub(crate) fn all_objects_stand(repository: &Repository, manifest: &Manifest) -> Result<bool, EngineError> {
    for group in manifest.names().iter() {
        let mut listed = BTreeSet::new();
        for_each_object(repository, &group.prefix(), |object| {
            listed.insert(object.key.as_str().to_owned());
        })?;
        let stands = |key: &String| -> Result<bool, EngineError> {
            Ok(listed.contains(key) || repository.store().exists(&store_key(key)?)?)
        };
        let first_key = match &group {
            NamedObjects::ChainKeys { plan, chain } if repository.is_encrypted() => {
                Some(object_key::chain_key(plan, chain, 1))
            }
            _ => None,
        };
        for key in first_key.into_iter().chain(group.keys()) {
            if !stands(&key)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
