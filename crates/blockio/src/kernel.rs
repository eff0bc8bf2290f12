//! The kernel calls that have no safe wrapper: block device ioctls and the alignment part of `statx`.
//!
//! Must never issue BLKDISCARD or BLKSECDISCARD: what a discarded range reads as is up to the device.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use nix::libc;

mod request {
    //! The ioctl numbers of `linux/fs.h`.
    #![allow(missing_docs, reason = "the functions are made by macros and used in this file only")]

    use nix::libc::c_int;

    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), c_int);
    // Declared with size_t in the header, but the kernel writes 64 bits on every architecture.
    nix::ioctl_read_bad!(blkgetsize64, nix::request_code_read!(0x12, 114, size_of::<usize>()), u64);
    nix::ioctl_write_ptr_bad!(blkzeroout, nix::request_code_none!(0x12, 127), [u64; 2]);
}

/// What direct I/O on a file demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectSupport {
    /// The kernel or the file system does not say.
    Unknown,
    /// Not on this file.
    No,
    /// With memory and offsets that are multiples of these, in bytes.
    Aligned { memory_bytes: u32, offset_bytes: u32 },
}

/// The size of a block device in bytes.
pub(crate) fn device_size_bytes(device: &File) -> io::Result<u64> {
    let mut size_bytes = 0_u64;
    // SAFETY: the descriptor is open and the kernel writes exactly one u64.
    unsafe { request::blkgetsize64(device.as_raw_fd(), &raw mut size_bytes) }?;
    Ok(size_bytes)
}

/// The logical block size of a block device in bytes: the unit of direct I/O.
pub(crate) fn device_sector_bytes(device: &File) -> io::Result<u32> {
    let mut sector_bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open and the kernel writes exactly one int.
    unsafe { request::blksszget(device.as_raw_fd(), &raw mut sector_bytes) }?;
    u32::try_from(sector_bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Makes a range of whole sectors read as zeroes; the kernel writes zeroes where the device has no command for it.
pub(crate) fn device_zero_out(device: &File, offset: u64, len_bytes: u64) -> io::Result<()> {
    let range = [offset, len_bytes];
    // SAFETY: the descriptor is open and the kernel reads exactly two u64.
    unsafe { request::blkzeroout(device.as_raw_fd(), &raw const range) }?;
    Ok(())
}

/// Asks the file system what direct I/O on `file` demands (`STATX_DIOALIGN`, Linux 6.1).
pub(crate) fn direct_support(file: &File) -> DirectSupport {
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the descriptor is open, the path is an empty C string, and `answer` has room for one statx.
    let status = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            answer.as_mut_ptr(),
        )
    };
    if status != 0 {
        return DirectSupport::Unknown;
    }
    // SAFETY: zeroed above and filled by the kernel; every field is a plain integer.
    let answer = unsafe { answer.assume_init() };
    if answer.stx_mask & libc::STATX_DIOALIGN == 0 {
        return DirectSupport::Unknown;
    }
    match (answer.stx_dio_mem_align, answer.stx_dio_offset_align) {
        (0, _) | (_, 0) => DirectSupport::No,
        (memory_bytes, offset_bytes) => DirectSupport::Aligned { memory_bytes, offset_bytes },
    }
}
