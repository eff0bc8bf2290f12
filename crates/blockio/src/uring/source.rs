//! The source that reads batches with io_uring and everything else as [`PreadSource`] does.
//!
//! It must never hand memory to the ring that a caller has only lent.

use std::ops::Range;
use std::sync::Arc;

use super::Ring;
use crate::disk::DiskActivity;
use crate::error::ReadError;
use crate::kind::SourceKind;
use crate::pread::PreadSource;
use crate::read_batch::{ReadBatch, StartedRead};
use crate::source::{BlockSource, ReadEngine};

/// A block device or regular file whose batches are read with io_uring.
#[derive(Debug)]
pub struct UringSource {
    files: PreadSource,
    ring: Arc<Ring>,
    use_for: RingUse,
}

/// Which batches go to the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingUse {
    /// All.
    All,
    /// Those of many requests. Handing one large read over costs more processor time than it saves.
    Scattered,
}

/// A batch with fewer requests is not scattered. At 256 KiB a request, `pread` is about as cheap.
const SCATTERED_PIECES_MIN: usize = 4;

impl UringSource {
    /// Reads what `files` has open through `ring`.
    pub fn new(files: PreadSource, ring: Arc<Ring>, use_for: RingUse) -> Self {
        Self { files, ring, use_for }
    }
}

impl BlockSource for UringSource {
    fn size_bytes(&self) -> u64 {
        self.files.size_bytes()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.files.read_exact_at(offset, buf)
    }

    fn start_read(&self, batch: ReadBatch) -> StartedRead {
        if self.use_for == RingUse::Scattered && batch.pieces().len() < SCATTERED_PIECES_MIN {
            return StartedRead::deferred(batch);
        }
        self.ring.start_read(self.files.handle(), batch)
    }

    fn reads_ahead(&self) -> bool {
        true
    }

    fn engine(&self) -> ReadEngine {
        ReadEngine::Uring
    }

    fn is_direct(&self) -> bool {
        self.files.is_direct()
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        self.files.data_ranges(start, end)
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        self.files.next_data(offset)
    }

    fn knows_holes(&self) -> bool {
        self.files.knows_holes()
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        self.files.current_size_bytes()
    }

    fn kind(&self) -> SourceKind {
        self.files.kind()
    }

    fn disks(&self) -> Vec<Box<dyn DiskActivity>> {
        self.files.disks()
    }
}
