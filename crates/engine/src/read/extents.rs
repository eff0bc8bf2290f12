//! Extents of a stretch of blocks as a map has them, for a new map that reuses them. Reads of trailers only what it needs to cut an
//! extent in two; it must never hand out a place in a pack that is known to be damaged.

use std::ops::Range;

use coffer_format::{Extent, LEAF_BLOCKS, Place, push_extent};

use super::block_states::{BlockPlace, Trailers};
use super::frame_run::FramePlace;
use super::volume_map::VolumeMap;
use crate::EngineError;

impl VolumeMap {
    /// The extents of `blocks`, which lie within one leaf and within the volume.
    pub(crate) fn extents(
        &self,
        trailers: &Trailers,
        blocks: Range<u32>,
    ) -> Result<Vec<Extent>, EngineError> {
        if blocks.is_empty() {
            return Ok(Vec::new());
        }
        let Some(leaf) = self.leaf(blocks.start / LEAF_BLOCKS)? else { return Ok(vec![zero(&blocks)]) };
        let from = leaf.extents.partition_point(|extent| extent.end() <= blocks.start.into());
        let mut extents = Vec::new();
        for extent in leaf.extents.iter().skip(from).take_while(|extent| extent.first < blocks.end) {
            let end = extent.first.saturating_add(extent.count).min(blocks.end);
            self.push_part(trailers, extent, extent.first.max(blocks.start)..end, &mut extents)?;
        }
        Ok(extents)
    }

    fn push_part(
        &self,
        trailers: &Trailers,
        extent: &Extent,
        part: Range<u32>,
        extents: &mut Vec<Extent>,
    ) -> Result<(), EngineError> {
        let Place::Data { lineage, pack, offset, .. } = extent.place else {
            push_extent(extents, zero(&part));
            return Ok(());
        };
        if self.is_damaged(lineage, pack)? {
            return Err(self.pack_damage(lineage, pack, offset));
        }
        if part.end - part.start == extent.count {
            push_extent(extents, *extent);
            return Ok(());
        }
        let states = self.blocks(trailers, part.start, part.end - part.start)?;
        for (block, state) in part.zip(&states) {
            let BlockPlace::Data(place) = &state.place else {
                return Err(self.pack_damage(lineage, pack, offset));
            };
            push_extent(extents, extent_of(block, place));
        }
        Ok(())
    }

    fn pack_damage(&self, lineage: u16, pack: u32, offset: u64) -> EngineError {
        EngineError::Damaged {
            volume: self.volume.clone(),
            key: self.pack_key(lineage, pack).unwrap_or_default(),
            offset,
            detail: "the pack is known to be damaged".into(),
        }
    }
}

/// One block as an extent.
pub(crate) fn extent_of(block: u32, place: &FramePlace) -> Extent {
    let FramePlace { lineage, pack, ordinal, offset, len } = *place;
    Extent { first: block, count: 1, place: Place::Data { lineage, pack, ordinal, offset, len } }
}

fn zero(blocks: &Range<u32>) -> Extent {
    Extent { first: blocks.start, count: blocks.end - blocks.start, place: Place::Zero }
}
