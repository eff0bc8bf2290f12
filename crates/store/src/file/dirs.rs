//! Directories of the store: finding them, and making them so that a power cut cannot take them back.
//!
//! Directories may be removed by a delete, here or in another process, at any moment. What keeps this safe: a handle in
//! the cache was open while its parent was synced. If an object can be put under a handle, that directory was never
//! removed since, and so neither were those above it; so the way to the object is durable. If it cannot be put there
//! (`ENOENT`), the caller forgets the handles and asks again. Paths are never trusted for this, only handles.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::fs::{EntryKind, Fs};
use super::lru::Lru;

/// How many directories stay open.
const OPEN_DIRS_MAX: usize = 64;

/// Directories that are known to be durable.
#[derive(Debug)]
pub(super) struct DurableDirs<D> {
    known: Lru<String, Arc<D>>,
}

impl<D> DurableDirs<D> {
    pub(super) fn new() -> Self {
        Self { known: Lru::new(OPEN_DIRS_MAX) }
    }

    /// Opens the directory `path`, making it if it is missing; what leads to it is durable.
    ///
    /// A directory that exists may still be on its way to the disk in another process: it is synced here too.
    pub(super) fn ensure<F: Fs<Dir = D>>(&self, fs: &F, path: &str) -> io::Result<Arc<D>> {
        if path.is_empty() {
            return fs.root().map(Arc::new);
        }
        if let Some(dir) = self.known.get(path) {
            return Ok(dir);
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.ensure(fs, parent)?;
        match fs.mkdir(&parent, name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let dir = Arc::new(open_dir(fs, &parent, name)?);
        fs.sync_dir(&parent)?;
        self.known.insert(path.to_owned(), Arc::clone(&dir));
        Ok(dir)
    }

    /// Drops the handles of `path` and of all directories above it.
    pub(super) fn forget(&self, path: &str) {
        let mut path = path;
        while !path.is_empty() {
            self.known.remove(path);
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
}

/// Opens the existing directory `path`; none if it is missing or an object.
///
/// # Errors
/// `ELOOP` if a symbolic link is on the way.
pub(super) fn find<F: Fs>(fs: &F, path: &str) -> io::Result<Option<F::Dir>> {
    let mut dir = fs.root()?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        dir = match open_dir(fs, &dir, name) {
            Ok(dir) => dir,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
    }
    Ok(Some(dir))
}

/// Removes the directory `path` and those above it as long as they are empty. Best effort: they only cost a listing time.
pub(super) fn remove_empty<F: Fs>(fs: &F, path: &str) {
    let mut path = path;
    while !path.is_empty() {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Ok(Some(dir)) = find(fs, parent) else { return };
        if fs.rmdir(&dir, name).is_err() {
            return;
        }
        path = parent;
    }
}

/// Whether `error` means that there is no such thing, or that a part of the way to it is an object.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether `error` means that an open directory was removed, here or, on a network, by another host.
pub(super) fn is_vanished(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// Opens a directory; a symbolic link is `ELOOP`, to be told from an object.
fn open_dir<F: Fs>(fs: &F, dir: &F::Dir, name: &str) -> io::Result<F::Dir> {
    fs.open_dir(dir, name).map_err(|error| {
        let is_link = || fs.stat(dir, name).is_ok_and(|stat| stat.kind == EntryKind::Link);
        if error.kind() == io::ErrorKind::NotADirectory && is_link() { Errno::LOOP.into() } else { error }
    })
}
