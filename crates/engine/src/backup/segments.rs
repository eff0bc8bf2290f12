//! Cuts a volume into segments, the unit of work of one thread. Pure but for asking the source where data can be.
//!
//! A segment lies within one leaf of the map. Leaves that are one hole, or in which a list of changes names nothing, are not cut up but
//! passed on as runs.

use std::ops::Range;

use coffer_blockio::{BlockSource, ReadError};
use coffer_format::{BlockSize, LEAF_BLOCKS};

/// A piece of work, in block order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Blocks of one leaf, and which of them are to be read.
    Segment(Segment),
    /// Whole leaves that are known to be zero.
    ZeroLeaves {
        /// First leaf.
        first: u32,
        /// Number of leaves.
        count: u32,
    },
    /// Whole leaves that are the base's.
    BaseLeaves {
        /// First leaf.
        first: u32,
        /// Number of leaves.
        count: u32,
    },
}

/// What the blocks of a segment are that are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Known to be zero.
    Zero,
    /// The same as in the base.
    Base,
}

/// A run of blocks within one leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// First block.
    pub(crate) first: u32,
    /// Number of blocks.
    pub(crate) count: u32,
    /// Runs of blocks to read, ascending.
    pub(crate) data: Vec<Range<u32>>,
    /// What the others are.
    pub(crate) rest: Rest,
}

/// What is known of a volume before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known<'a> {
    /// Nothing: all is read.
    Nothing,
    /// The source tells its holes.
    Holes,
    /// Only these runs are read, ascending and apart; all other blocks are the base's, which has this many.
    Changes {
        /// The runs.
        runs: &'a [Range<u32>],
        /// Blocks of the base.
        base_blocks: u32,
    },
}

/// Hands out the pieces of a volume one after the other.
pub(crate) struct Segments<'a> {
    source: &'a dyn BlockSource,
    block_size: BlockSize,
    size_bytes: u64,
    block_count: u32,
    segment_blocks: u32,
    known: Known<'a>,
    next_block: u32,
    leaf_data: Option<(u32, Vec<Range<u32>>)>,
}

impl<'a> Segments<'a> {
    /// `segment_blocks` divides 4,096.
    pub(crate) fn new(
        source: &'a dyn BlockSource,
        block_size: BlockSize,
        size_bytes: u64,
        block_count: u32,
        segment_blocks: u32,
        known: Known<'a>,
    ) -> Self {
        Segments {
            source,
            block_size,
            size_bytes,
            block_count,
            segment_blocks,
            known,
            next_block: 0,
            leaf_data: None,
        }
    }

    /// The next piece, `None` at the end.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, ReadError> {
        if self.next_block >= self.block_count {
            return Ok(None);
        }
        if self.next_block.is_multiple_of(LEAF_BLOCKS)
            && let Some(piece) = self.whole_leaves()?
        {
            return Ok(Some(piece));
        }
        let first = self.next_block;
        let leaf = first / LEAF_BLOCKS;
        let count = self.segment_blocks.min(self.block_count - first);
        let data = self.data_of_leaf(leaf)?;
        let data = clip(data, first, first + count);
        self.next_block = first + count;
        let rest = if let Known::Changes { .. } = self.known { Rest::Base } else { Rest::Zero };
        Ok(Some(Piece::Segment(Segment { first, count, data, rest })))
    }

    fn whole_leaves(&mut self) -> Result<Option<Piece>, ReadError> {
        match self.known {
            Known::Nothing => Ok(None),
            Known::Holes => self.zero_leaves(),
            Known::Changes { runs, base_blocks } => Ok(self.base_leaves(runs, base_blocks)),
        }
    }

    /// Leaves before the next run that cover as many blocks as they do in the base.
    fn base_leaves(&mut self, runs: &[Range<u32>], base_blocks: u32) -> Option<Piece> {
        let first = self.next_block / LEAF_BLOCKS;
        let next_run = runs.get(runs.partition_point(|run| run.end <= self.next_block));
        let untouched = next_run.map_or(u32::MAX, |run| run.start / LEAF_BLOCKS);
        let alike = if base_blocks == self.block_count {
            self.block_count.div_ceil(LEAF_BLOCKS)
        } else {
            self.block_count.min(base_blocks) / LEAF_BLOCKS
        };
        let count = untouched.min(alike).checked_sub(first).filter(|count| *count > 0)?;
        self.next_block = (first + count).saturating_mul(LEAF_BLOCKS).min(self.block_count);
        Some(Piece::BaseLeaves { first, count })
    }

    fn zero_leaves(&mut self) -> Result<Option<Piece>, ReadError> {
        let block = u64::from(self.block_size.bytes());
        let start = u64::from(self.next_block) * block;
        let next_data = self.source.next_data(start)?.unwrap_or(self.size_bytes).min(self.size_bytes);
        let end_block = if next_data == self.size_bytes {
            self.block_count
        } else {
            u32::try_from(next_data / block).unwrap_or(u32::MAX) / LEAF_BLOCKS * LEAF_BLOCKS
        };
        if end_block <= self.next_block {
            return Ok(None);
        }
        let first = self.next_block / LEAF_BLOCKS;
        let count = end_block.div_ceil(LEAF_BLOCKS) - first;
        self.next_block = end_block;
        Ok(Some(Piece::ZeroLeaves { first, count }))
    }

    fn data_of_leaf(&mut self, leaf: u32) -> Result<&[Range<u32>], ReadError> {
        if self.leaf_data.as_ref().is_none_or(|(have, _)| *have != leaf) {
            let first = leaf * LEAF_BLOCKS;
            let end = first.saturating_add(LEAF_BLOCKS).min(self.block_count);
            let data = match self.known {
                Known::Nothing => one_run(first, end),
                Known::Holes => self.ask(first, end)?,
                Known::Changes { runs, .. } => {
                    clip(&runs[runs.partition_point(|run| run.end <= first)..], first, end)
                }
            };
            self.leaf_data = Some((leaf, data));
        }
        Ok(self.leaf_data.as_ref().map_or(&[], |(_, data)| data))
    }

    fn ask(&self, first: u32, end: u32) -> Result<Vec<Range<u32>>, ReadError> {
        let block = u64::from(self.block_size.bytes());
        let end_byte = (u64::from(end) * block).min(self.size_bytes);
        let bytes = self.source.data_ranges(u64::from(first) * block, end_byte)?;
        Ok(to_blocks(&bytes, block))
    }
}

fn one_run(first: u32, end: u32) -> Vec<Range<u32>> {
    vec![Range { start: first, end }]
}

/// Widens byte ranges to whole blocks and joins those that meet.
pub(crate) fn to_blocks(bytes: &[Range<u64>], block: u64) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for range in bytes.iter().filter(|range| range.start < range.end) {
        let start = u32::try_from(range.start / block).unwrap_or(u32::MAX);
        let end = u32::try_from(range.end.div_ceil(block)).unwrap_or(u32::MAX);
        match runs.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ => runs.push(start..end),
        }
    }
    runs
}

fn clip(runs: &[Range<u32>], first: u32, end: u32) -> Vec<Range<u32>> {
    let cut = |run: &Range<u32>| run.start.max(first)..run.end.min(end);
    runs.iter().take_while(|run| run.start < end).map(cut).filter(|run| run.start < run.end).collect()
}

/// Length of a segment, blocks: long enough to be worth a turn, short enough that all threads get some.
pub(crate) fn segment_blocks(block_count: u32, workers: usize) -> u32 {
    let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
    let wanted = block_count / workers.saturating_mul(8);
    wanted.clamp(64, 1024).next_power_of_two().min(1024)
}
