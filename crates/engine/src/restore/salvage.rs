//! What a salvage does where something is damaged or missing: it goes down from ranges to single frames, and notes what cannot be had.
//!
//! No check is weaker here: a block is written only if its tag is right, and a place is believed only if the map's digests vouch for it, or,
//! where a pack's trailer is damaged, if the frame that is found there opens.

use std::ops::Range;

use coffer_blockio::BlockTarget;

use super::request::RestoreMode;
use super::volume::VolumeRestore;
use super::window::Window;
use super::writer::TargetWriter;
use crate::EngineError;
use crate::read::block_states::{BlockPlace, BlockState};
use crate::read::fetch::FetchRange;
use crate::read::frame_run::FramePlace;
use crate::read::frame_run::FrameRun;
use crate::read::map_page::MISSING;

/// Where what was salvaged goes.
pub(super) struct Sink<'a, 'w> {
    /// Room for a range.
    pub(super) buffer: &'a mut [u8],
    pub(super) writer: &'a mut TargetWriter<'w>,
    pub(super) target: &'a dyn BlockTarget,
}

impl VolumeRestore<'_> {
    /// A leaf that cannot be read: nothing is known of its blocks.
    pub(super) fn lose_leaf(&self, index: u32, error: &EngineError, window: &mut Window) {
        let blocks = self.leaf_blocks(index);
        self.note(&blocks, error);
        if self.keeps_lost() {
            self.progress.advance(self.bytes_of(&blocks), 0);
        } else {
            window.zero(blocks);
        }
    }

    /// Restores of a range what can be had, one frame at a time where need be.
    pub(super) fn salvage_range(
        &self,
        range: &FetchRange,
        error: &EngineError,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), EngineError> {
        let is_missing = matches!(error, EngineError::Damaged { detail, .. } if detail == MISSING);
        for run in &range.runs {
            if is_missing {
                self.lose(run.first..run.first + run.count, error, sink.target)?;
            } else {
                self.salvage_run(run, sink)?;
            }
        }
        Ok(())
    }

    fn salvage_run(&self, run: &FrameRun, sink: &mut Sink<'_, '_>) -> Result<(), EngineError> {
        self.repository.environment().cancel.check()?;
        let Some(error) = self.try_run(run, sink)? else { return Ok(()) };
        if run.count == 1 {
            return self.lose(run.first..run.first + 1, &error, sink.target);
        }
        match self.map.blocks(&self.trailers, run.first, run.count) {
            Ok(states) => self.salvage_frames(run, &states, sink),
            Err(error) if self.may_lose(&error) => self.salvage_by_headers(run, sink),
            Err(error) => Err(error),
        }
    }

    /// The trailer says where each frame lies.
    fn salvage_frames(
        &self,
        run: &FrameRun,
        states: &[BlockState],
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), EngineError> {
        for (first, state) in (run.first..).zip(states) {
            let BlockPlace::Data(place) = state.place else {
                return Err(EngineError::Bug(format!("block {first} is not on the map")));
            };
            self.salvage_run(&FrameRun { first, count: 1, place }, sink)?;
        }
        Ok(())
    }

    /// Each frame's header says how long it is; the first that does not ends the run.
    fn salvage_by_headers(&self, run: &FrameRun, sink: &mut Sink<'_, '_>) -> Result<(), EngineError> {
        let mut place = FramePlace { len: 0, ..run.place };
        let (end, blocks_end) = (place.offset + u64::from(run.place.len), run.first + run.count);
        for first in run.first..blocks_end {
            place.len = match self.reader.frame_len(run, place.offset) {
                Err(error) if self.may_lose(&error) => {
                    return self.lose(first..blocks_end, &error, sink.target);
                }
                len => len?,
            };
            let fits = place.offset + u64::from(place.len) <= end;
            if !fits {
                let error = EngineError::Damaged {
                    volume: self.name.to_owned(),
                    key: self.map.pack_key(place.lineage, place.pack)?,
                    offset: place.offset,
                    detail: "a frame is longer than its extent".into(),
                };
                return self.lose(first..blocks_end, &error, sink.target);
            }
            self.salvage_run(&FrameRun { first, count: 1, place }, sink)?;
            place.offset += u64::from(place.len);
            place.ordinal += 1;
        }
        Ok(())
    }

    /// What keeps a run from being restored, if anything does. What came before that was written.
    fn try_run(&self, run: &FrameRun, sink: &mut Sink<'_, '_>) -> Result<Option<EngineError>, EngineError> {
        let FramePlace { lineage, pack, offset, len, .. } = run.place;
        let end = offset + u64::from(len);
        let range = FetchRange { lineage, pack, start: offset, end, runs: vec![run.clone()] };
        match self.reader.fetch(&range, sink.buffer, sink.writer) {
            Ok(()) => Ok(None),
            Err(error) if self.may_lose(&error) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    fn lose(
        &self,
        blocks: Range<u32>,
        error: &EngineError,
        target: &dyn BlockTarget,
    ) -> Result<(), EngineError> {
        self.note(&blocks, error);
        if self.keeps_lost() || self.skips_zeroes() { Ok(()) } else { self.zero(target, &blocks) }
    }

    fn note(&self, blocks: &Range<u32>, error: &EngineError) {
        let Some(lost) = self.lost else { return };
        let offset = u64::from(blocks.start) * u64::from(self.map.block_size().bytes());
        lost.add(offset, self.bytes_of(blocks), error);
    }

    /// Whether lost ranges of the target stay as they were.
    fn keeps_lost(&self) -> bool {
        self.volume.mode == RestoreMode::InPlace
    }
}
