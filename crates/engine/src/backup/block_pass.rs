//! The hot loop: one block goes from the source to a pack on one core while it is in cache.
//!
//! read -> zero scan -> hash -> compare with the base -> look among the incomplete runs of incomplete runs -> compress -> encrypt into the part
//! buffer. No queue stands between these steps. Where the source reads ahead, the next batch is on its way meanwhile.

use std::ops::Range;
use std::sync::atomic::Ordering;

use coffer_blockio::{Buf, ReadBatch};
use coffer_format::{Extent, Place, is_zero, push_extent};

use super::pass_context::PassContext;
use super::read_runs::RunReader;
use super::resume::Found;
use super::segments::{Rest, Segment};
use super::staged::StagedBlock;
use crate::EngineError;
use crate::read::block_states::{BlockPlace, BlockState};
use crate::read::extents::extent_of;
use crate::read::frame_run::FramePlace;
use crate::read::volume_map::VolumeMap;
use crate::write::pack_writer::PackWriter;

/// One thread's pass.
pub(crate) struct BlockPass<'a> {
    pub(super) context: &'a PassContext<'a>,
    packs: PackWriter<'a>,
    /// Batches that nothing is read into now; all of them between two segments.
    pub(super) spare: Vec<ReadBatch>,
    incomplete_runs: SegmentReuse,
}

/// What incomplete runs have of the segment in work; looked up when its first changed block comes.
#[derive(Default)]
struct SegmentReuse {
    first: u32,
    end: u32,
    found: Option<Vec<Found>>,
}

/// What became of a segment.
#[derive(Default)]
pub(crate) struct SegmentDone {
    /// All extents of the segment but those of staged blocks.
    pub(crate) extents: Vec<Extent>,
    /// Changed blocks that are still to be stored, ascending.
    pub(crate) staged: Vec<StagedBlock>,
    /// Whether any block differs from the base.
    pub(crate) changed: bool,
}

impl<'a> BlockPass<'a> {
    /// Each of `buffers`, of which there is one at least, holds at least one block. With two, one is read into while the
    /// other is worked on.
    pub(crate) fn new(context: &'a PassContext<'a>, packs: PackWriter<'a>, buffers: Vec<Buf>) -> Self {
        let spare = buffers.into_iter().map(ReadBatch::new).collect();
        BlockPass { context, packs, spare, incomplete_runs: SegmentReuse::default() }
    }

    /// Works through one segment.
    pub(crate) fn segment(&mut self, segment: &Segment) -> Result<SegmentDone, EngineError> {
        let end = segment.first + segment.count;
        self.incomplete_runs = SegmentReuse { first: segment.first, end, found: None };
        if let (Rest::Base, Some(map)) = (segment.rest, self.context.volume.base.as_deref()) {
            return self.listed_segment(map, segment);
        }
        let base = match self.context.volume.base.as_deref() {
            Some(map) => self.base_blocks(map, segment)?,
            None => Vec::new(),
        };
        let mut done = SegmentDone::default();
        let mut next = segment.first;
        let mut reads = RunReader::new(self.context, &segment.data, std::mem::take(&mut self.spare))?;
        while let Some((run, bytes)) = reads.next_run()? {
            self.zeroes(next..run.start, segment, &base, &mut done);
            next = run.end;
            let base = base.get((run.start - segment.first) as usize..).unwrap_or(&[]);
            self.blocks(run, bytes, base, &mut done)?;
        }
        self.spare = reads.into_spare();
        self.zeroes(next..end, segment, &base, &mut done);
        self.context.counts.done.fetch_add(self.bytes_of(segment.first, end), Ordering::Relaxed);
        Ok(done)
    }

    /// Closes the thread's open pack.
    pub(crate) fn finish(self) -> Result<(), EngineError> {
        self.packs.finish()
    }

    /// What the base has. Where the base is damaged all blocks count as changed, so that this point is whole again.
    pub(super) fn base_blocks(
        &self,
        map: &VolumeMap,
        segment: &Segment,
    ) -> Result<Vec<BlockState>, EngineError> {
        match map.blocks(self.context.trailers, segment.first, segment.count) {
            Ok(states) => Ok(states),
            Err(error @ (EngineError::Damaged { .. } | EngineError::Object { .. })) => {
                tracing::warn!(volume = self.context.volume.name, %error, "base is damaged here; storing these blocks again");
                self.context.counts.base_damage.fetch_add(1, Ordering::Relaxed);
                let unknown = BlockState { place: BlockPlace::Unknown, hash: [0; 32] };
                Ok(vec![unknown; segment.count as usize])
            }
            Err(error) => Err(error),
        }
    }

    /// Works through the blocks of a run that was read into `bytes`; `base`, if there is one, begins with the run's first.
    pub(super) fn blocks(
        &mut self,
        run: Range<u32>,
        bytes: &[u8],
        base: &[BlockState],
        done: &mut SegmentDone,
    ) -> Result<(), EngineError> {
        let block_bytes = self.context.volume.block_size.bytes() as usize;
        for ((block, plain), index) in run.zip(bytes.chunks(block_bytes)).zip(0..) {
            self.block(block, plain, base.get::<usize>(index), done)?;
        }
        Ok(())
    }

    #[inline]
    fn block(
        &mut self,
        block: u32,
        plain: &[u8],
        base: Option<&BlockState>,
        done: &mut SegmentDone,
    ) -> Result<(), EngineError> {
        if is_zero(plain) {
            self.zero_block(block, plain.len() as u64, base, done);
            return Ok(());
        }
        let hash = self.context.hasher.hash(plain);
        if let Some(BlockState { place: BlockPlace::Data(place), hash: base_hash }) = base
            && *base_hash == hash
        {
            push_extent(&mut done.extents, extent_of(block, place));
            return Ok(());
        }
        self.context.counts.add_changed(plain.len() as u64);
        done.changed = true;
        if let Some(place) = self.incomplete_runs.take(self.context, block, plain.len(), &hash) {
            push_extent(&mut done.extents, extent_of(block, &place));
            return Ok(());
        }
        if let Some(staged) = self.context.staging.copy(block, plain, hash) {
            done.staged.push(staged);
            return Ok(());
        }
        let place = self.packs.append(block, plain, hash)?.in_lineage(self.context.own_index);
        push_extent(&mut done.extents, extent_of(block, &place));
        Ok(())
    }

    fn zeroes(&self, blocks: Range<u32>, segment: &Segment, base: &[BlockState], done: &mut SegmentDone) {
        for block in blocks {
            let state = base.get((block - segment.first) as usize);
            self.zero_block(block, self.bytes_of(block, block + 1), state, done);
        }
    }

    #[inline]
    fn zero_block(&self, block: u32, len: u64, base: Option<&BlockState>, done: &mut SegmentDone) {
        // Without a base nothing is known to have been there, and a zero block is not counted as a change.
        if base.is_some_and(|state| state.place != BlockPlace::Zero) {
            self.context.counts.add_changed(len);
            done.changed = true;
        }
        push_extent(&mut done.extents, Extent { first: block, count: 1, place: Place::Zero });
    }

    pub(super) fn bytes_of(&self, first: u32, end: u32) -> u64 {
        self.context.volume.bytes_of(first, end)
    }
}

impl SegmentReuse {
    /// Where an incomplete run has stored this very block, if one has.
    fn take(
        &mut self,
        context: &PassContext<'_>,
        block: u32,
        len: usize,
        hash: &[u8; 32],
    ) -> Option<FramePlace> {
        if context.resume.is_empty() {
            return None;
        }
        let (first, end) = (self.first, self.end);
        let found = self.found.get_or_insert_with(|| context.resume.blocks(context.trailers, first, end));
        context.resume.take(found, block, len, hash)
    }
}
