//! Writing past the page cache, where alignment allows it.
//!
//! A backup would otherwise push everybody else's data out of the cache. Only whole pages go this way; the caller
//! writes the rest through the cache, and `fdatasync` covers both. Must never write a byte twice or skip one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Below this length the page cache is faster than a round trip to the disk.
pub(super) const LEN_MIN: usize = 1 << 20;
/// What pointer, offset and length must be multiples of, unless pages are larger.
const ALIGNMENT_MIN: usize = 4_096;

/// A descriptor opened with `O_DIRECT`.
#[derive(Debug)]
pub(super) struct DirectFile {
    file: File,
    /// Set when the file system refused a write that looked aligned.
    refused: AtomicBool,
}

impl DirectFile {
    pub(super) fn new(file: File) -> Self {
        Self { file, refused: AtomicBool::new(false) }
    }

    /// Writes a prefix of `data` at `offset`; returns its length, 0 if nothing can be written this way.
    pub(super) fn write_aligned(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let len = aligned_len(data.as_ptr().addr(), offset, data.len(), alignment());
        if self.refused.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let mut done = 0;
        while done < len {
            match self.file.write_at(&data[done..len], offset + byte_count(done)) {
                // What is left, also after an unaligned short write, goes through the cache.
                Ok(count) if count == 0 || count % alignment() != 0 => return Ok(done + count),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.refused.store(true, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// The unit of direct writing: a page, and 4 KiB at least.
pub(super) fn alignment() -> usize {
    rustix::param::page_size().max(ALIGNMENT_MIN)
}

/// A length in memory as a length in a file.
pub(super) fn byte_count(len: usize) -> u64 {
    u64::try_from(len).expect("memory is smaller than 2^64 bytes")
}

/// How much of a write may go past the cache.
fn aligned_len(address: usize, offset: u64, len: usize, alignment: usize) -> usize {
    let is_aligned = address.is_multiple_of(alignment) && offset.is_multiple_of(byte_count(alignment));
    if !is_aligned || len < LEN_MIN {
        return 0;
    }
    len - len % alignment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_aligned_large_writes_go_past_the_cache() {
        let mib = 1 << 20;
        let check = |address, offset, len, expected| {
            assert_eq!(aligned_len(address, offset, len, 4_096), expected, "{address} {offset} {len}");
        };
        check(8_192, 4_096, mib, mib);
        check(8_192, 4_096, mib + 4_095, mib);
        check(8_192, 4_096, mib + 4_096, mib + 4_096);
        check(8_193, 4_096, mib, 0);
        check(8_192, 512, mib, 0);
        check(8_192, 4_096, mib - 1, 0);
        check(8_192, 0, 0, 0);
    }
}
