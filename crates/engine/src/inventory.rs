//! What lies in the bucket for one plan: its objects by owner.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{DataObject, Id, Label, Names, PlanId, VolumeName, object_key};

pub(crate) use crate::walk::for_each_object;
use crate::walk::walk;
use crate::{EngineError, Repository};

/// All objects of one plan.
#[derive(Default)]
pub(crate) struct PlanObjects {
    pub(crate) chains: BTreeMap<Id, ChainObjects>,
}

/// All objects of one chain.
#[derive(Default)]
pub(crate) struct ChainObjects {
    /// Number and length of the chain's sealed keys; the run that opened the chain owns them.
    pub(crate) keys: BTreeMap<u32, u64>,
    /// Objects of each volume that a run wrote.
    pub(crate) volumes: BTreeMap<(Id, VolumeName), VolumeObjects>,
    /// Something lies here that is no object of ours: nothing of the chain is touched.
    pub(crate) strange: Option<String>,
}

/// Lengths of the objects that one run wrote for one volume.
#[derive(Default, Clone)]
pub(crate) struct VolumeObjects {
    pub(crate) map: Option<u64>,
    pub(crate) packs: BTreeMap<u32, u64>,
}

impl VolumeObjects {
    pub(crate) fn count(&self) -> u64 {
        self.packs.len() as u64 + u64::from(self.map.is_some())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.packs.values().sum::<u64>() + self.map.unwrap_or(0)
    }
}

impl PlanObjects {
    fn add(&mut self, chain: Id, object: DataObject, len: u64) {
        let chain = self.chains.entry(chain).or_default();
        match object {
            DataObject::ChainKey(number) => {
                chain.keys.insert(number, len);
            }
            DataObject::Map { point, volume } => {
                chain.volumes.entry((point, volume)).or_default().map = Some(len)
            }
            DataObject::Pack { point, volume, number } => {
                chain.volumes.entry((point, volume)).or_default().packs.insert(number, len);
            }
        }
    }

    /// Ids that own an object here.
    pub(crate) fn owners(&self) -> BTreeSet<Id> {
        let of_chain = |(chain, objects): (&Id, &ChainObjects)| {
            let keys = (!objects.keys.is_empty()).then_some(*chain);
            objects.volumes.keys().map(|(point, _)| *point).chain(keys).collect::<Vec<_>>()
        };
        self.chains.iter().flat_map(of_chain).collect()
    }
}

/// Lists the objects of a team, plan by plan.
pub(crate) fn list_objects(
    repository: &Repository,
    team: &Label,
) -> Result<BTreeMap<PlanId, PlanObjects>, EngineError> {
    list_objects_and_strange(repository, team).map(|(plans, _)| plans)
}

/// As [`list_objects`], with the keys of what is not ours.
pub(crate) fn list_objects_and_strange(
    repository: &Repository,
    team: &Label,
) -> Result<(BTreeMap<PlanId, PlanObjects>, Vec<String>), EngineError> {
    let mut plans: BTreeMap<PlanId, PlanObjects> = BTreeMap::new();
    let prefix = object_key::team_data_prefix(team);
    let strange = walk(repository, &prefix, object_key::parse_data, |(plan, chain, data), object| {
        plans.entry(plan).or_default().add(chain, data, object.len);
    })?;
    for key in &strange {
        if let Some((plan, chain)) = object_key::parse_data_chain(key) {
            plans.entry(plan).or_default().chains.entry(chain).or_default().strange = Some(key.clone());
        }
    }
    Ok((plans, strange))
}

/// Ids that own an object of a plan.
pub(crate) fn list_plan_owners(repository: &Repository, plan: &PlanId) -> Result<BTreeSet<Id>, EngineError> {
    let mut objects = PlanObjects::default();
    let prefix = object_key::data_prefix(plan);
    walk(repository, &prefix, object_key::parse_data, |(_, chain, data), object| {
        objects.add(chain, data, object.len);
    })?;
    Ok(objects.owners())
}

/// Objects of a run's volume that nothing names.
pub(crate) fn unnamed(
    names: &Names,
    plan: &PlanId,
    chain: &Id,
    (point, volume): &(Id, VolumeName),
    objects: &VolumeObjects,
) -> VolumeObjects {
    let Some(named) = names.volume(plan, chain, *point, volume) else { return objects.clone() };
    let unnamed = |(number, _): &(&u32, &u64)| !named.packs.contains(**number);
    VolumeObjects {
        map: if named.map { None } else { objects.map },
        packs: objects.packs.iter().filter(unnamed).map(|(number, len)| (*number, *len)).collect(),
    }
}
