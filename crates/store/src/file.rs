//! A directory as an object store: objects are files under their keys.
//!
//! An object is written to a scratch file in `.tmp/`, synced, moved to its name without replacing anything, and its
//! directory is synced: so it is there whole or not at all, after a crash too. Nothing may be reported done before
//! that. Symbolic links below the root are never followed.

pub mod fs;
pub mod real;

#[cfg(any(test, feature = "testing"))]
pub mod power_cut;
#[cfg(any(test, feature = "testing"))]
pub mod recording;

mod content;
mod direct;
mod dirs;
mod lru;
mod multipart;
mod names;
mod objects;
mod publish;
mod reserve;
mod sharing;
mod sidecar;
mod temp;
mod uploads;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use self::dirs::DurableDirs;
use self::fs::{Fs, WriteMode};
use self::lru::Lru;
use self::names::{RESERVE, TEMP_DIR, is_reserved};
use self::publish::NoWayToName;
use self::real::RealFs;
use self::temp::TempKind;
use self::uploads::Uploads;
use crate::checks;
use crate::counts::{Counters, RequestCounts};
use crate::error::StoreError;
use crate::key::Key;
use crate::options::OpenOptions;
use crate::port::{ListPage, ObjectInfo, ObjectStore, Operation, PartTag, PutOutcome, UploadId, UploadInfo};
use crate::url::file_url;

/// How many objects stay open for range reads.
const OPEN_FILES_MAX: usize = 64;

/// An object store in a directory. Several processes may use one directory at the same time.
#[derive(Debug)]
pub struct FileStore<F: Fs = RealFs> {
    fs: F,
    address: String,
    dirs: DurableDirs<F::Dir>,
    files: Lru<Key, Arc<F::File>>,
    uploads: Uploads<F::File>,
    counters: Counters,
}

impl FileStore {
    /// Opens the store in the directory `root`, an absolute path.
    ///
    /// # Errors
    /// [`StoreError::RootMissing`] if it is not there and `options` do not say to make it.
    pub fn open(root: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        let address = file_url(root);
        let fail = |error| StoreError::from_io(Operation::Open, &address, error);
        if options.create {
            make_root(root).map_err(fail)?;
        }
        let opened = match &options.below {
            None => RealFs::open(root),
            Some(allowed) => RealFs::open_below(allowed, root),
        };
        match opened {
            Ok(fs) => Ok(Self::with_fs(fs, address)),
            Err(error) if dirs::is_absent(&error) => {
                Err(StoreError::RootMissing { path: PathBuf::from(root) })
            }
            Err(error) => Err(fail(error)),
        }
    }
}

impl<F: Fs> FileStore<F> {
    /// Opens the store in the root of `fs`; `address` is shown to people.
    pub fn with_fs(fs: F, address: String) -> Self {
        // What cannot be swept now, such as in a read-only directory, is swept by a later opening.
        let _ = temp::sweep(&fs, SystemTime::now());
        Self {
            fs,
            address,
            dirs: DurableDirs::new(),
            files: Lru::new(OPEN_FILES_MAX),
            uploads: Uploads::new(),
            counters: Counters::default(),
        }
    }

    /// The file system below.
    pub fn fs(&self) -> &F {
        &self.fs
    }

    /// Counts a request and refuses keys that this store keeps for itself.
    fn begin(&self, operation: Operation, key: &Key) -> Result<(), StoreError> {
        self.counters.add(operation);
        refuse_reserved(key)
    }

    /// Makes a scratch file; also when somebody removed the scratch directory.
    fn create_temp(&self, kind: TempKind, mode: WriteMode) -> io::Result<(Arc<F::Dir>, String, F::File)> {
        let name = temp::unique_name(kind)?;
        let create = || {
            let dir = self.dirs.ensure(&self.fs, TEMP_DIR)?;
            self.fs.create(&dir, &name, mode).map(|file| (dir, file))
        };
        let created = match create() {
            Err(error) if dirs::is_vanished(&error) => {
                self.dirs.forget(TEMP_DIR);
                create()
            }
            created => created,
        };
        created.map(|(dir, file)| (dir, name, file))
    }

    /// The file system's clock, which on a network is not this host's. Where nothing can be written, and so nothing
    /// deleted either, this host's.
    fn clock(&self) -> io::Result<SystemTime> {
        let (dir, name, file) = match self.create_temp(TempKind::Clock, WriteMode::Buffered) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                return Ok(SystemTime::now());
            }
            created => created?,
        };
        let stat = self.fs.stat_file(&file);
        let _ = self.fs.unlink(&dir, &name);
        Ok(stat?.modified)
    }
}

impl<F: Fs> ObjectStore for FileStore<F> {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.begin(Operation::Put, key)?;
        self.put_object(key, &body)
    }

    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        self.begin(Operation::StartUpload, key)?;
        checks::part_len(part_len)?;
        self.begin_upload(key, part_len)
    }

    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.counters.add(Operation::PutPart);
        self.write_part(upload, number, &body)
    }

    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        self.counters.add(Operation::CompleteUpload);
        self.finish_upload(upload, parts)
    }

    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        self.counters.add(Operation::AbortUpload);
        self.drop_upload(upload)
    }

    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        self.counters.add(Operation::ListUploads);
        self.find_uploads(prefix).map_err(|error| failed(Operation::ListUploads, prefix, error))
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        self.begin(Operation::Get, key)?;
        self.read_object(key, len_max)
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.begin(Operation::GetRange, key)?;
        self.read_range(key, offset, out)
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.begin(Operation::Head, key)?;
        self.stat_object(key)
    }

    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        self.counters.add(Operation::List);
        checks::page(max)?;
        let mut objects = walk::walk(&self.fs, prefix, start_after, max + 1)
            .map_err(|error| failed(Operation::List, prefix, error))?;
        let has_more = objects.len() > max;
        objects.truncate(max);
        let next = objects.last().filter(|_| has_more).map(|last| last.key.to_string());
        Ok(ListPage { objects, next })
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.counters.add(Operation::Delete);
        checks::delete(keys)?;
        self.delete_objects(keys)
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.counters.add(Operation::Now);
        self.clock().map_err(|error| failed(Operation::Now, &self.address, error))
    }

    fn give_up_reserve(&self) -> Result<bool, StoreError> {
        self.free_reserve().map_err(|error| failed(Operation::Delete, RESERVE, error))
    }

    fn restore_reserve(&self) -> Result<(), StoreError> {
        self.make_reserve().map_err(|error| failed(Operation::Put, RESERVE, error))
    }

    fn requests(&self) -> RequestCounts {
        self.counters.read()
    }

    fn describe(&self) -> String {
        self.address.clone()
    }
}

/// Makes the directory of a repository, and makes it durable with all that lead to it.
fn make_root(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(parent) = root.parent() else { return Ok(()) };
    let sync_parent = || std::fs::File::open(parent).and_then(real::sync_dir);
    if root.is_dir() {
        // Whoever made it may have crashed before this. Not every parent may be read, so this is best effort.
        let _ = sync_parent();
        return Ok(());
    }
    make_root(parent)?;
    match std::fs::DirBuilder::new().mode(0o700).create(root) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(),
    }
}

/// Refuses keys that this store keeps for itself.
fn refuse_reserved(key: &Key) -> Result<(), StoreError> {
    if is_reserved(key.as_str().split('/').next().unwrap_or("")) {
        let reason = "a directory store keeps `.tmp`, `.reserve` and `lost+found` for itself";
        return Err(StoreError::InvalidKey { key: key.to_string(), reason });
    }
    Ok(())
}

/// The error of a file system call during a request.
fn failed(operation: Operation, key: &str, error: io::Error) -> StoreError {
    if let Some(no_way) = error.get_ref().and_then(|inner| inner.downcast_ref::<NoWayToName>()) {
        return StoreError::Setup { detail: no_way.to_string(), source: None };
    }
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP) => StoreError::Foreign { key: key.to_owned(), what: "a symbolic link" },
        _ => StoreError::from_io(operation, key, error),
    }
}
