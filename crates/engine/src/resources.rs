//! How much memory and how many threads an operation may use, worked out once from one figure.
//!
//! Everything large lives in the arena; running out of it is the only back-pressure. The shares below keep the peak resident size of
//! the process under the figure that the user gave.

use std::sync::Arc;

use coffer_blockio::Arena;
use coffer_format::PACK_BYTES_MAX;

use crate::EngineError;

/// Largest single read from a volume, bytes.
pub(crate) const READ_BYTES_MAX: usize = 1 << 20;
/// Least memory an operation can be given, bytes.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;
/// What code, stacks, the allocator and small structures take at most.
const FIXED_BYTES: u64 = 28 << 20;
/// S3 refuses smaller parts, but for the last of an upload.
const PART_BYTES_MIN: u64 = 5 << 20;
/// Room behind a part's end for the frame that crosses it.
pub(crate) const PART_SLACK_BYTES: usize = (1 << 20) + (256 << 10);
/// Larger parts win nothing (AWS measures 8 MiB as the largest useful size).
const PART_BYTES_MAX: u64 = 8 << 20;
/// More than this is not used even where it is allowed.
const ARENA_BYTES_MAX: u64 = 512 << 20;

/// Memory and threads of one process, shared by all its operations.
#[derive(Clone)]
pub struct Resources {
    /// The pool of data buffers.
    pub arena: Arc<Arena>,
    /// Threads that read, hash, compress and encrypt, or fetch, decrypt and write.
    pub workers: usize,
    /// Threads that send to the object store.
    pub uploads: usize,
    /// Length of the parts of a multipart upload, bytes.
    pub part_len: u64,
    /// Length at which a pack is closed, bytes; the format's limit holds too. What is in flight when a run dies is lost, so smaller packs
    /// lose less and cost more requests.
    pub pack_bytes: u64,
    /// Bytes that caches of maps and trailers may hold.
    pub cache_bytes: u64,
}

impl Resources {
    /// Shares out `memory_bytes` among buffers and caches for a machine with `cpus` processors.
    pub fn within(memory_bytes: u64, cpus: usize) -> Result<Resources, EngineError> {
        if memory_bytes < MEMORY_BYTES_MIN {
            return Err(EngineError::Usage(format!(
                "--memory {memory_bytes} is too little: at least {MEMORY_BYTES_MIN} bytes (64MiB) are needed"
            )));
        }
        let cache_bytes = (memory_bytes / 16).min(32 << 20);
        let arena_bytes = (memory_bytes - FIXED_BYTES - cache_bytes).min(ARENA_BYTES_MAX);
        let mut workers = (cpus * 2).clamp(2, 64);
        let mut part_len = PART_BYTES_MAX;
        // Each worker holds a read buffer and a part; half as many parts again are on their way; one is a map's.
        let needed = |workers: usize, part_len: u64| {
            let part = part_len + PART_SLACK_BYTES as u64;
            let workers = workers as u64;
            workers * (READ_BYTES_MAX as u64 + part) + workers.div_ceil(2) * part + part
        };
        while needed(workers, part_len) > arena_bytes {
            if part_len > PART_BYTES_MIN {
                part_len = PART_BYTES_MIN;
            } else if workers > 1 {
                workers -= 1;
            } else {
                return Err(EngineError::Bug("the least memory does not hold one worker".into()));
            }
        }
        let arena =
            Arena::new(usize::try_from(arena_bytes).map_err(|_| EngineError::Bug("arena size".into()))?)
                .map_err(|error| {
                    EngineError::Usage(format!("cannot reserve {arena_bytes} bytes of memory: {error}"))
                })?;
        Ok(Resources {
            arena,
            workers,
            uploads: workers.min(4),
            part_len,
            pack_bytes: PACK_BYTES_MAX,
            cache_bytes,
        })
    }
}
