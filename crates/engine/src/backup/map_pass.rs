//! The one place that takes finished pieces in volume order and puts the map together.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use coffer_format::{Child, Extent, LEAF_BLOCKS, Place, push_extent};

use super::pass_context::PassContext;
use super::reorder_queue::{PieceDone, ReorderQueue};
use super::resume::Resume;
use super::staged::StagedPacks;
use super::volume::{Reported, VolumeRun};
use crate::EngineError;
use crate::write::map_writer::{MapWriter, WrittenMap};
use crate::write::pack_writer::PackContext;

impl VolumeRun<'_> {
    /// Takes finished pieces in volume order and writes leaves, nodes, pack table and root.
    pub(super) fn build_map(
        &self,
        queue: &ReorderQueue<'_>,
        context: &PassContext<'_>,
        packs: &PackContext,
        mut map: MapWriter,
        block_count: u32,
        reported: &mut Reported,
    ) -> Result<WrittenMap, EngineError> {
        let take_closed =
            || std::mem::take(&mut *packs.closed.lock().unwrap_or_else(PoisonError::into_inner));
        let mut staged = StagedPacks::new(context.staging, packs, context.own_index);
        let mut leaf = LeafBuilder { extents: Vec::new(), changed: false, next_block: 0 };
        while let Some(piece) = queue.take(&packs.group)? {
            match piece {
                PieceDone::ZeroLeaves { first, count } => {
                    self.zero_leaves(&mut map, context, first, count)?;
                    leaf.next_block = (first + count).saturating_mul(LEAF_BLOCKS).min(block_count);
                }
                PieceDone::BaseLeaves { first, count } => {
                    self.base_leaves(&mut map, first, count)?;
                    leaf.next_block = (first + count).saturating_mul(LEAF_BLOCKS).min(block_count);
                }
                PieceDone::Segment(done) => {
                    leaf.add(staged.settle(done.extents, done.staged)?, done.changed);
                }
            }
            if leaf.is_complete(block_count) {
                self.close_leaf(&mut map, &mut leaf, block_count)?;
                enter_taken(&mut map, context.resume, Some(leaf.next_block))?;
            }
            map.packs(take_closed())?;
            // The last block may be a short one.
            let done = u64::from(leaf.next_block) * u64::from(self.volume.block_size.bytes());
            reported.tell(
                self.volume.progress,
                Reported {
                    done: done.min(self.volume.size),
                    stored: packs.group.bytes(),
                    resumed: context.resume.bytes(),
                },
            );
        }
        staged.finish()?;
        queue.wait_for_workers(self.volume.resources.workers)?;
        map.packs(take_closed())?;
        enter_taken(&mut map, context.resume, None)?;
        map.finish(packs.next_number.load(Ordering::Relaxed))
    }

    fn close_leaf(
        &self,
        map: &mut MapWriter,
        leaf: &mut LeafBuilder,
        block_count: u32,
    ) -> Result<(), EngineError> {
        let extents = std::mem::take(&mut leaf.extents);
        let changed = std::mem::take(&mut leaf.changed);
        let index = (leaf.next_block - 1) / LEAF_BLOCKS;
        if let Some(base) = &self.volume.base {
            let covered = |blocks: u32| blocks.saturating_sub(index * LEAF_BLOCKS).min(LEAF_BLOCKS);
            if !changed && covered(base.block_count) == covered(block_count) {
                return map.child(base.leaf_ref(index)?.map_or(Child::Zero(1), Child::Page));
            }
        }
        map.leaf(extents)
    }

    /// Leaves in which nothing changed are referred to and not looked at.
    fn base_leaves(&self, map: &mut MapWriter, first: u32, count: u32) -> Result<(), EngineError> {
        let base = self.volume.base.as_ref().ok_or_else(|| EngineError::Bug("leaves of no base".into()))?;
        for index in first..first + count {
            self.volume.cancel().check()?;
            map.child(base.leaf_ref(index)?.map_or(Child::Zero(1), Child::Page))?;
        }
        Ok(())
    }

    /// Leaves that are one hole: what the base had there counts as changed.
    fn zero_leaves(
        &self,
        map: &mut MapWriter,
        context: &PassContext<'_>,
        first: u32,
        count: u32,
    ) -> Result<(), EngineError> {
        for index in first..first + count {
            self.volume.cancel().check()?;
            if let Some(base) = &self.volume.base
                // A damaged leaf of the base has no say in the new point, which is all zero here.
                && let Ok(Some(old)) = base.leaf(index)
            {
                for extent in old.extents.iter().filter(|extent| !matches!(extent.place, Place::Zero)) {
                    for block in extent.first..extent.first + extent.count {
                        let len = self.volume.block_size.block_len(self.volume.size, block);
                        context.counts.add_changed(u64::from(len));
                    }
                }
            }
            map.child(Child::Zero(1))?;
        }
        Ok(())
    }
}

/// Enters what is settled of the tables of packs reused: all blocks before `low` are done, with `None` all blocks.
fn enter_taken(map: &mut MapWriter, resume: &Resume, low: Option<u32>) -> Result<(), EngineError> {
    for slot in 0..resume.len() {
        resume.pages(slot, low).into_iter().try_for_each(|page| map.taken_page(slot, page))?;
    }
    Ok(())
}

/// Collects the segments of one leaf.
struct LeafBuilder {
    extents: Vec<Extent>,
    changed: bool,
    next_block: u32,
}

impl LeafBuilder {
    fn add(&mut self, extents: Vec<Extent>, changed: bool) {
        for extent in extents {
            self.next_block = extent.first + extent.count;
            push_extent(&mut self.extents, extent);
        }
        self.changed |= changed;
    }

    fn is_complete(&self, block_count: u32) -> bool {
        !self.extents.is_empty()
            && (self.next_block.is_multiple_of(LEAF_BLOCKS) || self.next_block == block_count)
    }
}
