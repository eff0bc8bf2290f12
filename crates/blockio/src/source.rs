//! The read port: what a backup needs from a device or an image, and nothing else.
//!
//! An implementation must never return success for bytes it did not read, and never call a range a hole that might
//! hold data: that would lose it.

use std::fmt;
use std::ops::Range;

use crate::disk::DiskActivity;
use crate::error::ReadError;
use crate::kind::SourceKind;
use crate::read_batch::{ReadBatch, StartedRead};

/// Who gets the bytes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadEngine {
    /// The thread that finishes the batch, with `pread`.
    Pread,
    /// The ring's thread, with io_uring.
    Uring,
}

impl fmt::Display for ReadEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pread => "pread",
            Self::Uring => "uring",
        })
    }
}

/// A volume that can be read at any offset by many threads at once.
pub trait BlockSource: Send + Sync {
    /// The size in bytes when it was opened; never changes.
    fn size_bytes(&self) -> u64;

    /// Fills `buf` with the bytes at `offset`. Any offset, length and alignment is right; multiples of 4 KiB into a
    /// [`crate::Buf`] are fast. Reading past the end is [`ReadError::Short`], never zeroes.
    ///
    /// # Errors
    /// [`ReadError::Io`] or [`ReadError::Short`]; `buf` then holds unspecified bytes.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Begins to read a batch and returns at once. A source without an engine of its own defers it: then
    /// [`BlockSource::finish_read`] reads it.
    fn start_read(&self, batch: ReadBatch) -> StartedRead {
        StartedRead::deferred(batch)
    }

    /// Waits for a batch that this source started, and reads what is left of it.
    ///
    /// # Errors
    /// As of [`BlockSource::read_exact_at`] for the first range that cannot be read; [`ReadError::EngineGone`]. The
    /// buffer goes back to the arena.
    fn finish_read(&self, started: StartedRead) -> Result<ReadBatch, ReadError> {
        let mut batch = started.wait()?;
        batch.complete(|offset, buf| self.read_exact_at(offset, buf))?;
        Ok(batch)
    }

    /// Whether starting a batch before the one before it is finished saves time.
    fn reads_ahead(&self) -> bool {
        false
    }

    /// Which engine reads batches.
    fn engine(&self) -> ReadEngine {
        ReadEngine::Pread
    }

    /// Whether aligned reads bypass the page cache; always true for a device.
    fn is_direct(&self) -> bool {
        false
    }

    /// The ranges of `[start, end)` that may hold anything but zeroes: ascending, not touching, clamped to the
    /// interval and to [`BlockSource::size_bytes`].
    ///
    /// Everything else in the interval is known to read as zero. A source without such knowledge returns the whole
    /// interval; what lies past the end of a source that shrank counts as data, so that reading it fails. A finely
    /// fragmented source returns many ranges: ask in windows (1 GiB, say) to bound memory.
    ///
    /// # Errors
    /// [`ReadError::Holes`].
    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError>;

    /// Offset of the first byte at or after `offset` that may hold data; `None` when all the rest is known to read as
    /// zeroes. A source without such knowledge returns `offset`. Errors as of [`BlockSource::data_ranges`].
    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError>;

    /// Whether [`BlockSource::data_ranges`] can leave anything out.
    fn knows_holes(&self) -> bool;

    /// The size in bytes asked again now: tells whether the source shrank or grew while it was read.
    ///
    /// # Errors
    /// [`ReadError::Size`].
    fn current_size_bytes(&self) -> Result<u64, ReadError>;

    /// What the bytes come from.
    fn kind(&self) -> SourceKind;

    /// The disks below, as far as they can be watched.
    fn disks(&self) -> Vec<Box<dyn DiskActivity>> {
        Vec::new()
    }
}
