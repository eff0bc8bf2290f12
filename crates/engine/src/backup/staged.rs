//! Changed blocks where few change: workers copy them aside, and whoever puts the map together appends them, in volume order, to one
//! pack. So a small incremental leaves one pack and not one per worker, and the next compare, restore and prune ask for fewer objects.
//!
//! Copies lie in buffers that are set aside before any worker starts, so that nobody waits for memory while he holds a copy. When none is
//! free, a block goes into its worker's own pack, as in a full backup.

use std::sync::{Mutex, MutexGuard, PoisonError};

use coffer_blockio::Buf;
use coffer_format::{BlockSize, Extent, push_extent};

use crate::read::extents::extent_of;
use crate::write::pack_writer::{PackContext, PackWriter};
use crate::{CancelToken, EngineError, Resources};

/// More copies than this are never set aside: small blocks would need many.
const COPIES_MAX: u64 = 256;

/// Buffers for copies.
pub(crate) struct Staging {
    free: Mutex<Vec<Buf>>,
}

/// A copy of a changed block.
pub(crate) struct StagedBlock {
    pub(super) block: u32,
    hash: [u8; 32],
    len: usize,
    copy: Buf,
}

impl Staging {
    /// Nothing is staged.
    pub(super) fn none() -> Staging {
        Staging { free: Mutex::default() }
    }

    /// Sets aside what the resources allow.
    pub(super) fn new(
        resources: &Resources,
        block_size: BlockSize,
        cancel: &CancelToken,
    ) -> Result<Staging, EngineError> {
        let copies = (resources.staging_bytes / u64::from(block_size.bytes())).min(COPIES_MAX);
        let free = (0..copies)
            .map(|_| resources.alloc(block_size.bytes() as usize, cancel))
            .collect::<Result<_, _>>()?;
        Ok(Staging { free: Mutex::new(free) })
    }

    /// Copies a block, if a buffer is free.
    pub(super) fn copy(&self, block: u32, plain: &[u8], hash: [u8; 32]) -> Option<StagedBlock> {
        let mut copy = self.free().pop()?;
        copy.get_mut(..plain.len())?.copy_from_slice(plain);
        Some(StagedBlock { block, hash, len: plain.len(), copy })
    }

    fn free(&self) -> MutexGuard<'_, Vec<Buf>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the map's thread puts staged blocks.
pub(super) struct StagedPacks<'a> {
    staging: &'a Staging,
    context: &'a PackContext,
    own_index: u16,
    packs: Option<PackWriter<'a>>,
}

impl<'a> StagedPacks<'a> {
    pub(super) fn new(staging: &'a Staging, context: &'a PackContext, own_index: u16) -> Self {
        StagedPacks { staging, context, own_index, packs: None }
    }

    /// Stores what a segment's worker staged and puts its extents among the `others`. Segments come in ascending order.
    pub(super) fn settle(
        &mut self,
        others: Vec<Extent>,
        staged: Vec<StagedBlock>,
    ) -> Result<Vec<Extent>, EngineError> {
        if staged.is_empty() {
            return Ok(others);
        }
        let mut extents = Vec::with_capacity(others.len() + staged.len());
        let mut others = others.into_iter().peekable();
        for staged in staged {
            while let Some(extent) = others.next_if(|extent| extent.first < staged.block) {
                push_extent(&mut extents, extent);
            }
            let packs = match &mut self.packs {
                Some(packs) => packs,
                none => none.insert(PackWriter::new(self.context)?),
            };
            let StagedBlock { block, hash, len, copy } = staged;
            let plain = copy.get(..len).ok_or_else(|| EngineError::Bug("a copy lost its end".into()))?;
            let placed = packs.append(block, plain, hash)?;
            push_extent(&mut extents, extent_of(block, &placed.in_lineage(self.own_index)));
            self.staging.free().push(copy);
        }
        others.for_each(|extent| push_extent(&mut extents, extent));
        Ok(extents)
    }

    /// Closes the open pack.
    pub(super) fn finish(self) -> Result<(), EngineError> {
        self.packs.map_or(Ok(()), PackWriter::finish)
    }
}
