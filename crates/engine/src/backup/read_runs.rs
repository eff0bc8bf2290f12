//! Gets the blocks of a segment: many runs in one batch, and the next batch on its way while one is worked on.
//!
//! It must never hand out bytes of a batch that was not read whole.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::vec;

use coffer_blockio::{ReadBatch, StartedRead};

use super::pass_context::PassContext;
use super::read_batches::ReadBatches;
use crate::EngineError;
use crate::io_throttle::ReadPermit;

/// What is on its way: the runs of each batch, in order.
type Started<'a> = VecDeque<(Vec<Range<u32>>, StartedRead, ReadPermit<'a>)>;

/// A run of blocks, or a part of one, and its bytes.
pub(super) type ReadRun<'b> = (Range<u32>, &'b [u8]);

/// Reads runs of blocks, which ascend, and hands out each, or a part of it, with its bytes, in order.
pub(super) struct RunReader<'a, 'r> {
    context: &'a PassContext<'a>,
    batches: ReadBatches<'r>,
    started: Started<'a>,
    current: Option<CurrentBatch>,
    /// Batches that nothing is read into now.
    spare: Vec<ReadBatch>,
}

/// A batch that was read.
struct CurrentBatch {
    batch: ReadBatch,
    /// Runs that were not handed out.
    runs: vec::IntoIter<Range<u32>>,
    /// Bytes that were.
    at: usize,
}

impl<'a, 'r> RunReader<'a, 'r> {
    /// `spare` are the buffers to read into, of which there is one at least.
    pub(super) fn new(
        context: &'a PassContext<'a>,
        runs: &'r [Range<u32>],
        spare: Vec<ReadBatch>,
    ) -> Result<Self, EngineError> {
        let bytes = spare.iter().map(ReadBatch::capacity_bytes).min().unwrap_or(0);
        let blocks_per_read = match u32::try_from(bytes / context.volume.block_size.bytes() as usize) {
            Ok(blocks) if blocks > 0 => blocks,
            _ => return Err(EngineError::Bug("read buffer too small".into())),
        };
        let batches = ReadBatches::new(runs, blocks_per_read);
        Ok(RunReader { context, batches, started: Started::new(), current: None, spare })
    }

    /// The next run and its bytes; `None` at the end.
    pub(super) fn next_run(&mut self) -> Result<Option<ReadRun<'_>>, EngineError> {
        let run = loop {
            match self.current.as_mut().and_then(|current| current.runs.next()) {
                Some(run) => break run,
                None if !self.next_batch()? => return Ok(None),
                None => {}
            }
        };
        let len = self.len_of(&run);
        let too_short = || EngineError::Bug("less was read than asked for".into());
        let current = self.current.as_mut().ok_or_else(too_short)?;
        let start = current.at;
        current.at += len;
        let bytes = current.batch.bytes().get(start..start + len).ok_or_else(too_short)?;
        Ok(Some((run, bytes)))
    }

    /// The buffers, after the last run.
    pub(super) fn into_spare(self) -> Vec<ReadBatch> {
        self.spare
    }

    /// Waits for the next batch; whether there is one.
    fn next_batch(&mut self) -> Result<bool, EngineError> {
        self.spare.extend(self.current.take().map(|current| current.batch));
        self.context.volume.cancel().check()?;
        self.start_reads()?;
        let Some((runs, read, permit)) = self.started.pop_front() else { return Ok(false) };
        let batch = self.finish_read(read)?;
        permit.done(runs.iter().map(|run| self.context.volume.bytes_of(run.start, run.end)));
        self.current = Some(CurrentBatch { batch, runs: runs.into_iter(), at: 0 });
        Ok(true)
    }

    /// Starts reads until all buffers are in use or nothing is left to read.
    fn start_reads(&mut self) -> Result<(), EngineError> {
        let volume = self.context.volume;
        while let Some(mut batch) = self.spare.pop() {
            if !self.started.is_empty() && self.context.throttle.is_shared() {
                self.spare.push(batch);
                return Ok(());
            }
            let Some(ranges) = self.batches.next() else {
                self.spare.push(batch);
                return Ok(());
            };
            batch.clear();
            for run in &ranges {
                let offset = u64::from(run.start) * u64::from(volume.block_size.bytes());
                batch
                    .push(offset, self.len_of(run))
                    .ok_or_else(|| EngineError::Bug("read buffer too small".into()))?;
            }
            let bytes: usize = ranges.iter().map(|run| self.len_of(run)).sum();
            volume.resources.may_read(ranges.len() as u64, bytes as u64, volume.cancel())?;
            let permit = self.context.throttle.begin(!self.started.is_empty(), volume.cancel())?;
            self.started.push_back((ranges, volume.source.start_read(batch), permit));
        }
        Ok(())
    }

    fn finish_read(&self, read: StartedRead) -> Result<ReadBatch, EngineError> {
        let volume = self.context.volume;
        let batch = volume.source.finish_read(read);
        let batch = batch.map_err(|source| EngineError::Source { volume: volume.name.clone(), source })?;
        self.context.counts.read.fetch_add(batch.bytes().len() as u64, Ordering::Relaxed);
        Ok(batch)
    }

    fn len_of(&self, run: &Range<u32>) -> usize {
        usize::try_from(self.context.volume.bytes_of(run.start, run.end)).unwrap_or(usize::MAX)
    }
}
