//! What manifests name: the objects that must not be deleted while they stand. Along a lineage names only grow.

use std::collections::BTreeMap;

use super::Manifest;
use crate::object_key::{DataObject, VolumePath, chain_keys_prefix, map, pack, parse_data};
use crate::{FormatError, Id, PlanId, VolumeName};

/// The objects that one or more manifests name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    chains: BTreeMap<(PlanId, Id), Owners>,
}

/// Number of packs by owner and volume; an entry names the map object too.
type Owners = BTreeMap<(Id, VolumeName), u32>;

/// A group of objects that are named together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedObjects {
    /// All sealed keys of a chain.
    ChainKeys {
        /// Plan of the chain.
        plan: PlanId,
        /// The chain.
        chain: Id,
    },
    /// The map object and packs `0..packs` that a point wrote for a volume.
    Volume {
        /// Where they lie.
        path: VolumePath,
        /// Number of packs.
        packs: u32,
    },
}

impl NamedObjects {
    /// The prefix that a listing of the group starts from.
    #[must_use]
    pub fn prefix(&self) -> String {
        match self {
            Self::ChainKeys { plan, chain } => chain_keys_prefix(plan, chain),
            Self::Volume { path, .. } => crate::object_key::volume_prefix(path),
        }
    }

    /// Keys of the map and the packs; none for chain keys, whose number no manifest knows.
    pub fn keys(&self) -> impl Iterator<Item = String> + '_ {
        let volume = match self {
            Self::ChainKeys { .. } => None,
            Self::Volume { path, packs } => Some((path, *packs)),
        };
        volume.into_iter().flat_map(|(path, packs)| {
            std::iter::once(map(path)).chain((0..packs).map(move |number| pack(path, number)))
        })
    }
}

impl Names {
    /// The objects that `manifest` names.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let mut names = Self::default();
        names.add(manifest);
        names
    }

    /// Adds the objects that `manifest` names.
    pub fn add(&mut self, manifest: &Manifest) {
        let owners = self.chains.entry((manifest.plan_id(), manifest.chain)).or_default();
        for record in manifest.volume_records() {
            for entry in &record.lineage {
                let packs = owners.entry((entry.point, record.name.clone())).or_default();
                *packs = entry.packs.max(*packs);
            }
        }
    }

    /// Whether `object` of `chain` is named.
    #[must_use]
    pub fn contains(&self, plan: &PlanId, chain: &Id, object: &DataObject) -> bool {
        let Some(owners) = self.chains.get(&(plan.clone(), *chain)) else { return false };
        match object {
            DataObject::ChainKey(_) => true,
            DataObject::Map { point, volume } => owners.contains_key(&(*point, volume.clone())),
            DataObject::Pack { point, volume, number } => {
                owners.get(&(*point, volume.clone())).is_some_and(|packs| number < packs)
            }
        }
    }

    /// Whether the chain, and with it its sealed keys, is named.
    #[must_use]
    pub fn has_chain(&self, plan: &PlanId, chain: &Id) -> bool {
        self.chains.contains_key(&(plan.clone(), *chain))
    }

    /// How many packs that `point` wrote for `volume` are named, from 0 on; `None` where not even the map object is.
    #[must_use]
    pub fn packs(&self, plan: &PlanId, chain: &Id, point: Id, volume: &VolumeName) -> Option<u32> {
        self.chains.get(&(plan.clone(), *chain))?.get(&(point, volume.clone())).copied()
    }

    /// Whether the object under `key` is named. An error when `key` is not that of an object below `data/`.
    pub fn contains_key(&self, key: &str) -> Result<bool, FormatError> {
        let (plan, chain, object) = parse_data(key)?;
        Ok(self.contains(&plan, &chain, &object))
    }

    /// The chains named.
    pub fn chains(&self) -> impl Iterator<Item = (&PlanId, Id)> {
        self.chains.keys().map(|(plan, chain)| (plan, *chain))
    }

    /// All objects, as groups.
    pub fn iter(&self) -> impl Iterator<Item = NamedObjects> + '_ {
        self.chains.iter().flat_map(|((plan, chain), owners)| {
            let keys = NamedObjects::ChainKeys { plan: plan.clone(), chain: *chain };
            let volumes = owners.iter().map(|((point, volume), packs)| NamedObjects::Volume {
                path: VolumePath { plan: plan.clone(), chain: *chain, point: *point, volume: volume.clone() },
                packs: *packs,
            });
            std::iter::once(keys).chain(volumes)
        })
    }
}
