//! Objects that no manifest names. Pure.

use std::collections::BTreeMap;

use coffer_format::{EndedObjects, EndedVolume, Id, Names, PlanId, VolumeName, VolumePath, object_key};
use coffer_store::Key;

use crate::EngineError;
use crate::inventory::{VolumeObjects, unnamed};
use crate::repository::store_key;

/// Free objects of one id in one chain.
#[derive(Default, Clone)]
pub(super) struct Free {
    pub(super) keys: BTreeMap<u32, u64>,
    pub(super) volumes: BTreeMap<VolumeName, VolumeObjects>,
}

/// By chain and owner.
pub(super) type FreeByOwner = BTreeMap<(Id, Id), Free>;

impl Free {
    /// How many there are.
    pub(super) fn objects(&self) -> u64 {
        self.keys.len() as u64 + self.volumes.values().map(VolumeObjects::count).sum::<u64>()
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.keys.values().sum::<u64>() + self.volumes.values().map(VolumeObjects::bytes).sum::<u64>()
    }

    /// As an `ended` list names them.
    pub(super) fn ended_objects(&self) -> EndedObjects {
        let volumes = self.volumes.iter().map(|(name, objects)| EndedVolume {
            name: name.clone(),
            map: objects.map.is_some(),
            packs: ranges(objects.packs.keys().copied()),
        });
        EndedObjects { keys: self.keys.keys().copied().collect(), volumes: volumes.collect() }
    }

    /// Keys of all of it: maps and packs first, as without the chain's keys nothing could be read of them.
    pub(super) fn keys_of(&self, plan: &PlanId, chain: Id, owner: Id) -> Result<Vec<Key>, EngineError> {
        let mut keys = Vec::new();
        for (volume, objects) in &self.volumes {
            let path = VolumePath { plan: plan.clone(), chain, point: owner, volume: volume.clone() };
            if objects.map.is_some() {
                keys.push(store_key(&object_key::map(&path))?);
            }
            for number in objects.packs.keys() {
                keys.push(store_key(&object_key::pack(&path, *number))?);
            }
        }
        for number in self.keys.keys() {
            keys.push(store_key(&object_key::chain_key(plan, &chain, *number))?);
        }
        Ok(keys)
    }
}

/// What a manifest names by now stays.
pub(super) fn take_back(free: &mut FreeByOwner, plan: &PlanId, names: &Names) {
    for ((chain, owner), free) in free.iter_mut() {
        if names.has_chain(plan, chain) {
            free.keys.clear();
        }
        for (volume, objects) in &mut free.volumes {
            *objects = unnamed(names, plan, chain, &(*owner, volume.clone()), objects);
        }
        free.volumes.retain(|_, objects| objects.count() > 0);
    }
    free.retain(|_, free| !free.keys.is_empty() || !free.volumes.is_empty());
}

/// Joins ascending numbers to inclusive ranges.
fn ranges(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}
