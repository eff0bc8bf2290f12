//! How prune reads the manifests of a plan: those that a listing shows, and those of every id that any name mentions, by exact key.
//!
//! Rule `list_is_no_proof_of_absence`: an id is without a manifest only after a GET by its exact key said so. Rule `reread_until_still`: a
//! reading counts only if no manifest went away during it. One manifest is held at a time; what stays of it is what it names and a few words.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{
    Digest, Id, Manifest, Names, PlanId, PointState, PointType, Signed, VolumeName, object_key,
};

use crate::catalog::{PointEntry, confirms, decode_manifest};
use crate::inventory::list_plan_owners;
use crate::records::{is_bad_object, is_ending, may_be_ending};
use crate::repository::{MANIFEST_BYTES_MAX, find_object};
use crate::voids::{EndedRecords, all_objects_stand};
use crate::walk::walk;
use crate::{EngineError, Repository};

/// Readings before a plan is left alone because points are being forgotten all the time.
const READINGS_MAX: usize = 16;

/// What is known of a plan's manifests.
pub(crate) struct Survey<'a> {
    repository: &'a Repository,
    plan: &'a PlanId,
    /// Ids that any name has mentioned.
    known: BTreeSet<Id>,
    /// Ids whose manifest is gone for good: none stood after their signed `ending` record did.
    gone: BTreeSet<Id>,
    /// Ids without a manifest of whose end something speaks that is not signed: it was reason to read again, once.
    doubted: BTreeSet<Id>,
    names: Names,
    /// Points whose manifests stand and are not void.
    pub(crate) standing: BTreeMap<Id, Standing>,
    /// Points that an `ended` list made void and that can no longer be read, or that replaced keys signed after their rotation: nobody sees them, and they protect nothing.
    pub(crate) void: BTreeSet<Id>,
    /// Points that an `ended` list made void and that are confirmed and whole: whoever ended them did not go by the rules.
    pub(crate) void_but_whole: BTreeSet<Id>,
    /// Manifests that cannot be read.
    pub(crate) unreadable: BTreeMap<Id, String>,
}

/// What is kept of a manifest.
pub(crate) struct Standing {
    entry: PointEntry,
    digest: Digest,
    pub(crate) volumes: Vec<StandingVolume>,
}

/// What is kept of a volume of a point.
pub(crate) struct StandingVolume {
    pub(crate) name: VolumeName,
    pub(crate) point_type: PointType,
    /// Bytes of map and trailers.
    pub(crate) metadata: u64,
    /// The first point of its lineage.
    pub(crate) first: Option<Id>,
}

impl Standing {
    fn new(plan: &PlanId, manifest: &Signed<Manifest>) -> Standing {
        let volumes = manifest.payload.volume_records().map(|record| StandingVolume {
            name: record.name.clone(),
            point_type: record.point_type,
            metadata: record.metadata,
            first: record.lineage.first().map(|entry| entry.point),
        });
        let summary = manifest.payload.summary();
        Standing {
            entry: PointEntry::new(plan.clone(), manifest.payload.point, summary),
            digest: manifest.seal.digest,
            volumes: volumes.collect(),
        }
    }
}

impl<'a> Survey<'a> {
    /// Starts from the ids that own an object.
    pub(crate) fn new(repository: &'a Repository, plan: &'a PlanId, owners: BTreeSet<Id>) -> Self {
        Survey {
            repository,
            plan,
            known: owners,
            gone: BTreeSet::new(),
            doubted: BTreeSet::new(),
            names: Names::default(),
            standing: BTreeMap::new(),
            void: BTreeSet::new(),
            void_but_whole: BTreeSet::new(),
            unreadable: BTreeMap::new(),
        }
    }

    /// Reads once. Returns whether a manifest went away meanwhile.
    pub(crate) fn read(&mut self) -> Result<bool, EngineError> {
        self.names = Names::default();
        self.standing.clear();
        self.void.clear();
        self.void_but_whole.clear();
        self.unreadable.clear();
        let mut ended = EndedRecords::list(self.repository, &self.plan.team)?;
        let prefix = object_key::plan_points_prefix(self.plan);
        walk(self.repository, &prefix, object_key::parse_manifest, |(_, id), _| {
            self.known.insert(id);
        })?;
        let mut moved = false;
        let mut todo: BTreeSet<Id> = self.known.difference(&self.gone).copied().collect();
        while let Some(id) = todo.pop_first() {
            self.repository.environment().cancel.check()?;
            match self.manifest(&id)? {
                Some(manifest) => self.note(&manifest, &mut ended, &mut todo)?,
                None => moved |= self.is_gone_now(id, &mut ended, &mut todo)?,
            }
        }
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
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The newest complete point that a record of its run confirms; newest is the last in the order of the points.
    pub(crate) fn newest_confirmed(&self) -> Result<Option<Id>, EngineError> {
        let mut whole: Vec<&Standing> = self.standing.values().collect();
        whole.retain(|standing| standing.entry.summary.state == PointState::Available);
        whole.sort_by_key(|standing| standing.entry.order());
        for standing in whole.into_iter().rev() {
            if self.is_confirmed(standing)? {
                return Ok(Some(standing.entry.id));
            }
        }
        Ok(None)
    }

    fn is_confirmed(&self, standing: &Standing) -> Result<bool, EngineError> {
        Ok(confirms(self.repository, &standing.entry)? == Some(standing.digest))
    }

    fn note(
        &mut self,
        signed: &Signed<Manifest>,
        ended: &mut EndedRecords<'_>,
        todo: &mut BTreeSet<Id>,
    ) -> Result<(), EngineError> {
        let manifest = &signed.payload;
        let lineages = manifest.volume_records().flat_map(|record| record.lineage.iter());
        let related = lineages.map(|entry| entry.point).chain(manifest.parent).chain([manifest.chain]);
        for id in related {
            if self.known.insert(id) {
                todo.insert(id);
            }
        }
        let standing = Standing::new(self.plan, signed);
        // Rules void_by_ended and whole_stays: records alone, even signed ones, destroy nothing that is confirmed and whole.
        if ended.void(manifest)? {
            if !(self.is_confirmed(&standing)? && all_objects_stand(self.repository, manifest)?) {
                self.void.insert(manifest.point);
                return Ok(());
            }
            self.void_but_whole.insert(manifest.point);
        }
        self.names.add(manifest);
        self.standing.insert(manifest.point, standing);
        Ok(())
    }

    fn manifest(&mut self, id: &Id) -> Result<Option<Signed<Manifest>>, EngineError> {
        let key = object_key::manifest(self.plan, id);
        let read = self.repository.rereads().reread_damage(|| {
            let bytes = find_object(self.repository.store().as_ref(), &key, MANIFEST_BYTES_MAX)?;
            bytes.map(|bytes| decode_manifest(self.repository, &key, &bytes)).transpose()
        });
        match read {
            // Nobody was told of it, and it counts for nothing: it is void as what an `ended` list names.
            Err(error) if error.is_replaced() => {
                self.void.insert(*id);
                Ok(None)
            }
            Err(error) if is_bad_object(&error) => {
                self.unreadable.insert(*id, error.to_string());
                Ok(None)
            }
            other => other,
        }
    }

    /// Only forget deletes a manifest that counts, and puts the `ending` record first: without one there never was any.
    fn is_gone_now(
        &mut self,
        id: Id,
        ended: &mut EndedRecords<'_>,
        todo: &mut BTreeSet<Id>,
    ) -> Result<bool, EngineError> {
        if self.unreadable.contains_key(&id)
            || self.void.contains(&id)
            || !may_be_ending(self.repository, &self.plan.team, &id)?
        {
            return Ok(false);
        }
        if let Some(manifest) = self.manifest(&id)? {
            self.note(&manifest, ended, todo)?;
            return Ok(false);
        }
        // A run believes only what is signed: of an id whose end is not, a manifest may still come.
        match is_ending(self.repository, &self.plan.team, &id)? {
            true => Ok(self.gone.insert(id)),
            false => Ok(self.doubted.insert(id)),
        }
    }
}
