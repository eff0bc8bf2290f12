//! Looks whether all volumes of a request can be restored, before any target is touched.
//!
//! For each volume: its record, its map's root, and one frame of its first pack with the pages on the way to it, all of which the restore
//! reads anyway; once: the chain's key. A chain's key that opens one pack opens all: the sealed keys of the others are in pages that the
//! root vouches for. So the cost is one read of at most a block for each volume, and with several volumes their roots, which are read
//! again when it is their turn: a map in memory for each of 256 would be too many.

use std::sync::Arc;

use coffer_format::{ChainPrivateKey, LEAF_BLOCKS, Manifest, NODE_LEAVES, VolumeName};

use super::request::{Goal, find_volume};
use crate::catalog::{PointEntry, load_manifest};
use crate::chain_keys::open_chain_key;
use crate::read::fetch::PackReader;
use crate::read::frame_run::{FrameRun, frame_run};
use crate::read::volume_map::VolumeMap;
use crate::{EngineError, Repository, Resources};

/// What was opened and need not be opened again.
pub(super) struct Ready {
    pub(super) chain_key: Arc<Option<ChainPrivateKey>>,
    /// The map, if there is one volume only.
    pub(super) map: Option<VolumeMap>,
}

/// Whether these volumes of a point can be restored, for callers that have to change a target before they call
/// [`crate::run_restore`], which looks itself.
pub fn check_restore(
    repository: &Repository,
    resources: &Resources,
    point: &PointEntry,
    volumes: &[VolumeName],
) -> Result<(), EngineError> {
    resources.begin(&repository.environment().cancel);
    let manifest = load_manifest(repository, point)?.payload;
    let volumes: Vec<&VolumeName> = volumes.iter().collect();
    check(repository, resources, &manifest, &volumes, Goal::Whole).map(drop)
}

/// Fails where a volume cannot be restored. A salvage is content with a chain's key that opens.
pub(super) fn check(
    repository: &Repository,
    resources: &Resources,
    manifest: &Manifest,
    volumes: &[&VolumeName],
    goal: Goal,
) -> Result<Ready, EngineError> {
    let records = volumes.iter().map(|name| find_volume(manifest, name));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    let chain_key = Arc::new(open_chain_key(repository, &manifest.plan_id(), manifest.chain)?);
    let mut ready = Ready { chain_key, map: None };
    if goal == Goal::Salvage {
        return Ok(ready);
    }
    for record in records {
        let map = VolumeMap::open(repository, record, resources.cache_bytes / 2)?;
        check_first_frame(repository, &map, &ready.chain_key)?;
        ready.map = (volumes.len() == 1).then_some(map);
    }
    Ok(ready)
}

fn check_first_frame(
    repository: &Repository,
    map: &VolumeMap,
    chain_key: &Arc<Option<ChainPrivateKey>>,
) -> Result<(), EngineError> {
    match first_run(map)? {
        Some(run) => PackReader::new(repository, map, chain_key.clone()).check_first_frame(&run),
        None => Ok(()),
    }
}

/// The first run of frames; `None` where all is zero.
fn first_run(map: &VolumeMap) -> Result<Option<FrameRun>, EngineError> {
    let leaves = map.block_count.div_ceil(LEAF_BLOCKS);
    let mut index = 0;
    while index < leaves {
        if index.is_multiple_of(NODE_LEAVES) && map.node(index / NODE_LEAVES)?.is_none() {
            index += NODE_LEAVES;
            continue;
        }
        if let Some(leaf) = map.leaf(index)? {
            return Ok(leaf.extents.iter().find_map(frame_run));
        }
        index += 1;
    }
    Ok(None)
}
