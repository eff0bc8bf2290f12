//! What file systems are asked by ioctl: extents of a file, clones, freezing. Numbers and layouts are those of `linux/fs.h` and `linux/fiemap.h`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::libc;

/// Flag of an open that fails on a symbolic link.
pub const OPEN_NO_FOLLOW: i32 = libc::O_NOFOLLOW;
/// Flag of an open that waits for no other end of a pipe.
pub const OPEN_NO_WAIT: i32 = libc::O_NONBLOCK;
/// Flag of an open that makes a file without a name in a directory.
pub const OPEN_NAMELESS: i32 = libc::O_TMPFILE;

/// Extents per call.
const EXTENTS_PER_CALL: usize = 128;

const FIEMAP_FLAG_SYNC: u32 = 1;
const LAST: u32 = 0x1;
const UNWRITTEN: u32 = 0x800;
/// Unknown, delayed, encoded, encrypted, not aligned, inline, tail: there is no place on the device that holds these bytes and no others.
const NO_PLACE: u32 = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400;

#[repr(C)]
#[derive(Clone, Copy)]
struct RawExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

#[repr(C)]
struct Header {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
}

#[repr(C)]
struct Fiemap {
    header: Header,
    extents: [RawExtent; EXTENTS_PER_CALL],
}

mod request {
    //! The ioctl numbers.
    #![allow(missing_docs, reason = "the functions are made by macros and used in this file only")]

    use nix::libc::{c_int, c_long};

    use super::Header;

    nix::ioctl_readwrite!(fs_ioc_fiemap, b'f', 11, Header);
    nix::ioctl_write_int!(ficlone, 0x94, 9);
    nix::ioctl_readwrite!(fifreeze, b'X', 119, c_int);
    nix::ioctl_readwrite!(fithaw, b'X', 120, c_int);
    // Declared with long in the header, but the kernel writes an int.
    nix::ioctl_read!(fs_ioc_getversion, b'v', 1, c_long);
}

/// Where the bytes of an extent lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtentPlace {
    /// Nowhere: they read as zeroes.
    Zero,
    /// From this byte of the file system's device on.
    Device(u64),
    /// Somewhere that the map does not tell, or together with others.
    Unknown,
}

/// A run of bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileExtent {
    /// First byte in the file.
    pub start: u64,
    /// Length, bytes.
    pub len_bytes: u64,
    /// Where they lie.
    pub place: ExtentPlace,
}

/// The extents of a file in ascending order, asked for in small portions (`FS_IOC_FIEMAP`). What was written is on its way to the device before.
pub struct ExtentMap<'a> {
    file: &'a File,
    next_start: u64,
    is_last: bool,
    portion: std::vec::IntoIter<FileExtent>,
}

impl<'a> ExtentMap<'a> {
    /// Of a regular file.
    pub fn of(file: &'a File) -> Self {
        ExtentMap { file, next_start: 0, is_last: false, portion: Vec::new().into_iter() }
    }

    fn ask(&mut self) -> io::Result<()> {
        let empty =
            RawExtent { logical: 0, physical: 0, length: 0, reserved64: [0; 2], flags: 0, reserved: [0; 3] };
        let header = Header {
            start: self.next_start,
            length: u64::MAX - self.next_start,
            flags: FIEMAP_FLAG_SYNC,
            mapped_extents: 0,
            extent_count: u32::try_from(EXTENTS_PER_CALL).expect("a small number"),
            reserved: 0,
        };
        let mut map = Fiemap { header, extents: [empty; EXTENTS_PER_CALL] };
        // SAFETY: the descriptor is open; the pointer is to the whole of `map`, whose header tells the kernel how many extents there is room for.
        unsafe { request::fs_ioc_fiemap(self.file.as_raw_fd(), (&raw mut map).cast::<Header>()) }?;
        let found =
            map.extents.get(..map.header.mapped_extents as usize).ok_or(io::ErrorKind::InvalidData)?;
        let Some(last) = found.last() else {
            self.is_last = true;
            return Ok(());
        };
        let end = last.logical.saturating_add(last.length);
        // Without this a map that stands still would be asked for for ever.
        if end <= self.next_start {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the extent map does not advance"));
        }
        self.next_start = end;
        self.is_last = last.flags & LAST != 0;
        self.portion = found.iter().map(RawExtent::checked).collect::<Vec<_>>().into_iter();
        Ok(())
    }
}

impl Iterator for ExtentMap<'_> {
    type Item = io::Result<FileExtent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(extent) = self.portion.next() {
                return Some(Ok(extent));
            }
            if self.is_last {
                return None;
            }
            if let Err(error) = self.ask() {
                self.is_last = true;
                return Some(Err(error));
            }
        }
    }
}

impl RawExtent {
    fn checked(&self) -> FileExtent {
        let place = if self.flags & UNWRITTEN != 0 {
            ExtentPlace::Zero
        } else if self.flags & NO_PLACE != 0 {
            ExtentPlace::Unknown
        } else {
            ExtentPlace::Device(self.physical)
        };
        FileExtent { start: self.logical, len_bytes: self.length, place }
    }
}

/// Makes the empty file `target` a clone of `source`, at one instant (`FICLONE`). Both are on one file system, which shares their blocks.
///
/// # Errors
/// `EOPNOTSUPP`, `EINVAL` or `EXDEV` where the file system cannot.
pub fn clone_file(source: &File, target: &File) -> io::Result<()> {
    let descriptor = source.as_raw_fd();
    let argument = libc::c_ulong::try_from(descriptor).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: both descriptors are open; the kernel takes the second by value.
    unsafe { request::ficlone(target.as_raw_fd(), argument) }?;
    Ok(())
}

/// The generation of an inode number: a number that is used again has another (`FS_IOC_GETVERSION`).
///
/// # Errors
/// Where the file system has none.
pub fn file_generation(file: &File) -> io::Result<u32> {
    let mut generation: libc::c_long = 0;
    // SAFETY: the descriptor is open and the kernel writes an int into a long.
    unsafe { request::fs_ioc_getversion(file.as_raw_fd(), &raw mut generation) }?;
    // The low half, wherever it stands.
    let [a, b, c, d, ..] = generation.to_ne_bytes();
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// Stops all writes to the file system that holds `file` (`FIFREEZE`), after what was written is on its device. Whoever writes to it waits and cannot be killed
/// until [`thaw`]; whoever calls this sees to it that somebody thaws, whatever happens.
///
/// # Errors
/// `EBUSY` where it is frozen already, `EPERM` without `CAP_SYS_ADMIN`, `EOPNOTSUPP` where it cannot.
pub fn freeze(file: &File) -> io::Result<()> {
    let mut unused: libc::c_int = 0;
    // SAFETY: the descriptor is open and the kernel does not use the argument.
    unsafe { request::fifreeze(file.as_raw_fd(), &raw mut unused) }?;
    Ok(())
}

/// Lets writes to the file system that holds `file` go on (`FITHAW`).
///
/// # Errors
/// `EINVAL` where it is not frozen.
pub fn thaw(file: &File) -> io::Result<()> {
    let mut unused: libc::c_int = 0;
    // SAFETY: the descriptor is open and the kernel does not use the argument.
    unsafe { request::fithaw(file.as_raw_fd(), &raw mut unused) }?;
    Ok(())
}
