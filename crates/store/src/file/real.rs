//! The operating system's file system behind [`Fs`].
//!
//! Every call is relative to an open directory and refuses to follow symbolic links.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use super::direct::{self, DirectFile};
use super::fs::{Entry, EntryKind, Fs, Stat, WriteMode};
use super::sharing::Sharing;

const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// `NONBLOCK` only keeps the open of a pipe from waiting; regular files ignore it.
const READ_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const CREATE_FLAGS: OFlags =
    OFlags::RDWR.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How often a resolution is begun again that the kernel could not tell to be safe, as something was renamed meanwhile.
const RESOLVE_ATTEMPTS_MAX: u32 = 16;

/// The file system below a directory that was opened once: a later mount over it is not seen.
#[derive(Debug)]
pub struct RealFs {
    root: File,
    /// Who else may write, where the root says so.
    sharing: Option<Sharing>,
    /// Cleared when the file system turns out to refuse `O_DIRECT`.
    direct: AtomicBool,
}

/// A file with, where it may be written past the page cache, a second descriptor for that.
#[derive(Debug)]
pub struct RealFile {
    file: File,
    direct: Option<DirectFile>,
}

impl RealFs {
    /// Takes `root` as the root. A symbolic link in the path to it is followed.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self::below(File::from(fs::open(root, flags, Mode::empty())?))
    }

    fn below(root: File) -> io::Result<Self> {
        let sharing = Sharing::of(&root)?;
        Ok(Self { root, sharing, direct: AtomicBool::new(true) })
    }

    /// Takes `root`, which is `allowed` or lies below it, as the root. Links in the path to `allowed` are followed, none below it.
    ///
    /// # Errors
    /// The operating system's; one that says so for a symbolic link on the way.
    pub fn open_below(allowed: &Path, root: &Path) -> io::Result<Self> {
        let outside =
            || io::Error::new(io::ErrorKind::InvalidInput, "it lies outside of the allowed directory");
        let inner = root.strip_prefix(allowed).map_err(|_| outside())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let allowed = fs::open(allowed, flags, Mode::empty())?;
        if inner.as_os_str().is_empty() {
            return Self::below(File::from(allowed));
        }
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let mut opened = Err(Errno::AGAIN);
        for _ in 0..RESOLVE_ATTEMPTS_MAX {
            opened = fs::openat2(&allowed, inner, flags, Mode::empty(), how);
            if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        let link = "its path goes through a symbolic link below the allowed directory, and none is followed";
        let root = opened.map_err(|errno| match errno {
            Errno::LOOP | Errno::XDEV => io::Error::new(io::ErrorKind::InvalidInput, link),
            errno => errno.into(),
        })?;
        Self::below(File::from(root))
    }

    fn open_direct(&self, dir: &OwnedFd, name: &str) -> Option<DirectFile> {
        if !self.direct.load(Ordering::Relaxed) {
            return None;
        }
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(dir, name, flags, Mode::empty()) {
            Ok(fd) => Some(DirectFile::new(File::from(fd))),
            Err(errno) => {
                if matches!(errno, Errno::INVAL | Errno::OPNOTSUPP) {
                    self.direct.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }
}

impl Fs for RealFs {
    type Dir = OwnedFd;
    type File = RealFile;

    fn root(&self) -> io::Result<OwnedFd> {
        Ok(self.root.try_clone()?.into())
    }

    fn open_dir(&self, dir: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
        Ok(fs::openat(dir, name, DIR_FLAGS, Mode::empty())?)
    }

    fn mkdir(&self, dir: &OwnedFd, name: &str) -> io::Result<()> {
        fs::mkdirat(dir, name, Mode::RWXU)?;
        if let Some(sharing) = self.sharing {
            sharing.dir(&self.open_dir(dir, name)?);
        }
        Ok(())
    }

    fn rmdir(&self, dir: &OwnedFd, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
    }

    fn sync_dir(&self, dir: &OwnedFd) -> io::Result<()> {
        sync_dir(dir)
    }

    fn read_dir(&self, dir: &OwnedFd) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::Dir::read_from(dir)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                entries.push(Entry { name: name.to_owned(), kind: kind_of(entry.file_type()) });
            }
        }
        Ok(entries)
    }

    fn create(&self, dir: &OwnedFd, name: &str, mode: WriteMode) -> io::Result<RealFile> {
        let file = File::from(fs::openat(dir, name, CREATE_FLAGS, Mode::RUSR | Mode::WUSR)?);
        if let Some(sharing) = self.sharing {
            sharing.file(&file);
        }
        let direct = match mode {
            WriteMode::Buffered => None,
            WriteMode::Direct => self.open_direct(dir, name),
        };
        Ok(RealFile { file, direct })
    }

    fn open(&self, dir: &OwnedFd, name: &str) -> io::Result<RealFile> {
        let file = File::from(fs::openat(dir, name, READ_FLAGS, Mode::empty())?);
        if stat_of(&fs::fstat(&file)?).kind != EntryKind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(RealFile { file, direct: None })
    }

    fn write_at(&self, file: &RealFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let done = match &file.direct {
            Some(direct) => direct.write_aligned(offset, data)?,
            None => 0,
        };
        file.file.write_all_at(&data[done..], offset + direct::byte_count(done))
    }

    fn read_at(&self, file: &RealFile, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        while got < out.len() {
            match file.file.read_at(&mut out[got..], offset + direct::byte_count(got)) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    fn sync_file(&self, file: &RealFile) -> io::Result<()> {
        file.file.sync_data()
    }

    fn stat_file(&self, file: &RealFile) -> io::Result<Stat> {
        Ok(stat_of(&fs::fstat(&file.file)?))
    }

    fn stat(&self, dir: &OwnedFd, name: &str) -> io::Result<Stat> {
        Ok(stat_of(&fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn rename_noreplace(&self, from: &OwnedFd, name: &str, to: &OwnedFd, to_name: &str) -> io::Result<()> {
        Ok(fs::renameat_with(from, name, to, to_name, RenameFlags::NOREPLACE)?)
    }

    fn link(&self, from: &OwnedFd, name: &str, to: &OwnedFd, to_name: &str) -> io::Result<()> {
        Ok(fs::linkat(from, name, to, to_name, AtFlags::empty())?)
    }

    fn unlink(&self, dir: &OwnedFd, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(dir, name, AtFlags::empty())?)
    }
}

/// Makes the names in a directory durable. Some file systems on networks and in user space sync no single directory: there, all that the
/// file system holds.
pub(super) fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    match fs::fsync(&dir) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(fs::syncfs(&dir)?),
        done => Ok(done?),
    }
}

fn kind_of(file_type: FileType) -> EntryKind {
    match file_type {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Dir,
        FileType::Symlink => EntryKind::Link,
        FileType::Unknown => EntryKind::Unknown,
        _ => EntryKind::Other,
    }
}

#[allow(clippy::unnecessary_cast, reason = "the link count is 32 bits wide on some processors")]
fn stat_of(stat: &fs::Stat) -> Stat {
    Stat {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        len: u64::try_from(stat.st_size).unwrap_or(0),
        links: stat.st_nlink as u64,
        modified: time_of(stat),
    }
}

/// Times before 1970 become 1970.
fn time_of(stat: &fs::Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_single_directory_can_be_synced_all_is() {
        // Like directories of such file systems, a pipe takes no fsync and lies on a file system that takes syncfs.
        let (pipe, _writer) = std::io::pipe().unwrap();
        assert_eq!(fs::fsync(&pipe), Err(Errno::INVAL));
        sync_dir(&pipe).unwrap();
        sync_dir(File::open("/").unwrap()).unwrap();
    }
}
