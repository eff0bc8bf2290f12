//! The system calls of the gate: taking hold of what a path names below a directory, and opening what is held.
//!
//! Every path goes to `openat2`, once, and what is opened for reading is what was held before. It must never resolve
//! a path in any other way.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, readlinkat};
use rustix::io::Errno;

use super::error::GateError;
use super::policy::{Place, Root};

/// How often a resolution is begun again that the kernel could not tell to be safe, because something was renamed or
/// mounted meanwhile (`EAGAIN`).
const ATTEMPTS_MAX: u32 = 16;

/// Takes hold of an allowed directory; no symbolic link is followed on the way to it.
pub(super) fn open_root(root: &Root) -> Result<OwnedFd, GateError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let opened = resolve(CWD, &root.real, flags, Mode::empty(), ResolveFlags::empty());
    opened.map_err(|errno| translate(errno, flags, &root.real, root))
}

/// Tries `openat2` out.
pub(super) fn check_support() -> Result<(), GateError> {
    open_root(&Root { given: "/".into(), real: "/".into() }).map(drop)
}

/// Takes hold of what is at `place`, whatever it is, without the thing noticing. A symbolic link at the end is held
/// itself.
pub(super) fn hold(place: &Place<'_>) -> Result<OwnedFd, GateError> {
    let root = open_root(&place.root)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    beneath(root.as_fd(), &place.inner, flags, Mode::empty())
        .map_err(|errno| translate(errno, flags, place.path, &place.root))
}

/// Makes a new file at `place`; returns it and the directory it lies in.
pub(super) fn create(place: &Place<'_>) -> Result<(File, File), GateError> {
    let root = open_root(&place.root)?;
    let to_error = |flags| move |errno| translate(errno, flags, place.path, &place.root);
    let (parent, name) = match (place.inner.parent(), place.inner.file_name()) {
        (Some(parent), Some(name)) if parent != Path::new("") => (parent, name),
        (_, Some(name)) => (Path::new("."), name),
        (_, None) => return Err(GateError::NotFound { path: place.path.into() }),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let directory = beneath(root.as_fd(), parent, flags, Mode::empty()).map_err(to_error(flags))?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = beneath(directory.as_fd(), Path::new(name), flags, mode).map_err(to_error(flags))?;
    Ok((file.into(), directory.into()))
}

/// What a descriptor holds.
pub(super) fn stat(held: &OwnedFd, path: &Path) -> Result<Stat, GateError> {
    fstat(held).map_err(|errno| io_error("look at", path, errno))
}

/// What a symbolic link that is held says.
pub(super) fn read_link(held: &OwnedFd, path: &Path) -> Result<PathBuf, GateError> {
    let target = readlinkat(held, "", Vec::new()).map_err(|errno| io_error("read the link", path, errno))?;
    Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
}

/// Opens what is held for reading. The link in `/proc` leads to the inode that is held, never to a name.
pub(super) fn reopen(held: &OwnedFd, found: &Stat, path: &Path) -> Result<File, GateError> {
    let link = format!("/proc/self/fd/{}", held.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = open(link, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => io_error("open through /proc/self/fd, where /proc may not be mounted,", path, errno),
        _ => io_error("open", path, errno),
    })?;
    let identity = |stat: &Stat| (stat.st_dev, stat.st_ino, stat.st_rdev, stat.st_mode);
    if identity(&stat(&opened, path)?) != identity(found) {
        return Err(GateError::Replaced { path: path.into() });
    }
    Ok(opened.into())
}

fn beneath(directory: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    resolve(directory, path, flags, mode, ResolveFlags::BENEATH)
}

fn resolve(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    further: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | further;
    let mut result = Err(Errno::AGAIN);
    for _ in 0..ATTEMPTS_MAX {
        result = openat2(directory, path, flags | OFlags::CLOEXEC, mode, how);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    result
}

fn translate(errno: Errno, flags: OFlags, path: &Path, root: &Root) -> GateError {
    match errno {
        Errno::NOSYS => GateError::NoOpenat2 { source: errno.into() },
        // Taking hold with O_PATH asks for no right that could be missing; only a filter answers so.
        Errno::PERM if flags.contains(OFlags::PATH) => GateError::Openat2Forbidden { source: errno.into() },
        Errno::XDEV => GateError::Escapes { path: path.into(), root: root.given.clone() },
        Errno::LOOP => GateError::SymbolicLink { path: path.into() },
        Errno::NOENT => GateError::NotFound { path: path.into() },
        Errno::EXIST => GateError::Exists { path: path.into() },
        _ => io_error("take hold of", path, errno),
    }
}

fn io_error(step: &'static str, path: &Path, errno: Errno) -> GateError {
    GateError::Io { step, path: path.into(), source: io::Error::from(errno) }
}
