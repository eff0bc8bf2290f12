//! The write port: what a restore needs from a device or an image, and nothing else.
//!
//! An implementation must never report bytes as durable that are not, never change its size by writing, and never
//! assume what an existing target contains.

use crate::error::{ReadError, WriteError};

/// A volume that can be written at any offset by many threads at once, as long as their ranges do not overlap.
pub trait BlockTarget: Send + Sync {
    /// The size in bytes; writing never changes it.
    fn size_bytes(&self) -> u64;

    /// Writes all of `buf` at `offset`. Any offset, length and alignment is right; multiples of 4 KiB from a
    /// [`crate::Buf`] are fast.
    ///
    /// # Errors
    /// [`WriteError::OutOfRange`] before anything is written; [`WriteError::NoSpace`] or [`WriteError::Io`], after
    /// which the range holds old bytes, new bytes or both.
    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError>;

    /// Makes `len_bytes` bytes at `offset` read as zeroes, whatever was there before.
    ///
    /// One call may take as long as writing that many bytes and cannot be cancelled: pass bounded ranges.
    ///
    /// # Errors
    /// As [`BlockTarget::write_all_at`].
    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError>;

    /// Fills `buf` with the bytes at `offset`, those just written included; for comparing in place.
    ///
    /// # Errors
    /// As [`crate::BlockSource::read_exact_at`].
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Returns once everything written before is on stable storage, the file's name and size included.
    ///
    /// # Errors
    /// [`WriteError::Flush`], and [`WriteError::EarlierFlush`] on every call after that.
    fn flush(&self) -> Result<(), WriteError>;

    /// Whether this process created the target empty, so that what was never written reads as zeroes.
    fn is_fresh(&self) -> bool;

    /// Called once before the first write: what is replaced is emptied now. Until then the target is as it was.
    ///
    /// # Errors
    /// [`WriteError::Resize`].
    fn begin(&self) -> Result<(), WriteError> {
        Ok(())
    }

    /// Called once after the last write: returns once everything is on stable storage, and the target has its final name and size.
    ///
    /// # Errors
    /// As [`BlockTarget::flush`]; [`WriteError::Rename`], [`WriteError::Resize`].
    fn finish(&self) -> Result<(), WriteError> {
        self.flush()
    }

    /// Whether what was written stays where people find it if there is no [`BlockTarget::finish`]; otherwise it is removed when this is dropped.
    fn stays_unfinished(&self) -> bool {
        true
    }

    /// Bytes behind the volume's end that [`BlockTarget::finish`] cuts off.
    fn cut_bytes(&self) -> u64 {
        0
    }
}
