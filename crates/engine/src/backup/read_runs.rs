//! Gets the blocks of a segment: many runs in one batch, and the next batch on its way while one is worked on.
//!
//! It must never hand out bytes of a batch that was not read whole.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;

use coffer_blockio::{ReadBatch, StartedRead};

use super::block_pass::BlockPass;
use super::read_batches::ReadBatches;
use crate::EngineError;
use crate::io_throttle::ReadPermit;

/// What is on its way: the runs of each batch, in order.
type Started<'a> = VecDeque<(Vec<Range<u32>>, StartedRead, ReadPermit<'a>)>;

impl<'a> BlockPass<'a> {
    /// Reads `runs`, which ascend, and calls `work` with each run, or a part of it, and its bytes, in order.
    pub(super) fn read_runs(
        &mut self,
        runs: &[Range<u32>],
        mut work: impl FnMut(&mut Self, Range<u32>, &[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut batches = ReadBatches::new(runs, self.blocks_per_read()?);
        let mut started = Started::new();
        loop {
            self.context.cancel.check()?;
            self.start_reads(&mut batches, &mut started)?;
            let Some((ranges, read, permit)) = started.pop_front() else { return Ok(()) };
            let batch = self.finish_read(read)?;
            permit.done(ranges.iter().map(|run| self.bytes_of(run.start, run.end)));
            let mut rest = batch.bytes();
            for run in ranges {
                let bytes;
                (bytes, rest) = rest
                    .split_at_checked(self.len_of(&run))
                    .ok_or_else(|| EngineError::Bug("less was read than asked for".into()))?;
                work(self, run, bytes)?;
            }
            self.spare.push(batch);
        }
    }

    fn blocks_per_read(&self) -> Result<u32, EngineError> {
        let bytes = self.spare.iter().map(ReadBatch::capacity_bytes).min().unwrap_or(0);
        match u32::try_from(bytes / self.context.block_size.bytes() as usize) {
            Ok(blocks) if blocks > 0 => Ok(blocks),
            _ => Err(EngineError::Bug("read buffer too small".into())),
        }
    }

    /// Starts reads until all buffers are in use or nothing is left to read.
    fn start_reads(
        &mut self,
        batches: &mut ReadBatches<'_>,
        started: &mut Started<'a>,
    ) -> Result<(), EngineError> {
        while let Some(mut batch) = self.spare.pop() {
            if !started.is_empty() && self.context.throttle.is_shared() {
                self.spare.push(batch);
                return Ok(());
            }
            let Some(ranges) = batches.next() else {
                self.spare.push(batch);
                return Ok(());
            };
            batch.clear();
            for run in &ranges {
                let offset = u64::from(run.start) * u64::from(self.context.block_size.bytes());
                batch
                    .push(offset, self.len_of(run))
                    .ok_or_else(|| EngineError::Bug("read buffer too small".into()))?;
            }
            let bytes: usize = ranges.iter().map(|run| self.len_of(run)).sum();
            self.context.resources.may_read(ranges.len() as u64, bytes as u64, self.context.cancel)?;
            let permit = self.context.throttle.begin(!started.is_empty(), self.context.cancel)?;
            started.push_back((ranges, self.context.source.start_read(batch), permit));
        }
        Ok(())
    }

    fn finish_read(&self, read: StartedRead) -> Result<ReadBatch, EngineError> {
        let batch = self.context.source.finish_read(read);
        let batch =
            batch.map_err(|source| EngineError::Source { volume: self.context.volume.to_owned(), source })?;
        self.context.counts.read.fetch_add(batch.bytes().len() as u64, Ordering::Relaxed);
        Ok(batch)
    }

    fn len_of(&self, run: &Range<u32>) -> usize {
        usize::try_from(self.bytes_of(run.start, run.end)).unwrap_or(usize::MAX)
    }
}
