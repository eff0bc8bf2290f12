//! The memory below an arena and the queue of those who wait for it, in ranges of bytes: the arena makes buffers of them.
//!
//! It must never hand out more than its budget, never the same byte twice, and never let a large request starve
//! behind small ones.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use crate::BUFFER_ALIGN_BYTES;
use crate::error::ArenaError;
use crate::free_ranges::FreeRanges;
use crate::mapping::Mapping;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Buffers up to this length are rounded to 4 KiB and taken from the upper end, longer ones are rounded to this and
/// taken from the lower end, so that small buffers that live long do not split the room for large ones.
const SMALL_MAX_BYTES: usize = 64 * 1024;

/// The mapping, and who has which part of it.
#[derive(Debug)]
pub(crate) struct Pool {
    // Fields are dropped in this order: the permit goes when the memory is the kernel's again.
    mapping: Mapping,
    state: Mutex<State>,
    _permit: Permit,
}

/// Whatever the arena was allowed by; nobody looks into it.
pub(crate) struct Permit(pub(crate) Option<Box<dyn Send + Sync>>);

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Permit" } else { "None" })
    }
}

#[derive(Debug)]
struct State {
    free: FreeRanges,
    waiting: VecDeque<Arc<Waiter>>,
    in_use_bytes: usize,
    peak_bytes: usize,
}

/// One blocked request; only the first in the queue is ever served.
#[derive(Debug, Default)]
struct Waiter {
    woken: Condvar,
}

impl Pool {
    /// Reserves address space; see [`crate::Arena::new_with_permit`].
    pub(crate) fn new(budget_bytes: usize, permit: Permit) -> Result<Arc<Self>, ArenaError> {
        let len_bytes = budget_bytes - budget_bytes % BUFFER_ALIGN_BYTES;
        if len_bytes == 0 {
            return Err(ArenaError::Budget { budget_bytes });
        }
        let mapping = Mapping::new(len_bytes).map_err(|source| ArenaError::Map { budget_bytes, source })?;
        let free = FreeRanges::new(len_bytes);
        let state = State { free, waiting: VecDeque::new(), in_use_bytes: 0, peak_bytes: 0 };
        Ok(Arc::new(Self { mapping, state: Mutex::new(state), _permit: permit }))
    }

    /// A range if there is room now and nobody waits: its offset.
    pub(crate) fn try_take(&self, capacity_bytes: usize) -> Option<usize> {
        self.lock().take_unless_queued(capacity_bytes)
    }

    /// Makes every blocked request look at its cancel flag again.
    pub(crate) fn wake_all(&self) {
        // Under the lock a request has either not yet looked at its flag or already sleeps; none can miss this.
        for waiter in &self.lock().waiting {
            waiter.woken.notify_one();
        }
    }

    /// The most that all buffers together may hold, in bytes.
    pub(crate) fn budget_bytes(&self) -> usize {
        self.mapping.len_bytes()
    }

    /// What living buffers hold now, in bytes, rounding included.
    pub(crate) fn in_use_bytes(&self) -> usize {
        self.lock().in_use_bytes
    }

    /// The most that was ever in use at once, in bytes.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.lock().peak_bytes
    }

    /// How many requests are blocked now.
    pub(crate) fn waiting_requests(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Where the byte at an offset lies.
    pub(crate) fn pointer(&self, offset_bytes: usize) -> NonNull<u8> {
        self.mapping.pointer(offset_bytes)
    }

    /// Takes a range back.
    pub(crate) fn give_back(&self, offset_bytes: usize, capacity_bytes: usize) {
        let mut state = self.lock();
        state.free.give_back(offset_bytes, capacity_bytes);
        state.in_use_bytes -= capacity_bytes;
        state.wake_first();
    }

    /// What a buffer of this length costs the budget, in bytes.
    pub(crate) fn capacity_for(&self, len_bytes: usize) -> Result<usize, ArenaError> {
        let budget_bytes = self.budget_bytes();
        if len_bytes > budget_bytes {
            return Err(ArenaError::TooLarge { len_bytes, budget_bytes });
        }
        let granule_bytes = if len_bytes <= SMALL_MAX_BYTES { BUFFER_ALIGN_BYTES } else { SMALL_MAX_BYTES };
        Ok(len_bytes.max(1).next_multiple_of(granule_bytes).min(budget_bytes))
    }

    /// Blocks until there is room and everybody who came earlier was served; `None` once `cancelled` is true.
    pub(crate) fn wait_for(&self, capacity_bytes: usize, cancelled: &AtomicBool) -> Option<usize> {
        let mut state = self.lock();
        if cancelled.load(Ordering::Acquire) {
            return None;
        }
        if let Some(offset_bytes) = state.take_unless_queued(capacity_bytes) {
            return Some(offset_bytes);
        }
        let waiter = Arc::new(Waiter::default());
        state.waiting.push_back(Arc::clone(&waiter));
        loop {
            state = waiter.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
            if cancelled.load(Ordering::Acquire) {
                state.leave(&waiter);
                return None;
            }
            if state.is_first(&waiter)
                && let Some(offset_bytes) = state.take(capacity_bytes)
            {
                state.leave(&waiter);
                return Some(offset_bytes);
            }
        }
    }

    /// The state stays consistent at every step, so a panic of another holder does not make it unusable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_unless_queued(&mut self, capacity_bytes: usize) -> Option<usize> {
        if self.waiting.is_empty() { self.take(capacity_bytes) } else { None }
    }

    fn take(&mut self, capacity_bytes: usize) -> Option<usize> {
        let offset_bytes = if capacity_bytes <= SMALL_MAX_BYTES {
            self.free.take_highest(capacity_bytes)
        } else {
            self.free.take_lowest(capacity_bytes)
        }?;
        self.in_use_bytes += capacity_bytes;
        self.peak_bytes = self.peak_bytes.max(self.in_use_bytes);
        Some(offset_bytes)
    }

    fn is_first(&self, waiter: &Arc<Waiter>) -> bool {
        self.waiting.front().is_some_and(|first| Arc::ptr_eq(first, waiter))
    }

    /// Takes a served or cancelled request out of the queue and lets the next one try.
    fn leave(&mut self, waiter: &Arc<Waiter>) {
        self.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
        self.wake_first();
    }

    fn wake_first(&self) {
        if let Some(first) = self.waiting.front() {
            first.woken.notify_one();
        }
    }
}
