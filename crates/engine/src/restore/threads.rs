//! One volume's restore: the plan becomes work, threads fetch, check and write.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use coffer_blockio::BlockTarget;
use crossbeam_channel::{Receiver, Sender};

use super::in_place::compare;
use super::plan::Work;
use super::salvage::Sink;
use super::volume::VolumeRestore;
use super::writer::TargetWriter;
use crate::EngineError;
use crate::read::fetch::{FetchRange, plan_ranges};
use crate::resources::READ_BYTES_MAX;

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

    fn send(&self, sender: &Sender<Work>, work: Work) -> Result<(), EngineError> {
        self.repository.environment().cancel.check()?;
        // The channel closes when all threads have ended with an error, which is then reported instead of this one.
        sender.send(work).map_err(|_| EngineError::Cancelled)
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

    fn keep_error(&self, result: Result<(), EngineError>) {
        if let Err(error) = result {
            self.fail(error);
        }
    }
}
