//! Reads small text files, directories and links, and counts how often: what a listing costs is a promise.
//!
//! It must never block on a pipe, follow a link in place of a file, or read without a limit.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Far above any table of mounts; a file beyond it is not what it seems.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How much of the system a listing touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// Files opened for reading, also those that were not there.
    pub files: u64,
    /// Directories listed, also those that were not there.
    pub directories: u64,
    /// Symbolic links read.
    pub links: u64,
    /// Questions about a single inode or file system (`stat`, `statvfs`).
    pub looks: u64,
}

impl Effort {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.files + self.directories + self.links + self.looks
    }
}

/// The eyes of one listing. They close when its caller wants to stop: from then on every look fails, so that all walks end.
pub(crate) struct Reader<'a> {
    effort: Cell<Effort>,
    stop: &'a dyn Fn() -> bool,
    stopped: Cell<bool>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(stop: &'a dyn Fn() -> bool) -> Self {
        Self { effort: Cell::default(), stop, stopped: Cell::new(false) }
    }

    /// Whether the caller wanted to stop before all was seen.
    pub(crate) fn was_stopped(&self) -> bool {
        self.stopped.get()
    }

    fn go_on(&self) -> io::Result<()> {
        if self.stopped.get() || (self.stop)() {
            self.stopped.set(true);
            return Err(io::Error::other("stopped"));
        }
        Ok(())
    }

    pub(crate) fn effort(&self) -> Effort {
        self.effort.get()
    }

    /// The whole file.
    pub(crate) fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.count(|effort| &mut effort.files)?;
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let flags = i32::try_from(flags.bits()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
        }
        let mut bytes = Vec::new();
        let read_bytes = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        match read_bytes as u64 == FILE_BYTES_MAX {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(bytes),
        }
    }

    /// The file as text without blanks around it; odd bytes are replaced. `None` if it is empty.
    pub(crate) fn text(&self, path: &Path) -> io::Result<Option<String>> {
        let bytes = self.bytes(path)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        self.entries(path, |entry| names.push(entry.file_name()))?;
        names.sort_unstable();
        Ok(names)
    }

    /// The entries of a directory as they come: nothing of them is kept here.
    pub(crate) fn entries(&self, path: &Path, mut each: impl FnMut(fs::DirEntry)) -> io::Result<()> {
        self.count(|effort| &mut effort.directories)?;
        for entry in fs::read_dir(path)? {
            self.go_on()?;
            each(entry?);
        }
        Ok(())
    }

    /// The names in a directory, sorted; none if it is not there.
    pub(crate) fn names_if_any(&self, path: &Path) -> io::Result<Vec<OsString>> {
        match self.names(path) {
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
            result => result,
        }
    }

    /// What a symbolic link says.
    pub(crate) fn link(&self, path: &Path) -> io::Result<PathBuf> {
        self.count(|effort| &mut effort.links)?;
        fs::read_link(path)
    }

    /// What is at a path, the last link not followed.
    pub(crate) fn look(&self, path: &Path) -> io::Result<fs::Metadata> {
        self.count(|effort| &mut effort.looks)?;
        fs::symlink_metadata(path)
    }

    /// Size and free room of the file system at a path, in bytes.
    pub(crate) fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        self.count(|effort| &mut effort.looks)?;
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok((bytes(found.f_blocks), bytes(found.f_bavail)))
    }

    fn count(&self, field: impl Fn(&mut Effort) -> &mut u64) -> io::Result<()> {
        self.go_on()?;
        let mut effort = self.effort.get();
        *field(&mut effort) += 1;
        self.effort.set(effort);
        Ok(())
    }
}

/// Whether an error says that the thing is not there (any more).
pub(crate) fn is_gone(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    error.kind() == io::ErrorKind::NotFound
        || matches!(errno, Some(rustix::io::Errno::NODEV | rustix::io::Errno::NXIO))
}
