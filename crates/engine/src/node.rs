//! One budget of memory for all operations of a process, handed out in shares.
//!
//! Each operation gets arenas of its own, carved out of the budget when it is admitted, and never waits for another's memory. One arena for
//! all was considered and left: its queue serves requests in order of arrival, so one operation's long request would hold up
//! another that holds buffers, and whether all of them together can stand still would depend on what each holds at that moment. With arenas of
//! their own every operation fits by [`Resources`]' own arithmetic, whatever the others do, and its memory is the kernel's again when it ends. The
//! price is that memory an operation does not use cannot be lent out before it ends; hence shares of different size, chosen at admission.
//!
//! This file never waits: whoever finds no share free keeps its queue itself.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use coffer_blockio::Arena;

use crate::resources::{PROCESS_BYTES, SHARED_OPERATION_BYTES};
use crate::{EngineError, MEMORY_BYTES_MIN, Resources};

/// Least memory of what callers make the process hold beside the data of operations.
const REQUEST_BYTES_MIN: u64 = 3 << 20;
/// Most of it.
const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Least memory of one operation: an arena that each kind of operation fits in, caches, stacks and small structures.
const SHARE_BYTES_MIN: u64 = MEMORY_BYTES_MIN - PROCESS_BYTES - REQUEST_BYTES_MIN;
/// More operations at once win nothing on one node.
const SHARES_MAX: u64 = 16;

/// The memory and processors of a node for its operations; clones share them.
#[derive(Clone)]
pub struct NodeResources(Arc<Node>);

struct Node {
    request_bytes: u64,
    share_bytes: u64,
    shares: usize,
    cpus: usize,
    taken: Mutex<Taken>,
    returned: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Taken {
    shares: usize,
    arenas: Vec<Weak<Arena>>,
}

/// What of `memory_bytes` is set aside for requests, answers and the history of operations. Pure.
fn request_bytes(memory_bytes: u64) -> u64 {
    let more = memory_bytes.saturating_sub(MEMORY_BYTES_MIN) / 16;
    (REQUEST_BYTES_MIN + more).min(REQUEST_BYTES_MAX)
}

/// How `memory_bytes` are shared out: how many shares there are, and the bytes of each. Pure.
///
/// Twice as many as processors, since an operation waits for disks and networks too, but each large enough for any operation.
fn plan_shares(memory_bytes: u64, cpus: usize) -> (usize, u64) {
    let bytes = memory_bytes.saturating_sub(PROCESS_BYTES + request_bytes(memory_bytes));
    let wanted = (cpus as u64 * 2).clamp(2, SHARES_MAX);
    let shares = wanted.min(bytes / SHARE_BYTES_MIN).max(1);
    (usize::try_from(shares).expect("at most 16"), bytes / shares)
}

/// How many of `free` shares the first in a queue should take while `waiting` others wait behind it. Pure.
///
/// Who is alone takes half of what is free, so that whoever comes next finds something; where many wait each takes one.
pub fn shares_for(free: usize, waiting: usize) -> Option<NonZeroUsize> {
    let part = if waiting == 0 { free.div_ceil(2) } else { (free / (waiting + 1)).max(1) };
    NonZeroUsize::new(part.min(free))
}

/// Shares that are taken. Held by the arenas that were carved out of them, and dropped after both.
struct Lease {
    node: Arc<Node>,
    shares: usize,
}

impl NodeResources {
    /// Shares out `memory_bytes`, below which the process's peak resident size stays, for `cpus` processors.
    ///
    /// # Errors
    /// [`EngineError::Usage`] for less than [`MEMORY_BYTES_MIN`].
    pub fn within(memory_bytes: u64, cpus: usize) -> Result<NodeResources, EngineError> {
        if memory_bytes < MEMORY_BYTES_MIN {
            return Err(EngineError::Usage(format!(
                "{memory_bytes} bytes of memory are too little for a node: at least {MEMORY_BYTES_MIN} bytes (64MiB) are needed"
            )));
        }
        let (shares, share_bytes) = plan_shares(memory_bytes, cpus);
        let (taken, returned) = (Mutex::default(), OnceLock::new());
        let request_bytes = request_bytes(memory_bytes);
        Ok(NodeResources(Arc::new(Node { request_bytes, share_bytes, shares, cpus, taken, returned })))
    }

    /// Bytes that are set aside for requests that wait, answers and the history of operations.
    pub fn request_bytes(&self) -> u64 {
        self.0.request_bytes
    }

    /// Shares in all: as many operations run at once at most.
    pub fn shares(&self) -> usize {
        self.0.shares
    }

    /// Shares that nobody has.
    pub fn free_shares(&self) -> usize {
        self.0.shares - self.0.lock().shares
    }

    /// Resources of `shares` shares for one operation; `None` where fewer are free.
    ///
    /// They come back when the last clone of the result and the last buffer of its arenas are gone, which is when their memory is the
    /// kernel's again: a request that a store still holds keeps its share.
    ///
    /// # Errors
    /// [`EngineError::Usage`] where the system does not give address space.
    pub fn lease(&self, shares: NonZeroUsize) -> Result<Option<Resources>, EngineError> {
        let Some(lease) = self.take(shares.get()) else { return Ok(None) };
        let share_bytes = self.0.share_bytes * shares.get() as u64;
        let cpus = self.cpus_for(shares.get());
        let resources = Resources::carve(share_bytes, SHARED_OPERATION_BYTES, cpus, Some(Arc::new(lease)))?;
        let mut taken = self.0.lock();
        taken.arenas.retain(|arena| arena.strong_count() > 0);
        taken.arenas.extend([&resources.arena, &resources.map_arena].map(Arc::downgrade));
        Ok(Some(resources))
    }

    /// Calls `told` each time shares came back, on whichever thread let go of them; it must not block. Only the first call counts.
    pub fn tell_returned(&self, told: impl Fn() + Send + Sync + 'static) {
        let _first_one_stays = self.0.returned.set(Box::new(told));
    }

    /// Bytes that living buffers of all operations hold, and the budget that all shares together are carved out of.
    pub fn arena_bytes(&self) -> (u64, u64) {
        // An arena can die here, and its lease takes the lock.
        let arenas: Vec<Arc<Arena>> = self.0.lock().arenas.iter().filter_map(Weak::upgrade).collect();
        let in_use = arenas.iter().map(|arena| arena.in_use_bytes() as u64).sum();
        (in_use, self.0.share_bytes * self.0.shares as u64)
    }

    fn take(&self, shares: usize) -> Option<Lease> {
        let mut taken = self.0.lock();
        if taken.shares + shares > self.0.shares {
            return None;
        }
        taken.shares += shares;
        Some(Lease { node: self.0.clone(), shares })
    }

    /// Twice its part of the processors: who is alone has half of the shares ([`shares_for`]) and can use all processors, and threads that
    /// find theirs taken wait, which memory cannot. Never none.
    fn cpus_for(&self, shares: usize) -> usize {
        (self.0.cpus * shares * 2).div_ceil(self.0.shares).clamp(1, self.0.cpus.max(1))
    }
}

impl Node {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.node.lock().shares -= self.shares;
        if let Some(told) = self.node.returned.get() {
            told();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::resources::tests::{S3, assert_fits, sending};

    const MIB: u64 = 1 << 20;

    fn shares(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    /// All that the shares out there may take, beside what the process takes by itself.
    fn held(resources: &[Resources]) -> u64 {
        let arenas = |it: &Resources| (it.arena.budget_bytes() + it.map_arena.budget_bytes()) as u64;
        resources.iter().map(|it| arenas(it) + it.cache_bytes + SHARED_OPERATION_BYTES).sum()
    }

    #[test]
    fn all_operations_together_stay_within_the_memory_and_each_fits_alone() {
        for memory in (64..=1024).step_by(16).map(|mib| mib * MIB) {
            for cpus in [1, 2, 8, 64] {
                for each in [1, 2, 3] {
                    let node = NodeResources::within(memory, cpus).unwrap();
                    let context = format!("{memory} bytes, {cpus} cpus, {each} shares each");
                    let mut leased = Vec::new();
                    while let Some(resources) =
                        node.lease(shares(each.min(node.free_shares().max(1)))).unwrap()
                    {
                        assert_fits(&resources, &context);
                        leased.push(resources);
                    }
                    assert_eq!(node.free_shares(), 0, "{context}");
                    assert!(PROCESS_BYTES + node.request_bytes() + held(&leased) <= memory, "{context}");
                    assert!(node.arena_bytes().1 >= held(&leased), "{context}");
                }
            }
        }
    }

    #[test]
    fn sixteen_operations_in_256_mib_run_four_at_a_time() {
        let node = NodeResources::within(256 * MIB, 2).unwrap();
        assert_eq!(node.shares(), 4);
        let one = node.lease(shares(1)).unwrap().unwrap();
        assert_eq!(
            one.sending(&S3, false),
            sending(2, 8),
            "while one part is on its way the next one goes too"
        );
        assert!(NodeResources::within(MEMORY_BYTES_MIN - 1, 2).is_err());
        assert_eq!(NodeResources::within(MEMORY_BYTES_MIN, 64).unwrap().shares(), 1);
    }

    #[test]
    fn who_is_alone_gets_more_and_leaves_something() {
        let node = NodeResources::within(256 * MIB, 2).unwrap();
        let alone = node.lease(shares_for(node.free_shares(), 0).unwrap()).unwrap().unwrap();
        let next = node.lease(shares_for(node.free_shares(), 0).unwrap()).unwrap().unwrap();
        assert!(alone.arena.budget_bytes() > 2 * next.arena.budget_bytes());
        assert_eq!(
            alone.workers,
            Resources::within(256 * MIB, 2).unwrap().workers,
            "as in a process of its own"
        );
        assert!(alone.workers > next.workers);
        assert_eq!(node.free_shares(), 1);
        assert_eq!(shares_for(4, 15), NonZeroUsize::new(1));
        assert_eq!(shares_for(4, 1), NonZeroUsize::new(2));
        assert_eq!(shares_for(0, 3), None);
    }

    #[test]
    fn a_share_comes_back_with_the_last_buffer_of_either_arena_and_not_before() {
        for map_is_last in [false, true] {
            let node = NodeResources::within(64 * MIB, 1).unwrap();
            let told = Arc::new(AtomicUsize::new(0));
            let counter = told.clone();
            node.tell_returned(move || {
                counter.fetch_add(1, Ordering::SeqCst);
            });
            let resources = node.lease(shares(1)).unwrap().unwrap();
            assert!(node.lease(shares(1)).unwrap().is_none());
            let mut buffers =
                [&resources.arena, &resources.map_arena].map(|arena| arena.alloc(5000).unwrap());
            assert_eq!(node.arena_bytes().0, 2 * 8192);
            if map_is_last {
                buffers.reverse();
            }
            let [last, other] = buffers;
            let clone = resources.clone();
            drop(resources);
            drop(clone);
            drop(other);
            assert_eq!((node.free_shares(), told.load(Ordering::SeqCst)), (0, 0), "a buffer is on its way");
            drop(last);
            assert_eq!((node.free_shares(), told.load(Ordering::SeqCst)), (1, 1));
            assert_eq!(node.arena_bytes().0, 0);
            assert!(node.lease(shares(1)).unwrap().is_some());
        }
    }
}
