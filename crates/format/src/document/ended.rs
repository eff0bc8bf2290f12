//! The list of what a prune run deletes of an id: whoever names any of it from then on is void.

use serde::{Deserialize, Serialize};

use super::record::{plan_of_record, record_document};
use super::{Document, LineageEntry, Manifest, VolumeRecord, check_format};
use crate::error::{check, check_range};
use crate::object_key::{self, DataObject, PACKS_MAX};
use crate::{FormatError, Id, Label, PlanId, RepositoryId, Timestamp, VolumeName};

/// What a prune run deletes of a point: a manifest that names any of it is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Label,
    /// Namespace.
    pub namespace: Label,
    /// Plan.
    pub plan: Label,
    /// The chain.
    pub chain: Id,
    /// The point that owns the objects, or the chain for its keys.
    pub point: Id,
    /// The prune run.
    pub run: Id,
    /// When.
    pub time: Timestamp,
    /// The objects.
    pub objects: EndedObjects,
}

/// Objects below one chain of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndedObjects {
    /// Numbers of sealed chain keys, ascending.
    pub keys: Vec<u32>,
    /// Objects of volumes, ascending by name.
    pub volumes: Vec<EndedVolume>,
}

/// Objects of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndedVolume {
    /// The volume.
    pub name: VolumeName,
    /// Whether the map object is among them.
    pub map: bool,
    /// Ranges of pack numbers, first and last, ascending and not adjacent.
    pub packs: Vec<(u32, u32)>,
}

record_document!(Ended, "ended");
plan_of_record!(Ended);

impl Ended {
    /// The key it belongs under.
    #[must_use]
    pub fn key(&self) -> String {
        object_key::ended(&self.team, &self.chain, &self.point, &self.run)
    }

    /// Whether `object` of `chain` is on the list.
    #[must_use]
    pub fn contains(&self, chain: &Id, object: &DataObject) -> bool {
        if *chain != self.chain || object.owner().is_some_and(|owner| owner != self.point) {
            return false;
        }
        match object {
            DataObject::ChainKey(number) => self.objects.keys.binary_search(number).is_ok(),
            DataObject::Map { volume, .. } => self.volume(volume).is_some_and(|volume| volume.map),
            DataObject::Pack { volume, number, .. } => {
                let within = |(first, last): &(u32, u32)| (first..=last).contains(&number);
                self.volume(volume).is_some_and(|volume| volume.packs.iter().any(within))
            }
        }
    }

    /// Whether it makes `manifest` void: the manifest names an object that is on the list.
    #[must_use]
    pub fn voids(&self, manifest: &Manifest) -> bool {
        let named = |record: &VolumeRecord| {
            let entry = record.lineage.iter().find(|entry| entry.point == self.point);
            entry.zip(self.volume(&record.name)).is_some_and(|(entry, ended)| ended.has_any_of(entry))
        };
        manifest.plan_id() == self.plan_id()
            && manifest.chain == self.chain
            && (!self.objects.keys.is_empty() || manifest.volume_records().any(named))
    }

    /// The listed objects.
    pub fn data_objects(&self) -> impl Iterator<Item = DataObject> + '_ {
        let keys = self.objects.keys.iter().map(|number| DataObject::ChainKey(*number));
        keys.chain(self.objects.volumes.iter().flat_map(|volume| volume.data_objects(self.point)))
    }

    fn volume(&self, name: &VolumeName) -> Option<&EndedVolume> {
        let index = self.objects.volumes.binary_search_by(|volume| volume.name.cmp(name)).ok()?;
        self.objects.volumes.get(index)
    }

    fn check_values(&self) -> Result<(), FormatError> {
        const WHAT: &str = Ended::KIND;
        let EndedObjects { keys, volumes } = &self.objects;
        check(keys.is_sorted_by(|before, after| before < after), WHAT, "key numbers do not ascend")?;
        check(keys.first().is_none_or(|first| *first > 0), WHAT, "key number 0")?;
        check(volumes.is_sorted_by(|before, after| before.name < after.name), WHAT, "volumes do not ascend")?;
        check(!(keys.is_empty() && volumes.is_empty()), WHAT, "names nothing")?;
        volumes.iter().try_for_each(EndedVolume::check_values)
    }
}

impl EndedVolume {
    /// Whether an object that `entry` names is on the list.
    fn has_any_of(&self, entry: &LineageEntry) -> bool {
        let named = entry.named_packs();
        (self.map && entry.names_map()) || self.packs.iter().any(|range| named.overlaps(*range))
    }

    fn data_objects(&self, point: Id) -> impl Iterator<Item = DataObject> + '_ {
        let map = self.map.then(|| DataObject::Map { point, volume: self.name.clone() });
        let numbers = self.packs.iter().flat_map(|(first, last)| *first..=*last);
        let packs = numbers.map(move |number| DataObject::Pack { point, volume: self.name.clone(), number });
        map.into_iter().chain(packs)
    }

    fn check_values(&self) -> Result<(), FormatError> {
        const WHAT: &str = Ended::KIND;
        check(self.map || !self.packs.is_empty(), WHAT, "a volume names nothing")?;
        for (first, last) in &self.packs {
            check_range(
                WHAT,
                "last pack of a range",
                (*last).into(),
                (*first).into(),
                u64::from(PACKS_MAX) - 1,
            )?;
        }
        let apart = self.packs.is_sorted_by(|(_, last), (first, _)| last.saturating_add(1) < *first);
        check(apart, WHAT, "ranges of packs do not ascend or could be one")
    }
}
