//! How much memory and how many threads an operation may use, worked out once from one figure.
//!
//! Everything large lives in the arena; running out of it is the only back-pressure. The shares below keep the peak resident size of
//! the process under the figure that the user gave.

use std::sync::Arc;

use coffer_blockio::{Arena, Buf};
use coffer_format::PACK_BYTES_MAX;
use coffer_store::RequestShape;

use crate::request_error::RequestError;
use crate::{CancelToken, EngineError, IoThrottle, RateLimiter};

const MIB: u64 = 1 << 20;
/// Largest single read from a volume, bytes.
pub(crate) const READ_BYTES_MAX: usize = 1 << 20;
/// Read buffers of one worker: one is worked on, one is read into.
pub(crate) const READ_BUFFERS_MAX: usize = 2;
/// Least memory an operation can be given, bytes.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;
/// What code, the process's own threads and the allocator take at most.
pub(crate) const PROCESS_BYTES: u64 = 20 << 20;
/// What stacks, connections and small structures of one operation take at most, where it has the process for itself.
const OPERATION_BYTES: u64 = 8 << 20;
/// The same of one among several in a process: runtime, TLS and the heap's own waste are the process's and are not there once for each. With sixteen
/// volumes at once an agent of 256 MiB was seen at 202 MiB (`docs/performance.md`) when each operation was allowed 8 MiB.
pub(crate) const SHARED_OPERATION_BYTES: u64 = 4 << 20;
/// Lengths of a part, longest first: the first that fits is taken. Eight of the longest hold a pack of 128 MiB with its trailer; S3 refuses parts
/// below the shortest, but for the last of an upload.
const PART_BYTES: [u64; 3] = [17 << 20, 8 << 20, 5 << 20];
/// Length of a map's parts: few are needed, so they are the shortest, and packs have the memory. The 10,000 parts that S3 allows hold a map
/// with 12 bytes for each of 2^32 blocks.
const MAP_PART_BYTES: u64 = 5 << 20;
/// One part of a map, which a run fills and sends before the next.
const MAP_ARENA_BYTES: u64 = MAP_PART_BYTES + PART_SLACK_BYTES as u64;
/// Room behind a part's end for the frame that crosses it.
pub(crate) const PART_SLACK_BYTES: usize = (1 << 20) + (256 << 10);
/// A range that fits wherever anything runs.
pub(crate) const RANGE_BYTES: u64 = 8 << 20;
/// Threads that only wait for a store are cheap, but not free.
const UPLOADS_MAX: usize = 32;
/// Copies of changed blocks, set aside in an incremental; more would only lie there.
const GATHER_BYTES_MAX: u64 = 8 << 20;
/// More than this is not used even where it is allowed.
const ARENA_BYTES_MAX: u64 = 512 << 20;

/// How parts are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sending {
    /// Threads that send.
    pub(crate) threads: usize,
    /// Length of all parts of a pack but the last, bytes.
    pub(crate) part_len: u64,
    /// Length of all parts of a map but the last, bytes.
    pub(crate) map_part_len: u64,
}

/// How ranges are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchShape {
    /// Threads that fetch, open and write.
    pub(crate) threads: usize,
    /// Longest range, bytes.
    pub(crate) range_bytes: u64,
}

/// Memory and threads of one process, shared by all its operations.
#[derive(Clone)]
pub struct Resources {
    /// The pool of data buffers.
    pub arena: Arc<Arena>,
    /// The pool of a map's parts. They are shorter than those of packs, among which they would split the room for a longer one.
    pub map_arena: Arc<Arena>,
    /// Threads that read, hash, compress and encrypt, or fetch, decrypt and write.
    pub workers: usize,
    /// Most threads that send to the object store; the store's own wish counts below that.
    pub uploads: usize,
    /// Longest part of a multipart upload, bytes; the store's own wish counts below that.
    pub part_len: u64,
    /// Length at which a pack is closed, bytes; the format's limit holds too. What is in flight when a run dies is lost, so smaller packs
    /// lose less and cost more requests.
    pub pack_bytes: u64,
    /// Bytes set aside for changed blocks that an incremental stages in one pack; 0 where there is no room for them and that pack.
    pub staging_bytes: u64,
    /// Bytes that caches of maps and trailers may hold.
    pub cache_bytes: u64,
    /// Bytes per second that backups read from volumes, samples among them.
    pub read_limit: Option<Arc<RateLimiter>>,
    /// Reads per second that backups make of volumes; neighbouring blocks that are read at once are one.
    pub read_operations_limit: Option<Arc<RateLimiter>>,
    /// Bytes per second that backups send to the store.
    pub upload_limit: Option<Arc<RateLimiter>>,
    /// How backups step back where others read from the same disk; `None`: they do not.
    pub io_throttle: Option<Arc<IoThrottle>>,
}

impl Resources {
    /// Shares out `memory_bytes` among buffers and caches for a machine with `cpus` processors.
    pub fn within(memory_bytes: u64, cpus: usize) -> Result<Resources, EngineError> {
        if memory_bytes < MEMORY_BYTES_MIN {
            return Err(
                RequestError::MemoryTooSmall { memory_bytes, memory_bytes_min: MEMORY_BYTES_MIN }.into()
            );
        }
        Self::carve(memory_bytes - PROCESS_BYTES, OPERATION_BYTES, cpus, None)
    }

    /// Shares out what one operation may take, `share_bytes`, which holds `operation_bytes` of its own, caches and the arenas. `permit` is dropped
    /// when the memory of both arenas is the kernel's again.
    pub(crate) fn carve(
        share_bytes: u64,
        operation_bytes: u64,
        cpus: usize,
        permit: Option<Arc<dyn Send + Sync>>,
    ) -> Result<Resources, EngineError> {
        let cache_bytes = (share_bytes / 16).min(32 << 20);
        let arena_bytes =
            (share_bytes - operation_bytes - cache_bytes - MAP_ARENA_BYTES).min(ARENA_BYTES_MAX);
        let (workers, part_len) = fit(arena_bytes, (cpus * 2).clamp(2, 64))
            .ok_or_else(|| EngineError::Bug("the least memory does not hold one worker".into()))?;
        Ok(Resources {
            arena: reserve(arena_bytes, permit.clone())?,
            map_arena: reserve(MAP_ARENA_BYTES, permit)?,
            workers,
            uploads: UPLOADS_MAX,
            part_len,
            pack_bytes: PACK_BYTES_MAX,
            staging_bytes: staging_bytes(arena_bytes, workers, part_len),
            cache_bytes,
            read_limit: None,
            read_operations_limit: None,
            upload_limit: None,
            io_throttle: None,
        })
    }

    /// Makes a cancel wake whoever waits for memory of these resources. Every operation calls it before its first buffer.
    pub(crate) fn begin(&self, cancel: &CancelToken) {
        cancel.wakes(&self.arena);
        cancel.wakes(&self.map_arena);
    }

    /// Waits until a volume may be read `reads` times for `bytes` together.
    pub(crate) fn may_read(&self, reads: u64, bytes: u64, cancel: &CancelToken) -> Result<(), EngineError> {
        if let Some(limit) = &self.read_operations_limit {
            limit.pass(reads, cancel)?;
        }
        self.read_limit.as_ref().map_or(Ok(()), |limit| limit.pass(bytes, cancel))
    }

    /// A buffer of the arena; the wait for it ends with a cancel.
    pub(crate) fn alloc(&self, len: usize, cancel: &CancelToken) -> Result<Buf, EngineError> {
        alloc(&self.arena, len, cancel)
    }

    /// How a run sends to a store of this shape: each worker keeps its buffers, one that `stages` its copies and their pack's part, the
    /// rest of the arena is on its way.
    pub(crate) fn sending(&self, shape: &RequestShape, stages: bool) -> Sending {
        let part_len = self.part_len.min(shape.part_bytes);
        let map_part_len = part_len.min(MAP_PART_BYTES);
        let part = part_len + PART_SLACK_BYTES as u64;
        let staged = if stages && self.staging_bytes > 0 { self.staging_bytes + part } else { 0 };
        let kept = self.workers as u64 * ((READ_BUFFERS_MAX * READ_BYTES_MAX) as u64 + part) + staged;
        let in_flight = (self.arena.budget_bytes() as u64).saturating_sub(kept) / part;
        let threads = usize::try_from(in_flight).unwrap_or(usize::MAX);
        Sending { threads: threads.clamp(1, shape.at_once.min(self.uploads).max(1)), part_len, map_part_len }
    }

    /// How a run reads from a store of this shape: each thread holds a range, a write buffer and one to compare with.
    pub(crate) fn reading(&self, shape: &RequestShape) -> FetchShape {
        let threads = |range_bytes: u64| {
            let each = range_bytes + 2 * READ_BYTES_MAX as u64;
            usize::try_from(self.arena.budget_bytes() as u64 / each).unwrap_or(usize::MAX)
        };
        let wanted = shape.at_once.max(self.workers);
        let fits = threads(shape.range_bytes) >= wanted.div_ceil(2);
        let range_bytes = if fits { shape.range_bytes } else { shape.range_bytes.min(RANGE_BYTES) };
        FetchShape { threads: threads(range_bytes).clamp(1, wanted), range_bytes }
    }
}

/// An arena of `bytes`, which holds the permit.
fn reserve(bytes: u64, permit: Option<Arc<dyn Send + Sync>>) -> Result<Arc<Arena>, EngineError> {
    let len = usize::try_from(bytes).map_err(|_| EngineError::Bug("arena size".into()))?;
    Arena::new_with_permit(len, Box::new(permit))
        .map_err(|error| EngineError::Usage(format!("cannot reserve {bytes} bytes of memory: {error}")))
}

/// A buffer of `len` bytes; the wait for it ends with a cancel.
pub(crate) fn alloc(arena: &Arc<Arena>, len: usize, cancel: &CancelToken) -> Result<Buf, EngineError> {
    let buffer = arena.alloc_cancellable(len, cancel.flag());
    let buffer = buffer.map_err(|error| EngineError::Bug(error.to_string()))?;
    buffer.ok_or_else(|| cancel.error())
}

/// The most workers, up to `workers`, and the longest parts that fit in an arena; fewer workers rather than none.
fn fit(arena_bytes: u64, mut workers: usize) -> Option<(usize, u64)> {
    let mut part_lens = PART_BYTES.into_iter();
    let mut part_len = part_lens.next().unwrap_or_default();
    while needed(workers, part_len) > arena_bytes {
        if let Some(shorter) = part_lens.next() {
            part_len = shorter;
        } else if workers > 1 {
            workers -= 1;
        } else {
            return None;
        }
    }
    Some((workers, part_len))
}

/// Each worker holds its read buffers and a part; half as many parts again are on their way.
fn needed(workers: usize, part_len: u64) -> u64 {
    let part = part_len + PART_SLACK_BYTES as u64;
    let workers = workers as u64;
    workers * ((READ_BUFFERS_MAX * READ_BYTES_MAX) as u64 + part) + workers.div_ceil(2) * part
}

/// What is left for copies beside that and one more part, in whole MiB.
fn staging_bytes(arena_bytes: u64, workers: usize, part_len: u64) -> u64 {
    let part = part_len + PART_SLACK_BYTES as u64;
    let left = arena_bytes.saturating_sub(needed(workers, part_len) + part);
    left.min(GATHER_BYTES_MAX) / MIB * MIB
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const S3: RequestShape =
        RequestShape { at_once: 16, part_bytes: 17 << 20, range_bytes: 16 << 20 };

    #[test]
    fn what_is_in_use_at_once_fits_in_the_arena() {
        for memory in (64..=512).step_by(16).map(|mib| mib << 20) {
            for cpus in [1, 2, 8, 64] {
                let resources = Resources::within(memory, cpus).unwrap();
                assert_fits(&resources, &format!("{memory} {cpus}"));
            }
        }
    }

    /// What each kind of operation holds at once fits, so that nobody waits for memory that only others who wait could give back.
    pub(crate) fn assert_fits(resources: &Resources, context: &str) {
        let (arena, workers) = (resources.arena.budget_bytes() as u64, resources.workers as u64);
        for shape in [S3, RequestShape::default()] {
            let FetchShape { threads, range_bytes } = resources.reading(&shape);
            assert!(threads as u64 * (range_bytes + (2 << 20)) <= arena, "restore {context} {shape:?}");
            for stages in [false, true] {
                let Sending { threads, part_len, map_part_len } = resources.sending(&shape, stages);
                let map = map_part_len + PART_SLACK_BYTES as u64;
                assert!(map <= resources.map_arena.budget_bytes() as u64, "map {context} {shape:?}");
                let part = part_len + PART_SLACK_BYTES as u64;
                let copies = if stages { resources.staging_bytes } else { 0 };
                let parts = workers + u64::from(copies > 0);
                let kept = workers * (2 << 20) + parts * part + copies;
                assert!(kept + part <= arena, "backup {context} {shape:?} {stages}");
                assert!(
                    threads == 1 || threads as u64 * part + kept <= arena,
                    "backup {context} {shape:?} {stages}"
                );
            }
        }
        assert!(workers * (RANGE_BYTES + (1 << 20)) <= arena, "verify {context}");
        assert!((16 << 20) + RANGE_BYTES <= arena, "restore to a stream {context}");
    }

    /// So many threads, and parts of so many MiB.
    pub(crate) fn sending(threads: usize, part_mib: u64) -> Sending {
        Sending { threads, part_len: part_mib << 20, map_part_len: part_mib.min(5) << 20 }
    }

    #[test]
    fn a_cancel_wakes_who_waits_for_memory_of_either_arena() {
        let resources = Resources::within(MEMORY_BYTES_MIN, 1).unwrap();
        for arena in [&resources.arena, &resources.map_arena] {
            let cancel = CancelToken::default();
            resources.begin(&cancel);
            let _all = arena.alloc(arena.budget_bytes()).unwrap();
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| alloc(arena, 1, &cancel));
                while arena.waiting_requests() == 0 {
                    std::thread::yield_now();
                }
                cancel.cancel();
                assert!(matches!(waits.join().unwrap(), Err(EngineError::Cancelled)));
            });
        }
    }

    #[test]
    fn a_distant_store_gets_more_at_once_where_memory_allows() {
        let large = Resources::within(256 << 20, 2).unwrap();
        assert_eq!(large.reading(&S3), FetchShape { threads: 11, range_bytes: 16 << 20 });
        assert_eq!(large.sending(&S3, false), sending(6, 17));
        assert_eq!(large.sending(&S3, true), sending(5, 17));
        let small = Resources::within(96 << 20, 2).unwrap();
        assert_eq!(small.reading(&S3).range_bytes, 8 << 20);
        assert_eq!(small.sending(&S3, false), sending(3, 5));
        assert_eq!(large.sending(&RequestShape::default(), false), sending(4, 2));
    }
}
