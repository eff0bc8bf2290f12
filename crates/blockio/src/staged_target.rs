//! A target that keeps what was there until the restore begins, and becomes what it is to be only when all of it is written.
//!
//! New files are written beside their name and renamed when they are whole and on disk; what is replaced is emptied when the restore
//! begins; an image that is longer than its volume is cut at the end. It must never leave a file under the final name that is not whole,
//! never rename over anything, and never remove a file that it did not make.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;

use crate::describe::directory_of;
use crate::error::{OpenError, ReadError, WriteError};
use crate::file_target::{FileTarget, try_lock};
use crate::kind::SourceKind;
use crate::open;
use crate::target::BlockTarget;

/// What the name of an unfinished file ends with; it begins with a dot.
const PARTIAL: &str = ".coffer-partial";
/// Longest file name of the file systems in use, bytes.
const NAME_LEN_MAX: usize = 255;

/// A [`FileTarget`] with what is to be done to it before the first and after the last write.
#[derive(Debug)]
pub struct StagedTarget {
    file: FileTarget,
    stage: Stage,
    is_finished: AtomicBool,
}

#[derive(Debug)]
enum Stage {
    /// Written where it is.
    Keep,
    /// An image that is emptied first; it has the volume's size then.
    Empty { size_bytes: u64 },
    /// An image of `from` bytes that is cut to the volume's size at the end.
    Cut { from: u64, size_bytes: u64 },
    /// A file beside its final name.
    Rename { to: PathBuf, discard: bool },
}

impl StagedTarget {
    /// A new sparse file of `size_bytes` bytes that gets its name when it is finished, and is removed if it never is.
    ///
    /// What a killed restore left under the name that it has meanwhile is removed first.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if there is anything at `path`; [`OpenError::Busy`] if another restore is writing to it;
    /// otherwise as [`FileTarget::create_new`].
    pub fn create(path: impl AsRef<Path>, size_bytes: u64) -> Result<Self, OpenError> {
        let path = path.as_ref();
        if path.symlink_metadata().is_ok() {
            return Err(OpenError::Exists { path: path.into() });
        }
        let partial = partial_path(path);
        remove_leftover(&partial)?;
        let file = FileTarget::create_new(&partial, size_bytes)?;
        Ok(Self::new(file, Stage::Rename { to: path.into(), discard: true }))
    }

    /// Goes on in the file that a killed restore left beside `path`, which then stays until it is finished. `None` if there is none.
    ///
    /// # Errors
    /// As [`FileTarget::open_existing`].
    pub fn resume(path: impl AsRef<Path>, size_bytes: u64) -> Result<Option<Self>, OpenError> {
        let path = path.as_ref();
        let partial = partial_path(path);
        if leftover_bytes(path).is_none() {
            return Ok(None);
        }
        let file = FileTarget::open_existing(&partial)?;
        if file.size_bytes() != size_bytes {
            file.set_image_size(size_bytes).map_err(|error| match error {
                WriteError::Resize { source, .. } => open::io_error("set the size of", &partial, source),
                other => open::io_error("set the size of", &partial, io::Error::other(other)),
            })?;
        }
        Ok(Some(Self::new(file, Stage::Rename { to: path.into(), discard: false })))
    }

    /// A device, or an image that is written where it is. An image that is longer than `size_bytes` is cut when it is finished.
    pub fn keep(file: FileTarget, size_bytes: u64) -> Self {
        let from = file.size_bytes();
        let is_longer = file.kind() == SourceKind::Image && from > size_bytes;
        Self::new(file, if is_longer { Stage::Cut { from, size_bytes } } else { Stage::Keep })
    }

    /// An image that is emptied when the restore begins, and has `size_bytes` bytes from then on.
    pub fn replace(file: FileTarget, size_bytes: u64) -> Self {
        Self::new(file, Stage::Empty { size_bytes })
    }

    fn new(file: FileTarget, stage: Stage) -> Self {
        Self { file, stage, is_finished: AtomicBool::new(false) }
    }

    /// The path it will be found at.
    pub fn path(&self) -> &Path {
        match &self.stage {
            Stage::Rename { to, .. } => to,
            _ => self.file.path(),
        }
    }

    /// What is written to.
    pub fn kind(&self) -> SourceKind {
        self.file.kind()
    }

    fn name(&self, to: &Path) -> Result<(), WriteError> {
        let from = self.file.path();
        let failed = |source| WriteError::Rename { from: from.into(), to: to.into(), source };
        rename_to_free_name(from, to).map_err(failed)?;
        File::open(directory_of(to))
            .and_then(|directory| directory.sync_all())
            .map_err(|source| WriteError::Flush { path: to.into(), source })
    }
}

impl BlockTarget for StagedTarget {
    fn size_bytes(&self) -> u64 {
        match self.stage {
            Stage::Empty { size_bytes } => size_bytes,
            _ => self.file.size_bytes(),
        }
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError> {
        self.file.write_all_at(offset, buf)
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        self.file.write_zeroes(offset, len_bytes)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.file.read_exact_at(offset, buf)
    }

    fn flush(&self) -> Result<(), WriteError> {
        self.file.flush()
    }

    fn is_fresh(&self) -> bool {
        self.file.is_fresh()
    }

    fn begin(&self) -> Result<(), WriteError> {
        match self.stage {
            Stage::Empty { size_bytes } => {
                self.file.set_image_size(0).and_then(|()| self.file.set_image_size(size_bytes))
            }
            Stage::Keep | Stage::Cut { .. } | Stage::Rename { .. } => Ok(()),
        }
    }

    fn finish(&self) -> Result<(), WriteError> {
        if let Stage::Cut { size_bytes, .. } = self.stage {
            self.file.set_image_size(size_bytes)?;
        }
        self.file.flush()?;
        if let Stage::Rename { to, .. } = &self.stage {
            self.name(to)?;
        }
        self.is_finished.store(true, Ordering::Release);
        Ok(())
    }

    fn stays_unfinished(&self) -> bool {
        !matches!(self.stage, Stage::Rename { discard: true, .. })
    }

    fn cut_bytes(&self) -> u64 {
        match self.stage {
            Stage::Cut { from, size_bytes } => from - size_bytes,
            _ => 0,
        }
    }
}

impl Drop for StagedTarget {
    fn drop(&mut self) {
        let is_unfinished = !self.is_finished.load(Ordering::Acquire);
        if is_unfinished && matches!(self.stage, Stage::Rename { discard: true, .. }) {
            self.file.remove_if_ours();
        }
    }
}

/// Where a new file lies until it is whole.
fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_else(|| OsStr::new("target")).as_bytes();
    let room = NAME_LEN_MAX - PARTIAL.len() - 1;
    let name = name.get(..room).unwrap_or(name);
    directory_of(path).join(OsString::from_vec([b".", name, PARTIAL.as_bytes()].concat()))
}

/// Bytes on disk of what a killed restore to `path` left beside it; `None` if there is nothing.
pub fn leftover_bytes(path: impl AsRef<Path>) -> Option<u64> {
    let found = fs::symlink_metadata(partial_path(path.as_ref())).ok()?;
    found.is_file().then(|| found.blocks() * 512)
}

/// Removes what a killed restore left, unless a live one holds it.
fn remove_leftover(partial: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(partial) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(open::io_error("open the leftover", partial, source)),
    };
    let found = file.metadata().map_err(|source| open::io_error("look at", partial, source))?;
    if !found.is_file() {
        return Err(OpenError::Exists { path: partial.into() });
    }
    try_lock(partial, &file)?;
    match fs::symlink_metadata(partial) {
        Ok(named) if (named.dev(), named.ino()) == (found.dev(), found.ino()) => {
            fs::remove_file(partial).map_err(|source| open::io_error("remove the leftover", partial, source))
        }
        // Somebody else removed it meanwhile; what is there now, if anything, is theirs.
        _ => Ok(()),
    }
}

/// Gives a file a name that must be free, and takes its own away. A second name first: that never replaces anything.
fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without second names: all that is left is to look before.
        Err(_) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}
