//! Finds the data of a sparse file with SEEK_DATA and SEEK_HOLE.
//!
//! It may call a hole data; it must never call data a hole, since a backup would lose it. Where in doubt (the file
//! changes under us, the file system cannot be trusted) the answer is "data".

use std::fs::File;
use std::io;
use std::ops::Range;

use nix::errno::Errno;
use nix::sys::statfs::fstatfs;
use nix::unistd::{Whence, lseek64};

/// `f_type` of OpenZFS, from its `sys/fs/zfs.h`.
const ZFS_SUPER_MAGIC: u64 = 0x2fc1_2fc1;

/// Whether the file system can tell holes from data and can be trusted to.
///
/// Several releases of OpenZFS report holes where dirty data lies (openzfs/zfs#15526, and #15933 after its fix), and
/// the release cannot be told from here: on ZFS everything counts as data.
pub(crate) fn are_known(file: &File) -> bool {
    let trusted = fstatfs(file).is_ok_and(|found| {
        #[allow(clippy::unnecessary_cast, reason = "the type of f_type differs between C libraries")]
        let file_system = found.filesystem_type().0 as u64;
        file_system != ZFS_SUPER_MAGIC
    });
    trusted && seek(file, 0, Whence::SeekData).is_ok()
}

/// The ranges of `[start, end)` that may hold data: ascending, not touching, clamped.
///
/// What lies past the end of the file counts as data, so that whoever reads it learns that the file shrank.
pub(crate) fn data_ranges(file: &File, start: u64, end: u64) -> io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut position = start;
    while position < end {
        let Some(data) = seek(file, position, Whence::SeekData)?.filter(|data| *data < end) else { break };
        // No hole, not even at the end of the file: it shrank between the two calls.
        let hole = seek(file, data, Whence::SeekHole)?.unwrap_or(end);
        // A hole right here was punched between the two calls; one byte too many keeps the loop going.
        position = hole.clamp(data + 1, end);
        push_joined(&mut ranges, data..position);
    }
    // Asked last: what shrinks after this still reads as an error, what shrank before is caught here.
    let size_bytes = file.metadata()?.len();
    if size_bytes < end {
        push_past_end(&mut ranges, size_bytes.max(start)..end);
    }
    Ok(ranges)
}

/// Where data may begin at or after `offset`, which lies before `end`; `None` when it is a hole up to `end`.
pub(crate) fn next_data(file: &File, offset: u64, end: u64) -> io::Result<Option<u64>> {
    let found = seek(file, offset, Whence::SeekData)?.filter(|data| *data < end);
    // Asked last, as above: a file that shrank has data where it ended.
    let size_bytes = file.metadata()?.len();
    if size_bytes < end {
        return Ok(Some(found.map_or(size_bytes.max(offset), |data| data.min(size_bytes.max(offset)))));
    }
    Ok(found)
}

/// Adds a range that begins at or after the start of the last one.
fn push_joined(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
        _ => ranges.push(range),
    }
}

/// Adds everything from `tail.start` on, in place of ranges that were found there before the file shrank.
fn push_past_end(ranges: &mut Vec<Range<u64>>, tail: Range<u64>) {
    while ranges.last().is_some_and(|last| last.start >= tail.start) {
        ranges.pop();
    }
    push_joined(ranges, tail);
}

/// Where data or a hole begins at or after `offset`; `None` at the end of the file.
fn seek(file: &File, offset: u64, whence: Whence) -> io::Result<Option<u64>> {
    let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        match lseek64(file, offset, whence) {
            Ok(found) => return Ok(Some(u64::try_from(found).map_err(|_| io::ErrorKind::InvalidData)?)),
            Err(Errno::ENXIO) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{push_joined, push_past_end};

    #[test]
    fn touching_ranges_join_and_the_tail_replaces_what_it_covers() {
        let mut ranges = Vec::new();
        for range in [0..10, 10..20, 30..40, 50..60] {
            push_joined(&mut ranges, range);
        }
        assert_eq!(ranges, [0..20, 30..40, 50..60]);
        push_past_end(&mut ranges, 35..100);
        assert_eq!(ranges, [0..20, 30..100]);
        push_past_end(&mut ranges, 25..100);
        assert_eq!(ranges, [0..20, 25..100]);
    }
}
