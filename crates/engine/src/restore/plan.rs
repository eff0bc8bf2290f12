//! What is to be done for a volume, piece by piece in the order of its map.

use std::ops::Range;

use coffer_format::{LEAF_BLOCKS, Place};

use super::request::RestoreMode;
use super::volume::VolumeRestore;
use super::window::Window;
use crate::EngineError;
use crate::read::fetch::{FetchRange, plan_ranges};
use crate::read::frame_run::frame_run;

/// Leaves that are planned together, so that small extents of one pack come in one request.
const WINDOW_LEAVES: u32 = 16;
/// Bytes that one call makes zero: less than a second's worth even for a disk that has to write them.
const ZERO_BYTES_MAX: u32 = 64 << 20;
/// Blocks that one thread compares at once.
const COMPARE_BLOCKS: u32 = 256;

/// One piece of work for a thread.
pub(super) enum Work {
    Fetch(FetchRange),
    Compare { first: u32, count: u32 },
    Zero(Range<u32>),
}

impl VolumeRestore<'_> {
    pub(super) fn plan(
        &self,
        give: &mut dyn FnMut(Work) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        match self.volume.mode {
            // To compare, hashes are needed; a salvage writes all that it can, whether it differs or not.
            RestoreMode::InPlace if self.lost.is_none() => self.plan_compares(give),
            RestoreMode::InPlace | RestoreMode::Write => self.plan_writes(give),
        }
    }

    fn plan_compares(
        &self,
        give: &mut dyn FnMut(Work) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut first = 0;
        while first < self.map.block_count {
            let count = COMPARE_BLOCKS.min(self.map.block_count - first);
            give(Work::Compare { first, count })?;
            first += count;
        }
        Ok(())
    }

    fn plan_writes(&self, give: &mut dyn FnMut(Work) -> Result<(), EngineError>) -> Result<(), EngineError> {
        let leaves = self.map.block_count.div_ceil(LEAF_BLOCKS);
        let skip_zeroes = self.skips_zeroes();
        let mut window = Window::default();
        for index in 0..leaves {
            self.repository.environment().cancel.check()?;
            let leaf = match self.map.leaf(index) {
                Err(error) if self.may_lose(&error) => {
                    self.lose_leaf(index, &error, &mut window);
                    continue;
                }
                leaf => leaf?,
            };
            match leaf {
                None => {
                    window.zero(self.leaf_blocks(index));
                }
                Some(leaf) => {
                    for extent in &leaf.extents {
                        match (&extent.place, frame_run(extent)) {
                            (Place::Data { .. }, Some(run)) => window.runs.push(run),
                            _ => window.zero(extent.first..extent.first + extent.count),
                        }
                    }
                    window.leaves += 1;
                }
            }
            if window.leaves >= WINDOW_LEAVES || window.zeroes.len() > 4096 {
                self.give_window(std::mem::take(&mut window), skip_zeroes, give)?;
            }
        }
        self.give_window(window, skip_zeroes, give)
    }

    fn give_window(
        &self,
        window: Window,
        skip_zeroes: bool,
        give: &mut dyn FnMut(Work) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        for range in window.zeroes {
            if skip_zeroes {
                self.progress.advance(self.bytes_of(&range), 0);
            } else {
                self.zero_pieces(range).map(Work::Zero).try_for_each(&mut *give)?;
            }
        }
        plan_ranges(window.runs, self.reading().range_bytes).into_iter().map(Work::Fetch).try_for_each(give)
    }

    /// Cuts a run of zeroes, which can be as long as the volume, so that cancelling does not wait for all of it.
    fn zero_pieces(&self, range: Range<u32>) -> impl Iterator<Item = Range<u32>> {
        let step = (ZERO_BYTES_MAX / self.map.block_size().bytes()).max(1);
        range
            .clone()
            .step_by(step as usize)
            .map(move |first| first..first.saturating_add(step).min(range.end))
    }
}
