//! One volume's restore: windows of the map become work, threads fetch, check and write.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use coffer_blockio::BlockTarget;
use coffer_format::{BlockHasher, LEAF_BLOCKS, Place};
use crossbeam_channel::{Receiver, Sender};

use super::in_place::compare;
use super::lost::Lost;
use super::request::{RestoreMode, RestoreVolume};
use super::salvage::Sink;
use super::writer::{RestoreCounts, TargetWriter};
use crate::backup::Progress;
use crate::read::block_states::Trailers;
use crate::read::fetch::{FetchRange, FrameRun, PackReader, frame_run, plan_ranges};
use crate::read::volume_map::VolumeMap;
use crate::resources::{READ_BYTES_MAX, Reading};
use crate::{EngineError, Repository, Resources};

/// Leaves that are planned together, so that small extents of one pack come in one request.
const WINDOW_LEAVES: u32 = 16;
/// Bytes that one call makes zero: less than a second's worth even for a disk that has to write them.
const ZERO_BYTES_MAX: u32 = 64 << 20;
/// Blocks that one thread compares at once.
const COMPARE_BLOCKS: u32 = 256;

enum Work {
    Fetch(FetchRange),
    Compare { first: u32, count: u32 },
    Zero(Range<u32>),
}

/// One volume being restored.
pub(super) struct VolumeRestore<'a> {
    pub(super) map: &'a VolumeMap,
    pub(super) reader: &'a PackReader<'a>,
    pub(super) trailers: Trailers,
    pub(super) hasher: BlockHasher,
    pub(super) counts: &'a RestoreCounts,
    pub(super) volume: &'a RestoreVolume,
    pub(super) name: &'a str,
    pub(super) resources: &'a Resources,
    pub(super) repository: &'a Repository,
    pub(super) progress: &'a dyn Progress,
    /// Where a salvage notes what cannot be restored; `None`: such a thing ends the restore.
    pub(super) lost: Option<&'a Lost>,
    pub(super) failure: Mutex<Option<EngineError>>,
}

impl VolumeRestore<'_> {
    /// Restores it; what was written before an error stays.
    pub(super) fn run(&self) -> Result<(), EngineError> {
        let Some(target) = &self.volume.target else { return self.plan(&mut |work| self.count_only(work)) };
        let threads = self.reading().threads;
        let (sender, receiver) = crossbeam_channel::bounded::<Work>(threads * 2);
        let planned = std::thread::scope(|scope| {
            for index in 0..threads {
                let receiver = receiver.clone();
                let worker = move || self.keep_error(self.work(&receiver, target.as_ref()));
                let spawned =
                    std::thread::Builder::new().name(format!("restore-{index}")).spawn_scoped(scope, worker);
                if let Err(error) = spawned {
                    self.fail(EngineError::Usage(format!("cannot start a thread: {error}")));
                }
            }
            drop(receiver);
            let planned = self.plan(&mut |work| self.send(&sender, work));
            drop(sender);
            planned
        });
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(planned, Err)
    }

    fn reading(&self) -> Reading {
        self.resources.reading(&self.repository.store().shape())
    }

    fn send(&self, sender: &Sender<Work>, work: Work) -> Result<(), EngineError> {
        self.repository.environment().cancel.check()?;
        // The channel closes when all threads have ended with an error, which is then reported instead of this one.
        sender.send(work).map_err(|_| EngineError::Cancelled)
    }

    fn plan(&self, give: &mut dyn FnMut(Work) -> Result<(), EngineError>) -> Result<(), EngineError> {
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

    /// Whether zeroes need not be written.
    pub(super) fn skips_zeroes(&self) -> bool {
        let fresh = self.volume.target.as_ref().is_none_or(|target| target.is_fresh());
        fresh && !self.volume.write_all_zeroes
    }

    /// The blocks that a leaf covers.
    pub(super) fn leaf_blocks(&self, index: u32) -> Range<u32> {
        let first = index * LEAF_BLOCKS;
        first..first.saturating_add(LEAF_BLOCKS).min(self.map.block_count)
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

    fn work(&self, receiver: &Receiver<Work>, target: &dyn BlockTarget) -> Result<(), EngineError> {
        let block_bytes = self.map.block_size().bytes();
        let cancel = &self.repository.environment().cancel;
        let alloc = |len| self.resources.alloc(len, cancel);
        let mut range_buffer = None;
        let write_buffer = alloc(READ_BYTES_MAX.max(block_bytes as usize))?;
        let mut writer = TargetWriter::new(target, self.name, self.counts, block_bytes, write_buffer);
        let mut compare_buffer = None;
        for work in receiver {
            if self.has_failed() {
                return Ok(());
            }
            cancel.check()?;
            let ranges = match work {
                Work::Zero(range) => {
                    self.zero(target, &range)?;
                    continue;
                }
                Work::Fetch(range) => vec![range],
                Work::Compare { first, count } => {
                    let buffer = match &mut compare_buffer {
                        Some(buffer) => buffer,
                        none => none.insert(alloc(READ_BYTES_MAX.max(block_bytes as usize))?),
                    };
                    let found =
                        compare(self.map, &self.trailers, &self.hasher, target, first, count, buffer)?;
                    self.counts.skipped.fetch_add(found.skipped, Ordering::Relaxed);
                    self.progress.advance(found.skipped, 0);
                    found.zeroes.iter().try_for_each(|range| self.zero(target, range))?;
                    plan_ranges(found.runs, self.reading().range_bytes)
                }
            };
            for range in &ranges {
                cancel.check()?;
                let buffer = match &mut range_buffer {
                    Some(buffer) => buffer,
                    none => {
                        none.insert(alloc(usize::try_from(self.reading().range_bytes).unwrap_or(usize::MAX))?)
                    }
                };
                match self.reader.fetch(range, buffer, &mut writer) {
                    Err(error) if self.may_lose(&error) => {
                        let mut sink = Sink { buffer, writer: &mut writer, target };
                        self.salvage_range(range, &error, &mut sink)?;
                    }
                    fetched => fetched?,
                }
                writer.flush()?;
                self.fetched(range);
            }
        }
        Ok(())
    }

    fn fetched(&self, range: &FetchRange) {
        let len = range.end - range.start;
        self.counts.fetched.fetch_add(len, Ordering::Relaxed);
        let blocks: u64 =
            range.runs.iter().map(|run| self.bytes_of(&(run.first..run.first + run.count))).sum();
        self.progress.advance(blocks, len);
    }

    pub(super) fn zero(&self, target: &dyn BlockTarget, range: &Range<u32>) -> Result<(), EngineError> {
        let offset = u64::from(range.start) * u64::from(self.map.block_size().bytes());
        let len = self.bytes_of(range);
        let zeroed = target.write_zeroes(offset, len);
        zeroed.map_err(|source| EngineError::Target { volume: self.name.to_owned(), source })?;
        self.counts.zeroed.fetch_add(len, Ordering::Relaxed);
        self.progress.advance(len, 0);
        Ok(())
    }

    fn count_only(&self, work: Work) -> Result<(), EngineError> {
        match work {
            Work::Zero(range) => {
                self.counts.zeroed.fetch_add(self.bytes_of(&range), Ordering::Relaxed);
            }
            Work::Fetch(range) => {
                self.fetched(&range);
                let blocks: u64 =
                    range.runs.iter().map(|run| self.bytes_of(&(run.first..run.first + run.count))).sum();
                self.counts.written.fetch_add(blocks, Ordering::Relaxed);
            }
            Work::Compare { .. } => {}
        }
        Ok(())
    }

    pub(super) fn bytes_of(&self, blocks: &Range<u32>) -> u64 {
        let block = u64::from(self.map.block_size().bytes());
        let size = self.map.root.volume_size;
        (u64::from(blocks.end) * block).min(size) - (u64::from(blocks.start) * block).min(size)
    }

    fn keep_error(&self, result: Result<(), EngineError>) {
        if let Err(error) = result {
            self.fail(error);
        }
    }

    fn fail(&self, error: EngineError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// What was planned of some leaves.
#[derive(Default)]
pub(super) struct Window {
    runs: Vec<FrameRun>,
    zeroes: Vec<Range<u32>>,
    leaves: u32,
}

impl Window {
    pub(super) fn zero(&mut self, range: Range<u32>) {
        match self.zeroes.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.zeroes.push(range),
        }
    }
}
