//! Joins checked blocks to writes of up to 1 MiB.

use std::sync::atomic::{AtomicU64, Ordering};

use coffer_blockio::{BlockTarget, Buf};

use crate::EngineError;
use crate::read::fetch::BlockSink;

/// Figures of one volume's restore.
#[derive(Default)]
pub(crate) struct RestoreCounts {
    pub(crate) fetched: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) zeroed: AtomicU64,
}

/// Collects neighbouring blocks and writes them in one go.
pub(crate) struct TargetWriter<'a> {
    target: &'a dyn BlockTarget,
    volume: &'a str,
    counts: &'a RestoreCounts,
    block_bytes: u64,
    buffer: Buf,
    /// Block and length of what is in the buffer.
    first: u32,
    next: u32,
    used: usize,
}

impl<'a> TargetWriter<'a> {
    /// `buffer` holds at least one block.
    pub(crate) fn new(
        target: &'a dyn BlockTarget,
        volume: &'a str,
        counts: &'a RestoreCounts,
        block_bytes: u32,
        buffer: Buf,
    ) -> Self {
        TargetWriter {
            target,
            volume,
            counts,
            block_bytes: u64::from(block_bytes),
            buffer,
            first: 0,
            next: 0,
            used: 0,
        }
    }

    /// Writes what was collected.
    pub(crate) fn flush(&mut self) -> Result<(), EngineError> {
        if self.used == 0 {
            return Ok(());
        }
        let offset = u64::from(self.first) * self.block_bytes;
        let written = self.target.write_all_at(offset, &self.buffer[..self.used]);
        written.map_err(|source| EngineError::Target { volume: self.volume.to_owned(), source })?;
        self.counts.written.fetch_add(self.used as u64, Ordering::Relaxed);
        self.used = 0;
        Ok(())
    }
}

impl BlockSink for TargetWriter<'_> {
    fn place(&mut self, block: u32, len: usize) -> Result<&mut [u8], EngineError> {
        if self.used > 0 && (block != self.next || self.used + len > self.buffer.len()) {
            self.flush()?;
        }
        if self.used == 0 {
            self.first = block;
        }
        let used = self.used;
        self.buffer.get_mut(used..used + len).ok_or_else(|| EngineError::Bug("write buffer too small".into()))
    }

    fn filled(&mut self, block: u32, len: usize) -> Result<(), EngineError> {
        self.used += len;
        self.next = block + 1;
        Ok(())
    }
}
