//! An open device or image: the descriptors, and the reads and writes that any alignment may ask for.
//!
//! Devices are read and written with O_DIRECT only, edges through a bounce buffer, so that the page cache is never
//! between us and a live device. Images use O_DIRECT where the file system takes it and a second, buffered descriptor
//! for what is not aligned. A step may do less than was asked for; it must never claim more than it did.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use crate::alignment::{Alignment, Step};
use crate::bounce::{BOUNCE_MAX_BYTES, Bounce};
use crate::error::ReadError;
use crate::kernel;
use crate::kind::SourceKind;

/// A descriptor opened with O_DIRECT.
#[derive(Debug)]
pub(crate) struct DirectFile {
    pub(crate) file: File,
    pub(crate) alignment: Alignment,
}

/// The descriptors of one device or image.
#[derive(Debug)]
pub(crate) enum Access {
    /// A block device.
    Device(DirectFile),
    /// A regular file.
    Image { buffered: File, direct: Option<DirectFile> },
}

/// An open device or image and the path it was opened by.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) path: PathBuf,
    pub(crate) access: Access,
    /// Held while a device's sector is read, changed and written back, so that two writers of one sector do not undo
    /// each other. Whole sectors need no lock: their writers do not overlap.
    edges: Mutex<()>,
}

impl Handle {
    pub(crate) fn new(path: &Path, access: Access) -> Self {
        Self { path: path.into(), access, edges: Mutex::new(()) }
    }

    pub(crate) fn kind(&self) -> SourceKind {
        match self.access {
            Access::Device(_) => SourceKind::Device,
            Access::Image { .. } => SourceKind::Image,
        }
    }

    /// The units of direct I/O; `None` where there is no direct I/O.
    pub(crate) fn alignment(&self) -> Option<Alignment> {
        match &self.access {
            Access::Device(direct) => Some(direct.alignment),
            Access::Image { direct, .. } => direct.as_ref().map(|direct| direct.alignment),
        }
    }

    /// The size now, in bytes.
    pub(crate) fn size_bytes(&self) -> io::Result<u64> {
        match &self.access {
            Access::Device(direct) => kernel::device_size_bytes(&direct.file),
            Access::Image { buffered, .. } => Ok(buffered.metadata()?.len()),
        }
    }

    /// What was opened.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        match &self.access {
            Access::Device(direct) => direct.file.metadata(),
            Access::Image { buffered, .. } => buffered.metadata(),
        }
    }

    /// The file that gives `len_bytes` bytes at `offset` into memory at `address` in a single request, if there is one.
    pub(crate) fn whole_read(&self, offset: u64, address: usize, len_bytes: usize) -> Option<&File> {
        let direct = match &self.access {
            Access::Image { buffered, direct: None } => return (len_bytes > 0).then_some(buffered),
            Access::Image { direct: Some(direct), .. } | Access::Device(direct) => direct,
        };
        if len_bytes == 0
            || direct.alignment.first_step(offset, address, len_bytes) != Step::Direct(len_bytes)
        {
            return None;
        }
        Some(&direct.file)
    }

    /// Fills `buf` with the bytes at `offset`, whatever the alignment of either.
    pub(crate) fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let len_bytes = buf.len() as u64;
        let mut done = 0;
        while done < buf.len() {
            match self.read_some(offset.saturating_add(done as u64), &mut buf[done..]) {
                Ok(0) => {
                    let read_bytes = done as u64;
                    return Err(ReadError::Short { path: self.path.clone(), offset, len_bytes, read_bytes });
                }
                Ok(read_bytes) => done += read_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ReadError::Io { path: self.path.clone(), offset, len_bytes, source });
                }
            }
        }
        Ok(())
    }

    /// Writes all of `buf` at `offset`, whatever the alignment of either.
    pub(crate) fn write_all_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.write_some(offset.saturating_add(done as u64), &buf[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written_bytes) => done += written_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_some(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let (buffered, direct) = match &self.access {
            Access::Image { buffered, direct: None } => return buffered.read_at(buf, offset),
            Access::Image { buffered, direct: Some(direct) } => (Some(buffered), direct),
            Access::Device(direct) => (None, direct),
        };
        let step = direct.alignment.first_step(offset, buf.as_ptr().addr(), buf.len());
        match (step, buffered) {
            (Step::Direct(len), None) => direct.file.read_at(&mut buf[..len], offset),
            (Step::Indirect(len), None) => direct.bounce_read(offset, &mut buf[..len.min(BOUNCE_MAX_BYTES)]),
            (Step::Indirect(len), Some(buffered)) => buffered.read_at(&mut buf[..len], offset),
            (Step::Direct(len), Some(buffered)) => match direct.file.read_at(&mut buf[..len], offset) {
                Err(error) if is_refusal(&error) => buffered.read_at(&mut buf[..len], offset),
                result => result,
            },
        }
    }

    fn write_some(&self, offset: u64, buf: &[u8]) -> io::Result<usize> {
        let (buffered, direct) = match &self.access {
            Access::Image { buffered, direct: None } => return buffered.write_at(buf, offset),
            Access::Image { buffered, direct: Some(direct) } => (Some(buffered), direct),
            Access::Device(direct) => (None, direct),
        };
        let step = direct.alignment.first_step(offset, buf.as_ptr().addr(), buf.len());
        match (step, buffered) {
            (Step::Direct(len), None) => direct.file.write_at(&buf[..len], offset),
            (Step::Indirect(len), None) => {
                let _one_at_a_time = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
                direct.bounce_write(offset, &buf[..len.min(BOUNCE_MAX_BYTES)])
            }
            (Step::Indirect(len), Some(buffered)) => buffered.write_at(&buf[..len], offset),
            (Step::Direct(len), Some(buffered)) => match direct.file.write_at(&buf[..len], offset) {
                Err(error) if is_refusal(&error) => buffered.write_at(&buf[..len], offset),
                result => result,
            },
        }
    }
}

impl DirectFile {
    /// Reads the sectors around the range and copies out what was asked for; returns how much there was.
    fn bounce_read(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let (first, mut bounce) = self.bounce_around(offset, buf.len())?;
        let skipped = in_sector(offset - first);
        let read_bytes = self.file.read_at(bounce.bytes_mut(), first)?;
        let usable = read_bytes.saturating_sub(skipped).min(buf.len());
        buf[..usable].copy_from_slice(&bounce.bytes()[skipped..skipped + usable]);
        Ok(usable)
    }

    /// Reads the sectors around the range if it covers them only in part, changes the range, writes them back.
    fn bounce_write(&self, offset: u64, buf: &[u8]) -> io::Result<usize> {
        let (first, mut bounce) = self.bounce_around(offset, buf.len())?;
        let skipped = in_sector(offset - first);
        if bounce.bytes().len() != buf.len() {
            self.file.read_exact_at(bounce.bytes_mut(), first)?;
        }
        bounce.bytes_mut()[skipped..skipped + buf.len()].copy_from_slice(buf);
        self.file.write_all_at(bounce.bytes(), first)?;
        Ok(buf.len())
    }

    /// The offset of the first sector of a range, and room for all its sectors.
    fn bounce_around(&self, offset: u64, len_bytes: usize) -> io::Result<(u64, Bounce)> {
        let first = self.alignment.floor(offset);
        let end = offset.checked_add(len_bytes as u64).and_then(|end| self.alignment.ceil(end));
        let bounce_bytes = end.and_then(|end| usize::try_from(end - first).ok());
        let bounce_bytes = bounce_bytes.ok_or(io::ErrorKind::InvalidInput)?;
        Ok((first, Bounce::zeroed(bounce_bytes, self.alignment.memory_bytes)))
    }
}

/// A position inside of a sector; sectors are far shorter than the address space.
fn in_sector(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a sector fits in memory")
}

/// Whether the file system refuses direct I/O of this shape, as opposed to having tried and failed.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EINVAL | Errno::EOPNOTSUPP))
}
