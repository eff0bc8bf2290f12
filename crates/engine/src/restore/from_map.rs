//! Restores a volume by its map object alone, where the manifest that named it is lost.

use std::sync::Arc;

use coffer_format::{DataObject, Id, PlanId, VolumeName, VolumePath, object_key};

use super::request::{Goal, RestoreVolume};
use super::run::{Job, RestoreReport};
use crate::backup::Progress;
use crate::chain_keys::open_chain_key;
use crate::read::volume_map::VolumeMap;
use crate::{EngineError, Repository, Resources};

/// What a map object says of its volume.
#[derive(Debug, Clone)]
pub struct MapVolume {
    /// The plan whose point it was.
    pub plan: PlanId,
    /// The point.
    pub point: Id,
    /// The volume.
    pub name: VolumeName,
    /// Its size, bytes.
    pub size: u64,
}

/// Reads what the map object `key` says. It is found by its footer; no manifest is asked.
pub fn map_volume(repository: &Repository, key: &str) -> Result<MapVolume, EngineError> {
    let VolumePath { plan, point, volume, .. } = parse(key)?;
    let size = VolumeMap::open_by_footer(repository, &parse(key)?, 0)?.root.volume_size;
    Ok(MapVolume { plan, point, name: volume, size })
}

/// Restores the volume of the map object `key` as a salvage does. Nothing pins the objects: whoever does this must not prune meanwhile.
pub fn salvage_from_map(
    repository: &Repository,
    resources: &Resources,
    key: &str,
    volume: &RestoreVolume,
    progress: &dyn Progress,
) -> Result<RestoreReport, EngineError> {
    let cancel = &repository.environment().cancel;
    resources.begin(cancel);
    cancel.check()?;
    let rereads_before = repository.reread_count();
    let path = parse(key)?;
    let map = VolumeMap::open_by_footer(repository, &path, resources.cache_bytes / 2)?;
    let chain_key = Arc::new(open_chain_key(repository, &path.plan, path.chain)?);
    let job = Job { repository, resources, volume, progress, goal: Goal::Salvage };
    let mut is_begun = false;
    let restored = job.restore(&map, chain_key, &mut is_begun);
    let restored = restored.map_err(|error| super::run::unfinished(error, volume, is_begun, &[]));
    Ok(RestoreReport {
        point: path.point,
        volumes: vec![cancel.explain(restored)?],
        rereads: repository.reread_count() - rereads_before,
        requests: repository.store().requests(),
    })
}

fn parse(key: &str) -> Result<VolumePath, EngineError> {
    match object_key::parse_data(key) {
        Ok((plan, chain, DataObject::Map { point, volume })) => Ok(VolumePath { plan, chain, point, volume }),
        _ => Err(EngineError::Usage(format!(
            "`{key}` is no map's key; write t/TEAM/data/CLUSTER/NAMESPACE/PLAN/CHAIN/POINT/VOLUME/map"
        ))),
    }
}
