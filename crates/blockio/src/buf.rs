//! The owned, aligned buffer that every data path of the process uses.
//!
//! A `Buf` is the only owner of its bytes until it is dropped; it must never give its range back earlier, and never
//! twice.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;

use crate::pool::Pool;

/// A piece of the arena: 4 KiB-aligned bytes that go back to the budget on drop.
///
/// The contents of a fresh buffer are *unspecified but initialised*: zeroes, or whatever an earlier user of the same
/// memory left there. Write before you read; nothing secret is wiped.
pub struct Buf {
    pool: Arc<Pool>,
    offset_bytes: usize,
    capacity_bytes: usize,
    len_bytes: usize,
}

impl Buf {
    /// Takes over a range that the arena has just handed out; `len_bytes` is at most `capacity_bytes`.
    pub(crate) fn new(pool: Arc<Pool>, offset_bytes: usize, capacity_bytes: usize, len_bytes: usize) -> Self {
        debug_assert!(len_bytes <= capacity_bytes, "a buffer is not longer than its range");
        Self { pool, offset_bytes, capacity_bytes, len_bytes }
    }

    /// Shortens the buffer to its first `len_bytes` bytes; does nothing if it is not longer than that.
    ///
    /// The whole range stays charged to the budget until drop.
    pub fn truncate(&mut self, len_bytes: usize) {
        self.len_bytes = self.len_bytes.min(len_bytes);
    }

    /// What this buffer costs the budget, in bytes: its requested length, rounded up.
    pub fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    /// Where it lies in `pool`: offset and length of its range. `None` if it is another pool's.
    pub(crate) fn range_in(&self, pool: &Arc<Pool>) -> Option<(usize, usize)> {
        Arc::ptr_eq(&self.pool, pool).then_some((self.offset_bytes, self.capacity_bytes))
    }

    /// The byte at `at`, which is below the length. Whoever uses it keeps the buffer, and keeps everybody else away.
    pub(crate) fn pointer(&self, at: usize) -> NonNull<u8> {
        assert!(at < self.len_bytes, "byte {at} of a buffer of {} bytes", self.len_bytes);
        self.pool.pointer(self.offset_bytes + at)
    }

    /// Shares the bytes without copying; the memory returns to the arena when the last clone or slice is dropped.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.pool.pointer(self.offset_bytes);
        // SAFETY: the range is inside of the mapping, initialised, and handed out to this buffer alone until drop;
        // `&self` keeps writers away.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len_bytes) }
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        let start = self.pool.pointer(self.offset_bytes);
        // SAFETY: as in `deref`; `&mut self` makes this the only reference into the range.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.len_bytes) }
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Buf {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl From<Buf> for Bytes {
    fn from(buf: Buf) -> Self {
        buf.into_bytes()
    }
}

impl fmt::Debug for Buf {
    /// Says how long it is and never what is in it: buffers hold the users' data.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Buf")
            .field("len_bytes", &self.len_bytes)
            .field("capacity_bytes", &self.capacity_bytes)
            .finish_non_exhaustive()
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        self.pool.give_back(self.offset_bytes, self.capacity_bytes);
    }
}
