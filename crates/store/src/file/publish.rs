//! Giving a finished scratch file its object's name: once, atomically, durably.
//!
//! Must never replace an object, and never report one whose name could be lost.

use std::io;

use rustix::io::Errno;

use super::dirs::{DurableDirs, is_vanished};
use super::fs::Fs;
use super::names::TEMP_DIR;
use crate::key::Key;

/// How often a directory may be removed under us before that counts as an error.
const ATTEMPTS_MAX: usize = 32;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// The object has its name; [`sync_name`] makes that durable.
    Yes,
    /// Something else has the name.
    Taken,
}

/// Moves the synced scratch file `temp` to `key`.
pub(super) fn publish<F: Fs>(
    fs: &F,
    dirs: &DurableDirs<F::Dir>,
    temp: &str,
    key: &Key,
) -> io::Result<Published> {
    retrying(dirs, key, || {
        let from = dirs.ensure(fs, TEMP_DIR)?;
        let to = dirs.ensure(fs, key.parent())?;
        match move_noreplace(fs, (&from, temp), (&to, key.name())) {
            Ok(()) => Ok(Published::Yes),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Published::Taken),
            Err(error) => Err(error),
        }
    })
}

/// Makes the name of an existing object durable, with all directories that lead to it.
pub(super) fn sync_name<F: Fs>(fs: &F, dirs: &DurableDirs<F::Dir>, key: &Key) -> io::Result<()> {
    retrying(dirs, key, || {
        let dir = dirs.ensure(fs, key.parent())?;
        // A handle of a removed directory can be synced, and means nothing: the object must be under this one.
        fs.stat(&dir, key.name())?;
        fs.sync_dir(&dir)
    })
}

/// Repeats `work` with fresh directories while they vanish.
fn retrying<D, T>(dirs: &DurableDirs<D>, key: &Key, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..ATTEMPTS_MAX {
        match work() {
            Err(error) if is_vanished(&error) => {
                dirs.forget(key.parent());
                dirs.forget(TEMP_DIR);
            }
            done => return done,
        }
    }
    work()
}

/// A move that fails if the name is taken, also where the file system has no such call.
pub(super) fn move_noreplace<F: Fs>(fs: &F, from: (&F::Dir, &str), to: (&F::Dir, &str)) -> io::Result<()> {
    let rename = match fs.rename_noreplace(from.0, from.1, to.0, to.1) {
        Err(error) if lacks_support(&error) => error,
        done => return done,
    };
    match fs.link(from.0, from.1, to.0, to.1) {
        // What may not be linked for want of rights is a regular file of ours: it is the file system that has no links.
        Err(link) if lacks_support(&link) || link.kind() == io::ErrorKind::PermissionDenied => {
            return Err(io::Error::new(io::ErrorKind::Unsupported, NoWayToName { rename, link }));
        }
        done => done?,
    }
    // The object stands; a scratch name that stays is swept later.
    let _ = fs.unlink(from.0, from.1);
    Ok(())
}

/// The file system can give a file its name only by replacing what may have it, or not at all.
#[derive(Debug, thiserror::Error)]
#[error(
    "the file system can neither move a file without replacing another (renameat2: {rename}) nor link one (linkat: {link}), so that \
     two programs could overwrite each other's objects; choose a directory on another one, such as ext4, XFS, btrfs, ZFS or NFS"
)]
pub(super) struct NoWayToName {
    rename: io::Error,
    link: io::Error,
}

fn lacks_support(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}
