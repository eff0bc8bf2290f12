//! Which blocks of a volume are read: all of them, all but the holes, or those that a list of changes names. Decided before the first
//! block is read. A list is believed only where nothing speaks against it; whatever does leads to reading everything.

use std::ops::Range;

use coffer_blockio::BlockSource;
use coffer_format::{BlockHasher, LEAF_BLOCKS, NODE_LEAVES, Place};

use super::changed_ranges::{ChangedRanges, LIST_RANGES_MAX, RangeMerger, join};
use super::request::ChangeLists;
use super::sample::{SampleCheck, Sampled, draw_sample, sample_size, unchanged_blocks};
use super::segments::to_blocks;
use crate::read::block_states::Trailers;
use crate::read::volume_map::VolumeMap;
use crate::{CancelToken, EngineError, Repository, Resources};

/// What is read, and how that came about.
pub(crate) struct Reading {
    /// Whether the source is believed where it tells of holes.
    pub(crate) use_holes: bool,
    /// The runs of blocks that are read while all others are the base's, ascending and apart; `None`: the list is not used.
    pub(crate) listed: Option<Vec<Range<u32>>>,
    /// Where the changes come from, for the record.
    pub(crate) changes: coffer_format::ChangeSource,
    /// Why a list was not used.
    pub(crate) note: Option<String>,
    /// Blocks called unchanged that were read and compared.
    pub(crate) sampled_blocks: u64,
    /// Of these, blocks that differ from the base.
    pub(crate) sample_mismatches: u64,
}

impl Reading {
    /// Without a list: everything, or everything but holes.
    pub(crate) fn all(use_holes: bool) -> Reading {
        let changes = if use_holes {
            coffer_format::ChangeSource::fiemap()
        } else {
            coffer_format::ChangeSource::hash()
        };
        Reading { use_holes, listed: None, changes, note: None, sampled_blocks: 0, sample_mismatches: 0 }
    }

    fn all_because(use_holes: bool, note: String) -> Reading {
        Reading { note: Some(note), ..Reading::all(use_holes) }
    }
}

/// A volume for which there is a list.
pub(crate) struct ListedVolume<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) resources: &'a Resources,
    pub(crate) source: &'a dyn BlockSource,
    pub(crate) hasher: &'a BlockHasher,
    pub(crate) lists: &'a ChangeLists,
    pub(crate) list: &'a ChangedRanges,
}

impl ListedVolume<'_> {
    /// What is read of the volume, whose map at the lists' base is `base`. Without one the list says nothing.
    pub(crate) fn reading(&self, base: Option<&VolumeMap>, use_holes: bool) -> Result<Reading, EngineError> {
        let Some(base) = base else {
            let note = "the list of changes was not used, there is nothing to build on".into();
            return Ok(Reading::all_because(use_holes, note));
        };
        let size = self.source.size_bytes();
        let cancel = &self.repository.environment().cancel;
        let reads = blocks_to_read(self.list, base, size, cancel)?;
        let block_count = base.block_size().block_count(size).map_err(EngineError::Limit)?;
        let sampled = self.sample(base, &reads, block_count)?;
        // Holes are not believed either: something is wrong here.
        let refused = |note: String| Reading {
            sampled_blocks: sampled.blocks,
            sample_mismatches: sampled.mismatches,
            ..Reading::all_because(false, note)
        };
        if sampled.mismatches > 0 {
            tracing::warn!(
                volume = base.volume,
                samples = sampled.blocks,
                mismatches = sampled.mismatches,
                "the list of changes leaves out blocks that had changed; reading the whole volume"
            );
            return Ok(refused(format!(
                "the list of changes was refused: of {} sampled blocks that it calls unchanged {} had changed",
                sampled.blocks, sampled.mismatches
            )));
        }
        if sampled.base_is_damaged {
            return Ok(refused("the list of changes was not used, the base is damaged".into()));
        }
        Ok(Reading {
            listed: Some(reads),
            changes: coffer_format::ChangeSource::list(),
            sampled_blocks: sampled.blocks,
            ..Reading::all(false)
        })
    }

    fn sample(
        &self,
        base: &VolumeMap,
        reads: &[Range<u32>],
        block_count: u32,
    ) -> Result<Sampled, EngineError> {
        let environment = self.repository.environment();
        let count = sample_size(self.lists.sample, unchanged_blocks(reads, block_count));
        let blocks = draw_sample(environment, reads, block_count, count)?;
        let check = SampleCheck {
            source: self.source,
            volume: &base.volume,
            base,
            trailers: &Trailers::new(self.resources.cache_bytes / 2),
            hasher: self.hasher,
            resources: self.resources,
            environment,
        };
        check.run(&blocks)
    }
}

/// The blocks that a list names, and those that are read whatever it says: what is new since the base, a last block whose length
/// changed, and what the base is known to have lost.
fn blocks_to_read(
    list: &ChangedRanges,
    base: &VolumeMap,
    size: u64,
    cancel: &CancelToken,
) -> Result<Vec<Range<u32>>, EngineError> {
    let block_size = base.block_size();
    let block_count = block_size.block_count(size).map_err(EngineError::Limit)?;
    let common = base.block_count.min(block_count);
    let same_len = |block: &u32| base.block_len(*block) == block_size.block_len(size, *block) as usize;
    let kept_end = common.checked_sub(1).map_or(0, |last| if same_len(&last) { common } else { last });
    let block_bytes = u64::from(block_size.bytes());
    let mut runs = to_blocks(list.ranges(), block_bytes);
    runs.push(kept_end..block_count);
    runs.extend(to_blocks(lost_blocks(base, cancel)?.ranges(), block_bytes));
    runs.iter_mut().for_each(|run| run.end = run.end.min(block_count));
    runs.retain(|run| !run.is_empty());
    join(&mut runs);
    Ok(runs)
}

/// Blocks that are in damaged packs or on pages that cannot be read.
fn lost_blocks(base: &VolumeMap, cancel: &CancelToken) -> Result<ChangedRanges, EngineError> {
    let mut lost = Lost { base, merger: RangeMerger::new(LIST_RANGES_MAX) };
    let leaves = base.block_count.div_ceil(LEAF_BLOCKS);
    for first_leaf in (0..leaves).step_by(NODE_LEAVES as usize) {
        cancel.check()?;
        match base.node(first_leaf / NODE_LEAVES) {
            Ok(None) => {}
            // Leaves are only looked at where damage is known: they are many.
            Ok(Some(_)) if base.knows_damage() => {
                let end = first_leaf.saturating_add(NODE_LEAVES).min(leaves);
                (first_leaf..end).try_for_each(|leaf| lost.look_at(leaf))?;
            }
            Ok(Some(_)) => {}
            Err(error) if error.is_damage() => {
                lost.push(first_leaf * LEAF_BLOCKS, u64::from(NODE_LEAVES) * u64::from(LEAF_BLOCKS));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(lost.merger.finish())
}

struct Lost<'a> {
    base: &'a VolumeMap,
    /// In bytes, as if the base's last block were a whole one.
    merger: RangeMerger,
}

impl Lost<'_> {
    fn look_at(&mut self, leaf: u32) -> Result<(), EngineError> {
        let page = match self.base.leaf(leaf) {
            Ok(None) => return Ok(()),
            Ok(Some(page)) => page,
            Err(error) if error.is_damage() => {
                self.push(leaf * LEAF_BLOCKS, LEAF_BLOCKS.into());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for extent in &page.extents {
            if let Place::Data { lineage, pack, .. } = extent.place
                && self.base.is_damaged(lineage, pack)?
            {
                self.push(extent.first, extent.count.into());
            }
        }
        Ok(())
    }

    fn push(&mut self, first: u32, count: u64) {
        let block_bytes = u64::from(self.base.block_size().bytes());
        let end = (u64::from(first) + count).min(self.base.block_count.into());
        self.merger.push(u64::from(first) * block_bytes..end * block_bytes);
    }
}
