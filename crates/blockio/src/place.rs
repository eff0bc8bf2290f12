//! Where a device or image is: at a path, or behind a descriptor that somebody else has opened and judged.
//!
//! A handle is opened again through `/proc/self/fd/N` to get flags of our own (O_DIRECT, O_EXCL). That link leads to
//! the open inode itself and never to a name, so nobody can put something else in its place; that the result is the
//! same inode is checked all the same. This file must never fall back from a handle to a path.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Something to open.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// Whatever the path names at the moment, symbolic links followed.
    Path(&'a Path),
    /// What a descriptor holds (one of O_PATH will do), and the path to name in errors.
    Handle { handle: BorrowedFd<'a>, label: &'a Path },
}

impl Place<'_> {
    /// How a person knows it.
    pub(crate) fn label(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Handle { label, .. } => label,
        }
    }

    pub(crate) fn open(&self, options: &OpenOptions) -> io::Result<File> {
        options.open(self.system_path())
    }

    /// What is there, symbolic links followed.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        match self.held_metadata()? {
            Some(held) => Ok(held),
            None => std::fs::metadata(self.label()),
        }
    }

    /// What the handle holds; `None` for a path.
    pub(crate) fn held_metadata(&self) -> io::Result<Option<Metadata>> {
        match self {
            Self::Path(_) => Ok(None),
            // A descriptor of its own for the time of the call: the standard library asks only what it owns.
            Self::Handle { handle, .. } => File::from(handle.try_clone_to_owned()?).metadata().map(Some),
        }
    }

    /// The path to give to system calls that take no descriptor.
    pub(crate) fn system_path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.to_path_buf(),
            Self::Handle { handle, .. } => format!("/proc/self/fd/{}", handle.as_raw_fd()).into(),
        }
    }
}
