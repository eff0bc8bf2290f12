//! The arena: the one pool of aligned buffers; running out of it is the process's only back-pressure.
//!
//! # Problem
//! Readers, encoders and uploads move at different speeds. With a queue between each two of them memory would be the sum of the queues. Here a
//! stage that gets ahead waits for a buffer, and peak memory is the budget.
//!
//! # Parts
//! [`Arena`] makes buffers; the pool (`pool.rs`) hands out ranges of one lazily touched mapping; a [`Buf`] is the permit for its range and
//! returns it by drop, also in a panic. Small buffers come from the upper end, longer ones from the lower, so that small ones that live long
//! do not split the room for large ones.
//!
//! # Order of arrival
//! Requests are served in order of arrival: a large one does not starve behind small ones. The price is a rule for callers: who holds a buffer
//! while it waits for another may wait for itself, which is a deadlock. All buffers of a step are taken before the step, or the second one with
//! [`Arena::try_alloc`].
//!
//! # Cancel
//! The caller sets its flag, then calls [`Arena::wake_all`], which takes the pool's lock: a request has either not yet looked at its flag or
//! already sleeps, so none misses the call. `make interleavings` tries every order with loom.
//!
//! # Never
//! More than the budget, the same byte twice, a range back before its buffer is gone. What the kernel still writes to is kept by the ring
//! (`uring.rs`), not by its worker.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::buf::Buf;
use crate::error::ArenaError;
use crate::pool::{Permit, Pool};

/// A pool of `budget_bytes` bytes shared by everything in the process.
///
/// Memory is one lazily touched mapping, handed out first-fit: what was freed is used again before untouched pages,
/// so the resident set grows with use and never past the budget. A request waits for *contiguous* room; requests are
/// served in order of arrival, so one that waits makes later ones wait too. Hence the rule for callers: a thread
/// that holds buffers while it waits for another may wait for itself; see the crate's documentation.
#[derive(Debug)]
pub struct Arena {
    pool: Arc<Pool>,
}

impl Arena {
    /// Reserves address space for `budget_bytes`, rounded down to 4 KiB.
    ///
    /// # Errors
    /// [`ArenaError::Budget`] below 4 KiB, [`ArenaError::Map`] if the system refuses the address space.
    pub fn new(budget_bytes: usize) -> Result<Arc<Self>, ArenaError> {
        Ok(Arc::new(Self { pool: Pool::new(budget_bytes, Permit(None))? }))
    }

    /// As [`Arena::new`], and drops `permit` once the arena and its last buffer are gone and their memory went back to the kernel:
    /// a share of a larger budget that must not be given to anybody else before.
    ///
    /// # Errors
    /// As [`Arena::new`]; the permit is dropped then.
    pub fn new_with_permit(
        budget_bytes: usize,
        permit: Box<dyn Send + Sync>,
    ) -> Result<Arc<Self>, ArenaError> {
        Ok(Arc::new(Self { pool: Pool::new(budget_bytes, Permit(Some(permit)))? }))
    }

    /// A buffer of `len_bytes` bytes; blocks until there is room and everybody who came earlier was served.
    ///
    /// # Errors
    /// [`ArenaError::TooLarge`] if `len_bytes` exceeds the whole budget.
    pub fn alloc(self: &Arc<Self>, len_bytes: usize) -> Result<Buf, ArenaError> {
        let never = AtomicBool::new(false);
        let buf = self.alloc_cancellable(len_bytes, &never)?;
        Ok(buf.expect("nobody else can set the flag, so the wait ends with a buffer"))
    }

    /// As [`Arena::alloc`], but gives up with `None` when `cancelled` is true.
    ///
    /// Whoever sets the flag calls [`Arena::wake_all`] afterwards; otherwise a blocked request does not notice. A
    /// request that could be served at once is still refused when the flag is set.
    ///
    /// # Errors
    /// [`ArenaError::TooLarge`] if `len_bytes` exceeds the whole budget.
    pub fn alloc_cancellable(
        self: &Arc<Self>,
        len_bytes: usize,
        cancelled: &AtomicBool,
    ) -> Result<Option<Buf>, ArenaError> {
        let capacity_bytes = self.pool.capacity_for(len_bytes)?;
        let offset_bytes = self.pool.wait_for(capacity_bytes, cancelled);
        Ok(offset_bytes.map(|offset| Buf::new(Arc::clone(&self.pool), offset, capacity_bytes, len_bytes)))
    }

    /// A buffer of `len_bytes` bytes if there is room now and nobody waits; never blocks.
    ///
    /// `None` also for a length above the whole budget, for which waiting would not help either.
    pub fn try_alloc(self: &Arc<Self>, len_bytes: usize) -> Option<Buf> {
        let capacity_bytes = self.pool.capacity_for(len_bytes).ok()?;
        let offset_bytes = self.pool.try_take(capacity_bytes)?;
        Some(Buf::new(Arc::clone(&self.pool), offset_bytes, capacity_bytes, len_bytes))
    }

    /// Makes every blocked request look at its cancel flag again.
    pub fn wake_all(&self) {
        self.pool.wake_all();
    }

    /// The most that all buffers together may hold, in bytes.
    pub fn budget_bytes(&self) -> usize {
        self.pool.budget_bytes()
    }

    /// What living buffers hold now, in bytes, rounding included.
    pub fn in_use_bytes(&self) -> usize {
        self.pool.in_use_bytes()
    }

    /// The most that was ever in use at once, in bytes.
    pub fn peak_bytes(&self) -> usize {
        self.pool.peak_bytes()
    }

    /// How many requests are blocked now.
    pub fn waiting_requests(&self) -> usize {
        self.pool.waiting_requests()
    }

    pub(crate) fn pointer(&self, offset_bytes: usize) -> NonNull<u8> {
        self.pool.pointer(offset_bytes)
    }

    /// Where `buf` lies in this arena: offset and length of its range. `None` if it is another arena's.
    pub(crate) fn range_of(&self, buf: &Buf) -> Option<(usize, usize)> {
        buf.range_in(&self.pool)
    }
}

#[cfg(test)]
mod tests;
