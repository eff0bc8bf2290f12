//! Makes ranges read as zeroes, by the cheapest way that is certain.
//!
//! Never by discarding (BLKDISCARD): what a discarded range reads as is up to the device. Never by assuming that a
//! range is zero already.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::BUFFER_ALIGN_BYTES;
use crate::bounce::Bounce;
use crate::handle::{Access, DirectFile, Handle};
use crate::kernel;

/// How much is written at once where zeroes must be written, in bytes.
const ZERO_WRITE_BYTES: u64 = 1024 * 1024;

/// Makes `[offset, offset + len_bytes)`, which lies inside of the target, read as zeroes.
pub(crate) fn write_zeroes(handle: &Handle, offset: u64, len_bytes: u64) -> io::Result<()> {
    if len_bytes == 0 {
        return Ok(());
    }
    match &handle.access {
        Access::Image { buffered, .. } => image_zeroes(handle, buffered, offset, len_bytes),
        Access::Device(direct) => device_zeroes(handle, direct, offset, len_bytes),
    }
}

fn image_zeroes(handle: &Handle, file: &File, offset: u64, len_bytes: u64) -> io::Result<()> {
    let keep_size = FallocateFlags::FALLOC_FL_KEEP_SIZE;
    for how in [FallocateFlags::FALLOC_FL_PUNCH_HOLE, FallocateFlags::FALLOC_FL_ZERO_RANGE] {
        match fallocate_all(file, how | keep_size, offset, len_bytes) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            result => return Ok(result?),
        }
    }
    write_plain_zeroes(handle, offset, len_bytes)
}

fn fallocate_all(file: &File, how: FallocateFlags, offset: u64, len_bytes: u64) -> Result<(), Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
    let len_bytes = i64::try_from(len_bytes).map_err(|_| Errno::EFBIG)?;
    loop {
        match fallocate(file, how, offset, len_bytes) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Whole sectors by the kernel's command, the edges by writing.
fn device_zeroes(handle: &Handle, device: &DirectFile, offset: u64, len_bytes: u64) -> io::Result<()> {
    let end = offset + len_bytes;
    let whole_start = device.alignment.ceil(offset).unwrap_or(end).min(end);
    let whole_end = device.alignment.floor(end).max(whole_start);
    write_plain_zeroes(handle, offset, whole_start - offset)?;
    if whole_start < whole_end {
        match kernel::device_zero_out(&device.file, whole_start, whole_end - whole_start) {
            Err(error) if is_unsupported(&error) => {
                write_plain_zeroes(handle, whole_start, whole_end - whole_start)?;
            }
            result => result?,
        }
    }
    write_plain_zeroes(handle, whole_end, end - whole_end)
}

fn write_plain_zeroes(handle: &Handle, offset: u64, len_bytes: u64) -> io::Result<()> {
    let chunk_bytes = len_bytes.min(ZERO_WRITE_BYTES);
    let zeroes = Bounce::zeroed(usize::try_from(chunk_bytes).expect("at most 1 MiB"), BUFFER_ALIGN_BYTES);
    let mut done = 0;
    while done < len_bytes {
        let now = usize::try_from((len_bytes - done).min(chunk_bytes)).expect("at most 1 MiB");
        handle.write_all_at(offset + done, &zeroes.bytes()[..now])?;
        done += now as u64;
    }
    Ok(())
}

fn is_unsupported(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::EINVAL))
}
