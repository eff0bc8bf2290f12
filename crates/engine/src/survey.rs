//! How prune reads the manifests of a plan: those that a listing shows, and those of every id that any name mentions, by exact key.
//!
//! Rule `list_is_no_proof_of_absence`: an id is without a manifest only after a GET by its exact key said so. Rule `reread_until_still`: a
//! reading counts only if no manifest went away during it.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Id, Manifest, Names, PlanId, PointState, object_key};

use crate::catalog::{decode_manifest, read_ended};
use crate::inventory::{for_each_object, list_plan_owners, names_of};
use crate::repository::{MANIFEST_BYTES_MAX, find_object, store_key};
use crate::{EngineError, Repository};

/// Readings before a plan is left alone because points are being forgotten all the time.
const READINGS_MAX: usize = 16;

/// What is known of a plan's manifests.
pub(crate) struct Survey<'a> {
    repository: &'a Repository,
    plan: &'a PlanId,
    /// Ids that any name has mentioned.
    known: BTreeSet<Id>,
    /// Ids whose manifest is gone for good: none stood after their `ending` record did.
    gone: BTreeSet<Id>,
    /// Manifests that stand and are not void.
    pub(crate) standing: BTreeMap<Id, Manifest>,
    /// Points that an `ended` list made void, or that replaced keys signed after their rotation: nobody sees them, and they protect nothing.
    pub(crate) void: BTreeSet<Id>,
    /// Manifests that cannot be read.
    pub(crate) unreadable: BTreeMap<Id, String>,
}

impl<'a> Survey<'a> {
    /// Starts from the ids that own an object.
    pub(crate) fn new(repository: &'a Repository, plan: &'a PlanId, owners: BTreeSet<Id>) -> Self {
        Survey {
            repository,
            plan,
            known: owners,
            gone: BTreeSet::new(),
            standing: BTreeMap::new(),
            void: BTreeSet::new(),
            unreadable: BTreeMap::new(),
        }
    }

    /// Reads once. Returns whether a manifest went away meanwhile.
    pub(crate) fn read(&mut self) -> Result<bool, EngineError> {
        self.standing.clear();
        self.void.clear();
        self.unreadable.clear();
        for_each_object(self.repository, &object_key::plan_points_prefix(self.plan), |object| {
            if let Ok((_, id)) = object_key::parse_manifest(object.key.as_str()) {
                self.known.insert(id);
            }
        })?;
        let mut moved = false;
        let mut todo: BTreeSet<Id> = self.known.difference(&self.gone).copied().collect();
        while let Some(id) = todo.pop_first() {
            self.repository.environment().cancel.check()?;
            match self.manifest(&id)? {
                Some(manifest) => {
                    let lineages = manifest.volume_records().flat_map(|record| record.lineage.iter());
                    let related =
                        lineages.map(|entry| entry.point).chain(manifest.parent).chain([manifest.chain]);
                    for id in related {
                        if self.known.insert(id) {
                            todo.insert(id);
                        }
                    }
                    self.standing.insert(id, manifest);
                }
                None => moved |= self.is_gone_now(id)?,
            }
        }
        self.set_void_apart()?;
        Ok(moved)
    }

    /// Reads, data owners included, until nothing went away during a reading.
    pub(crate) fn read_until_still(&mut self) -> Result<(), EngineError> {
        for _ in 0..READINGS_MAX {
            // Rule reread_lists_data: new ids come from the owner parts of names.
            self.known.extend(list_plan_owners(self.repository, self.plan)?);
            if !self.read()? {
                return Ok(());
            }
        }
        self.unreadable.insert(
            Id::from_bytes([0; 16]),
            format!(
                "points went away during each of {READINGS_MAX} readings; run prune again when no forget runs"
            ),
        );
        Ok(())
    }

    /// What the standing manifests name.
    pub(crate) fn names(&self) -> Names {
        names_of(self.standing.values())
    }

    /// The newest complete point whose run confirmed it; ids are in the order in which the runs began.
    pub(crate) fn newest_confirmed(&self) -> Result<Option<Id>, EngineError> {
        for (id, manifest) in self.standing.iter().rev() {
            let confirmed = object_key::confirmed(self.plan, id, &manifest.summary());
            if manifest.state == PointState::Available
                && self.repository.store().exists(&store_key(&confirmed)?)?
            {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }

    fn manifest(&mut self, id: &Id) -> Result<Option<Manifest>, EngineError> {
        let key = object_key::manifest(self.plan, id);
        let Some(bytes) = find_object(self.repository.store().as_ref(), &key, MANIFEST_BYTES_MAX)? else {
            return Ok(None);
        };
        match decode_manifest(self.repository, &key, &bytes) {
            Ok(manifest) => Ok(Some(manifest.payload)),
            // Nobody was told of it, and it counts for nothing: it is void as what an `ended` list names.
            Err(error) if error.is_replaced() => {
                self.void.insert(*id);
                Ok(None)
            }
            Err(error) => {
                self.unreadable.insert(*id, error.to_string());
                Ok(None)
            }
        }
    }

    /// Only forget deletes a manifest that counts, and puts the `ending` record first: without one there never was any.
    fn is_gone_now(&mut self, id: Id) -> Result<bool, EngineError> {
        if self.unreadable.contains_key(&id) || self.void.contains(&id) {
            return Ok(false);
        }
        let store = self.repository.store().as_ref();
        if !store.exists(&store_key(&object_key::ending(&self.plan.team, &id))?)? {
            return Ok(false);
        }
        if let Some(manifest) = self.manifest(&id)? {
            self.standing.insert(id, manifest);
            return Ok(false);
        }
        self.gone.insert(id);
        Ok(true)
    }

    /// Rule `void_by_ended`.
    fn set_void_apart(&mut self) -> Result<(), EngineError> {
        let chains = self.standing.values().map(|manifest| manifest.chain).collect();
        let ended = read_ended(self.repository, &self.plan.team, &chains)?;
        let is_void = |manifest: &Manifest| {
            ended.iter().any(|ended| ended.chain == manifest.chain && ended.voids(manifest))
        };
        let void: BTreeSet<Id> =
            self.standing.iter().filter(|(_, manifest)| is_void(manifest)).map(|(id, _)| *id).collect();
        self.standing.retain(|id, _| !void.contains(id));
        self.void.extend(void);
        Ok(())
    }
}
