//! What manifests name: the objects that must not be deleted while they stand. Along a lineage names only grow.

use std::collections::BTreeMap;

use super::{Manifest, PackRanges};
use crate::object_key::{DataObject, VolumePath, chain_keys_prefix, map, pack, parse_data};
use crate::{FormatError, Id, PlanId, VolumeName};

/// The objects that one or more manifests name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    chains: BTreeMap<(PlanId, Id), Owners>,
}

/// What is named of what each owner wrote for a volume.
type Owners = BTreeMap<(Id, VolumeName), VolumeNames>;

/// What is named of the objects that one run wrote for one volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeNames {
    /// Whether the map object is: then the run made a point.
    pub map: bool,
    /// The packs that are.
    pub packs: PackRanges,
}

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
    /// Objects that a run wrote for a volume.
    Volume {
        /// Where they lie.
        path: VolumePath,
        /// Which of them.
        names: VolumeNames,
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
            Self::Volume { path, names } => Some((path, names)),
        };
        volume.into_iter().flat_map(|(path, names)| {
            let packs = names.packs.numbers().map(move |number| pack(path, number));
            names.map.then(|| map(path)).into_iter().chain(packs)
        })
    }
}

impl Manifest {
    /// All objects it names: what must not be deleted while it stands.
    #[must_use]
    pub fn names(&self) -> Names {
        Names::of(self)
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
                let names = owners.entry((entry.point, record.name.clone())).or_default();
                names.map |= entry.names_map();
                names.packs.add(&entry.named_packs());
            }
        }
    }

    /// Whether `object` of `chain` is named.
    #[must_use]
    pub fn contains(&self, plan: &PlanId, chain: &Id, object: &DataObject) -> bool {
        let Some(owners) = self.chains.get(&(plan.clone(), *chain)) else { return false };
        match object {
            DataObject::ChainKey(_) => true,
            DataObject::Map { point, volume } => {
                owners.get(&(*point, volume.clone())).is_some_and(|names| names.map)
            }
            DataObject::Pack { point, volume, number } => {
                owners.get(&(*point, volume.clone())).is_some_and(|names| names.packs.contains(*number))
            }
        }
    }

    /// Whether the chain, and with it its sealed keys, is named.
    #[must_use]
    pub fn has_chain(&self, plan: &PlanId, chain: &Id) -> bool {
        self.chains.contains_key(&(plan.clone(), *chain))
    }

    /// What is named of what `point` wrote for `volume`; `None` where nothing is.
    #[must_use]
    pub fn volume(&self, plan: &PlanId, chain: &Id, point: Id, volume: &VolumeName) -> Option<&VolumeNames> {
        self.chains.get(&(plan.clone(), *chain))?.get(&(point, volume.clone()))
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
            let volumes = owners.iter().map(|((point, volume), names)| NamedObjects::Volume {
                path: VolumePath { plan: plan.clone(), chain: *chain, point: *point, volume: volume.clone() },
                names: names.clone(),
            });
            std::iter::once(keys).chain(volumes)
        })
    }
}
