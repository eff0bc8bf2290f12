//! The few file system calls that the directory store is made of, as a trait.
//!
//! Everything the store does to a disk goes through here, so that a recorder can see it and a power cut can be replayed.
//! Calls work on handles of directories and single names; nothing here may resolve a path or follow a symbolic link.

use std::io;
use std::time::SystemTime;

/// How the content of a new file will be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Through the page cache.
    Buffered,
    /// Past the page cache where pointer, offset and length allow it; other bytes through it.
    ///
    /// Only for files that no two threads write within one page.
    Direct,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A socket, pipe or device.
    Other,
    /// The directory does not say; ask [`Fs::stat`].
    Unknown,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name; names that are not UTF-8 are not reported.
    pub name: String,
    /// What it stands for.
    pub kind: EntryKind,
}

/// What is known about a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: EntryKind,
    /// Its length in bytes.
    pub len: u64,
    /// How many names it has; 0 after it was deleted.
    pub links: u64,
    /// When its content changed last, by the file system's clock.
    pub modified: SystemTime,
}

/// A file system below one root directory.
///
/// Errors are the operating system's own: `ENOENT` also for work in a directory that was removed.
pub trait Fs: Send + Sync {
    /// An open directory. Keeps meaning the same directory, also after it was removed.
    type Dir: Send + Sync;
    /// An open file.
    type File: Send + Sync;

    /// The root.
    fn root(&self) -> io::Result<Self::Dir>;
    /// Opens the directory `name` in `dir`; a link is `ENOTDIR`.
    fn open_dir(&self, dir: &Self::Dir, name: &str) -> io::Result<Self::Dir>;
    /// Makes the directory `name` in `dir` for its owner only, and for the group that may write the root.
    fn mkdir(&self, dir: &Self::Dir, name: &str) -> io::Result<()>;
    /// Removes the empty directory `name` from `dir`.
    fn rmdir(&self, dir: &Self::Dir, name: &str) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Self::Dir) -> io::Result<()>;
    /// All names in `dir`, in any order.
    fn read_dir(&self, dir: &Self::Dir) -> io::Result<Vec<Entry>>;

    /// Makes the file `name` for its owner only, and for the group that may write the root, and opens it for reading and writing; it must not exist.
    fn create(&self, dir: &Self::Dir, name: &str, mode: WriteMode) -> io::Result<Self::File>;
    /// Opens the regular file `name` for reading; a link is `ELOOP`, another thing `InvalidInput`.
    fn open(&self, dir: &Self::Dir, name: &str) -> io::Result<Self::File>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, file: &Self::File, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Reads at `offset` as much as there is; returns the number of bytes.
    fn read_at(&self, file: &Self::File, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Makes the content and length of `file` durable.
    fn sync_file(&self, file: &Self::File) -> io::Result<()>;
    /// About an open file.
    fn stat_file(&self, file: &Self::File) -> io::Result<Stat>;

    /// About `name` in `dir`; a link is itself.
    fn stat(&self, dir: &Self::Dir, name: &str) -> io::Result<Stat>;
    /// Moves a file to a name that must be free: `EEXIST` otherwise, `EINVAL` where the file system cannot promise that.
    fn rename_noreplace(&self, from: &Self::Dir, name: &str, to: &Self::Dir, to_name: &str)
    -> io::Result<()>;
    /// Gives a file a second name, which must be free.
    fn link(&self, from: &Self::Dir, name: &str, to: &Self::Dir, to_name: &str) -> io::Result<()>;
    /// Removes the file `name` from `dir`.
    fn unlink(&self, dir: &Self::Dir, name: &str) -> io::Result<()>;
}
