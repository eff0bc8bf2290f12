//! The target that writes with `pwrite`: a new image, an existing image, or a block device.
//!
//! It must never write to what somebody else uses, never change the size of a target by writing, and never call
//! anything durable after a flush has failed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::{fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::describe::directory_of;
use crate::durable::sync_directory;
use crate::error::{OpenError, ReadError, WriteError};
use crate::handle::{Access, Handle};
use crate::kind::SourceKind;
use crate::open::{self, Purpose};
use crate::patience::patiently;
use crate::place::Place;
use crate::target::BlockTarget;
use crate::{usage, zero};

/// A block device or regular file opened for writing, by this process alone.
///
/// Aligned writes bypass the page cache where the file system takes O_DIRECT (devices: always).
#[derive(Debug)]
pub struct FileTarget {
    handle: Handle,
    size_bytes: AtomicU64,
    is_fresh: bool,
    /// Where the name of a new file lies, if it was made by handle.
    directory: Option<File>,
    flush_failed: AtomicBool,
}

/// A file that somebody made with O_CREAT and O_EXCL in a directory that is held open.
#[derive(Debug)]
pub struct NewFile {
    /// The file: empty, and open for reading and writing.
    pub file: File,
    /// The directory it lies in, open for reading (not O_PATH): it is flushed with the file.
    pub directory: File,
    /// Its name in the directory.
    pub name: OsString,
}

impl FileTarget {
    /// Creates a sparse file of `size_bytes` bytes with mode 0600.
    ///
    /// If this fails after the file was made, the file is removed again.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if there is anything at `path`, a dangling link included; [`OpenError::NotFound`]
    /// without a parent directory; [`OpenError::Busy`], [`OpenError::Replaced`], [`OpenError::Io`].
    pub fn create_new(path: impl AsRef<Path>, size_bytes: u64) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| create_error(path, source))?;
        Self::complete_new(&Place::Path(path), file, None, size_bytes).inspect_err(|_| {
            // The first error is the one to report; an empty file that stays behind is harmless.
            let _still_there = std::fs::remove_file(path);
        })
    }

    /// Takes over a file that was made by handle, and gives it `size_bytes` bytes. `label` is the path to name in
    /// errors; it is never opened.
    ///
    /// If this fails, the file is removed again.
    ///
    /// # Errors
    /// [`OpenError::Busy`], [`OpenError::Replaced`], [`OpenError::Io`]; [`OpenError::Exists`] if the file is not empty.
    pub fn adopt_new(new: NewFile, label: impl AsRef<Path>, size_bytes: u64) -> Result<Self, OpenError> {
        let label = label.as_ref();
        let undo = || -> io::Result<_> { Ok((new.file.try_clone()?, new.directory.try_clone()?)) };
        let (made, parent) = undo().map_err(|source| open::io_error("hold on to", label, source))?;
        if made.metadata().map_err(|source| open::io_error("look at", label, source))?.len() > 0 {
            return Err(OpenError::Exists { path: label.into() });
        }
        let place = Place::Handle { handle: made.as_fd(), label };
        Self::complete_new(&place, new.file, Some(new.directory), size_bytes)
            .inspect_err(|_| remove_made(&made, &parent, &new.name))
    }

    /// Opens an existing block device or regular file; nothing is changed yet.
    ///
    /// # Errors
    /// [`OpenError::Busy`] if it is mounted, held by another device, backs a loop device, or another program (a
    /// second restore, a virtual machine) has locked it; [`OpenError::NotFound`], [`OpenError::WrongKind`],
    /// [`OpenError::NotDirect`], [`OpenError::Replaced`], [`OpenError::Io`].
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_place(&Place::Path(path.as_ref()))
    }

    /// Opens the block device or regular file that `handle` holds, with the checks of [`FileTarget::open_existing`].
    /// `label` is the path to name in errors; it is never opened.
    ///
    /// Any descriptor will do, one of O_PATH or for reading too: it is opened again through `/proc/self/fd`, where the
    /// system asks once more whether this user may write.
    ///
    /// # Errors
    /// As of [`FileTarget::open_existing`], but never [`OpenError::NotFound`].
    pub fn open_existing_handle(handle: impl AsFd, label: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_place(&Place::Handle { handle: handle.as_fd(), label: label.as_ref() })
    }

    fn open_place(place: &Place<'_>) -> Result<Self, OpenError> {
        let path = place.label();
        let handle = Handle::new(path, open::open(place, Purpose::Target)?);
        if let Access::Image { buffered, .. } = &handle.access {
            refuse_used(path, buffered)?;
            try_lock(path, buffered)?;
        }
        let size_bytes =
            handle.size_bytes().map_err(|source| open::io_error("ask for the size of", path, source))?;
        let flush_failed = AtomicBool::new(false);
        let size_bytes = AtomicU64::new(size_bytes);
        Ok(Self { handle, size_bytes, is_fresh: false, directory: None, flush_failed })
    }

    /// Cuts an image to `size_bytes` bytes, or grows it by zeroes.
    ///
    /// # Errors
    /// [`WriteError::Resize`], for a device always.
    pub fn set_image_size(&self, size_bytes: u64) -> Result<(), WriteError> {
        let result = match &self.handle.access {
            Access::Image { buffered, .. } => buffered.set_len(size_bytes),
            Access::Device(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a device has a fixed size")),
        };
        result.map_err(|source| WriteError::Resize { path: self.handle.path.clone(), size_bytes, source })?;
        self.size_bytes.store(size_bytes, Ordering::Release);
        Ok(())
    }

    /// Removes the file from its directory, if its name still is its own.
    pub(crate) fn remove_if_ours(&self) {
        let Access::Image { buffered, .. } = &self.handle.access else { return };
        let Some(name) = self.handle.path.file_name() else { return };
        if let Ok(directory) = File::open(directory_of(&self.handle.path)) {
            remove_made(buffered, &directory, name);
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.handle.path
    }

    /// What is written to.
    pub fn kind(&self) -> SourceKind {
        self.handle.kind()
    }

    /// Whether aligned writes bypass the page cache; always true for a device.
    pub fn is_direct(&self) -> bool {
        self.handle.alignment().is_some()
    }

    fn complete_new(
        place: &Place<'_>,
        file: File,
        directory: Option<File>,
        size_bytes: u64,
    ) -> Result<Self, OpenError> {
        let path = place.label();
        try_lock(path, &file)?;
        file.set_len(size_bytes).map_err(|source| open::io_error("set the size of", path, source))?;
        let handle = Handle::new(path, open::image(place, Purpose::Target, file)?);
        let size_bytes = AtomicU64::new(size_bytes);
        Ok(Self { handle, size_bytes, is_fresh: true, directory, flush_failed: AtomicBool::new(false) })
    }

    fn check_range(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        let size_bytes = self.size_bytes();
        if offset.checked_add(len_bytes).is_some_and(|end| end <= size_bytes) {
            return Ok(());
        }
        Err(WriteError::OutOfRange { path: self.handle.path.clone(), offset, len_bytes, size_bytes })
    }

    fn write_error(&self, offset: u64, len_bytes: u64, source: io::Error) -> WriteError {
        WriteError::from_io(self.handle.path.clone(), offset, len_bytes, source)
    }

    fn flush_all(&self) -> io::Result<()> {
        match &self.handle.access {
            Access::Device(direct) => direct.file.sync_all(),
            Access::Image { buffered, .. } => {
                // One fsync covers the data of both descriptors, the size, and the disk's own cache.
                buffered.sync_all()?;
                // The name of a new file lives in its directory.
                match &self.directory {
                    Some(directory) => sync_directory(directory),
                    None if self.is_fresh => sync_directory(&File::open(directory_of(&self.handle.path))?),
                    None => Ok(()),
                }
            }
        }
    }
}

impl BlockTarget for FileTarget {
    fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError> {
        let len_bytes = buf.len() as u64;
        self.check_range(offset, len_bytes)?;
        self.handle.write_all_at(offset, buf).map_err(|source| self.write_error(offset, len_bytes, source))
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        self.check_range(offset, len_bytes)?;
        zero::write_zeroes(&self.handle, offset, len_bytes)
            .map_err(|source| self.write_error(offset, len_bytes, source))
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.handle.read_exact_at(offset, buf)
    }

    fn flush(&self) -> Result<(), WriteError> {
        if self.flush_failed.load(Ordering::Acquire) {
            return Err(WriteError::EarlierFlush { path: self.handle.path.clone() });
        }
        self.flush_all().map_err(|source| {
            self.flush_failed.store(true, Ordering::Release);
            WriteError::Flush { path: self.handle.path.clone(), source }
        })
    }

    fn is_fresh(&self) -> bool {
        self.is_fresh
    }
}

/// Removes a file that was just made, if its name still is its own.
fn remove_made(made: &File, directory: &File, name: &OsStr) {
    let still_ours = || -> io::Result<bool> {
        let named = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let made = fstat(made)?;
        Ok((named.st_dev, named.st_ino) == (made.st_dev, made.st_ino))
    };
    if still_ours().unwrap_or(false) {
        // The first error is the one to report; an empty file that stays behind is harmless.
        let _still_there = unlinkat(directory, name, UnlinkatFlags::NoRemoveDir);
    }
}

fn create_error(path: &Path, source: io::Error) -> OpenError {
    match source.kind() {
        io::ErrorKind::AlreadyExists => OpenError::Exists { path: path.into() },
        io::ErrorKind::NotFound => OpenError::NotFound { path: path.into() },
        _ => open::io_error("create", path, source),
    }
}

fn refuse_used(path: &Path, file: &File) -> Result<(), OpenError> {
    let found = file.metadata().map_err(|source| open::io_error("look at", path, source))?;
    match usage::mounted_or_held(&found) {
        Some(reason) => Err(OpenError::Busy { path: path.into(), reason }),
        None => Ok(()),
    }
}

/// Takes a write lock on the whole file until it is closed.
///
/// An open-file-description lock, because that is what virtual machine monitors take on their images. File systems
/// that cannot lock are let through: the lock is a guard, not a promise.
pub(crate) fn try_lock(path: &Path, file: &File) -> Result<(), OpenError> {
    let whole_file = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let take = || fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file));
    match patiently(take, |errno| matches!(errno, Errno::EAGAIN | Errno::EACCES)) {
        Err(Errno::EAGAIN | Errno::EACCES) => {
            Err(OpenError::Busy { path: path.into(), reason: "another program has locked it".to_owned() })
        }
        _ => Ok(()),
    }
}
