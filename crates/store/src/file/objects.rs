//! Whole objects: put, read, look up, delete.
//!
//! A put must never report success before the object and its name are durable, a delete not before its name is gone.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::content::Content;
use super::direct::{self, byte_count};
use super::fs::{EntryKind, Fs, WriteMode};
use super::publish::{self, Published};
use super::temp::TempKind;
use super::{FileStore, dirs, failed, refuse_reserved};
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{ObjectInfo, Operation, PutOutcome};

/// How often another process may put and delete the same key while we try.
const PUBLISH_ATTEMPTS_MAX: usize = 32;

impl<F: Fs> FileStore<F> {
    pub(super) fn put_object(&self, key: &Key, body: &[u8]) -> Result<PutOutcome, StoreError> {
        let content = Content::Bytes(body);
        // Before anything is written: a repeated put must also succeed on a full disk.
        if self.settle_existing(Operation::Put, key, &content)? {
            return Ok(PutOutcome::AlreadyThere);
        }
        let fail = |error| failed(Operation::Put, key.as_str(), error);
        let mode = if body.len() >= direct::LEN_MIN { WriteMode::Direct } else { WriteMode::Buffered };
        let (dir, temp, file) = self.create_temp(TempKind::Put, mode).map_err(fail)?;
        let outcome = self
            .fs
            .write_at(&file, 0, body)
            .and_then(|()| self.fs.sync_file(&file))
            .map_err(fail)
            .and_then(|()| self.publish_as(Operation::Put, &temp, key, &content, || ()));
        if !matches!(outcome, Ok(PutOutcome::Stored)) {
            let _ = self.fs.unlink(&dir, &temp);
        }
        outcome
    }

    /// Gives the synced scratch file `temp`, which holds `content`, its object's name. `on_named` runs once it has that,
    /// before it is durable.
    pub(super) fn publish_as(
        &self,
        operation: Operation,
        temp: &str,
        key: &Key,
        content: &Content<'_, F>,
        on_named: impl FnOnce(),
    ) -> Result<PutOutcome, StoreError> {
        let fail = |error| failed(operation, key.as_str(), error);
        for _ in 0..PUBLISH_ATTEMPTS_MAX {
            match publish::publish(&self.fs, &self.dirs, temp, key).map_err(fail)? {
                Published::Yes => {
                    on_named();
                    publish::sync_name(&self.fs, &self.dirs, key).map_err(fail)?;
                    return Ok(PutOutcome::Stored);
                }
                Published::Taken if self.settle_existing(operation, key, content)? => {
                    return Ok(PutOutcome::AlreadyThere);
                }
                // What had the name is gone again.
                Published::Taken => {}
            }
        }
        Err(StoreError::Unavailable { operation, key: key.to_string(), source: None })
    }

    /// Whether `key` exists with `content`, and is durable then. False if it does not exist.
    ///
    /// Another process may have put it and not be done: its name, and for caution its data, are synced here too.
    fn settle_existing(
        &self,
        operation: Operation,
        key: &Key,
        content: &Content<'_, F>,
    ) -> Result<bool, StoreError> {
        let fail = |error| failed(operation, key.as_str(), error);
        let Some(dir) = dirs::find(&self.fs, key.parent()).map_err(fail)? else { return Ok(false) };
        let stat = match self.fs.stat(&dir, key.name()) {
            Err(error) if dirs::is_absent(&error) => return Ok(false),
            stat => stat.map_err(fail)?,
        };
        if stat.kind == EntryKind::Dir {
            let reason = "this store has other objects below it, and a file cannot be a directory";
            return Err(StoreError::InvalidKey { key: key.to_string(), reason });
        }
        let file = match self.fs.open(&dir, key.name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(fail)?,
        };
        if !content.is_in(&self.fs, &file).map_err(fail)? {
            return Err(StoreError::Exists { key: key.to_string() });
        }
        self.fs.sync_file(&file).map_err(fail)?;
        publish::sync_name(&self.fs, &self.dirs, key).map_err(fail)?;
        Ok(true)
    }

    pub(super) fn read_object(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        let fail = |error| failed(Operation::Get, key.as_str(), error);
        let file = self.open_object(Operation::Get, key)?;
        let len = self.fs.stat_file(&file).map_err(fail)?.len;
        if len > len_max {
            return Err(StoreError::TooLarge { key: key.to_string(), len, len_max });
        }
        let len_usize = usize::try_from(len).map_err(|error| fail(io::Error::other(error)))?;
        let mut bytes = vec![0; len_usize];
        let got = self.fs.read_at(&file, 0, &mut bytes).map_err(fail)?;
        if got < len_usize {
            return Err(StoreError::Short {
                key: key.to_string(),
                offset: 0,
                wanted: len,
                got: byte_count(got),
            });
        }
        Ok(bytes)
    }

    pub(super) fn read_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let fail = |error| failed(Operation::GetRange, key.as_str(), error);
        let file = self.open_cached(key)?;
        let len = self.fs.stat_file(&file).map_err(fail)?.len;
        let wanted = byte_count(out.len());
        let short = |got| StoreError::Short { key: key.to_string(), offset, wanted, got };
        if offset.checked_add(wanted).is_none_or(|end| end > len) {
            return Err(short(len.saturating_sub(offset)));
        }
        let got = self.fs.read_at(&file, offset, out).map_err(fail)?;
        if got < out.len() { Err(short(byte_count(got))) } else { Ok(()) }
    }

    pub(super) fn stat_object(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        let fail = |error| failed(Operation::Head, key.as_str(), error);
        let absent = || StoreError::NotFound { key: key.to_string() };
        let dir = dirs::find(&self.fs, key.parent()).map_err(fail)?.ok_or_else(absent)?;
        let stat = match self.fs.stat(&dir, key.name()) {
            Err(error) if dirs::is_absent(&error) => return Err(absent()),
            stat => stat.map_err(fail)?,
        };
        match stat.kind {
            EntryKind::File => {
                Ok(ObjectInfo { key: key.clone(), len: stat.len, modified: Some(stat.modified) })
            }
            EntryKind::Link => Err(fail(rustix::io::Errno::LOOP.into())),
            _ => Err(absent()),
        }
    }

    /// Unlinks all, then syncs their directories, then reports: also after an error, what is gone is gone for good.
    pub(super) fn delete_objects(&self, keys: &[Key]) -> Result<(), StoreError> {
        let mut by_dir: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
        for key in keys {
            refuse_reserved(key)?;
            by_dir.entry(key.parent()).or_default().push(key);
        }
        let mut result = Ok(());
        for (path, keys) in &by_dir {
            result = result.and(self.delete_in(path, keys));
        }
        for path in by_dir.keys() {
            dirs::remove_empty(&self.fs, path);
        }
        result
    }

    /// Deletes `keys`, all in the directory `path`. It is synced even if they were absent: another process may have
    /// unlinked them a moment ago.
    fn delete_in(&self, path: &str, keys: &[&Key]) -> Result<(), StoreError> {
        let at_dir = |error| failed(Operation::Delete, path, error);
        let Some(dir) = dirs::find(&self.fs, path).map_err(at_dir)? else { return Ok(()) };
        let mut result = Ok(());
        for key in keys {
            self.files.remove(key.as_str());
            result = result.and(match self.fs.unlink(&dir, key.name()) {
                Err(error) if dirs::is_absent(&error) || error.kind() == io::ErrorKind::IsADirectory => {
                    Ok(())
                }
                done => done.map_err(|error| failed(Operation::Delete, key.as_str(), error)),
            });
        }
        result.and(self.fs.sync_dir(&dir).map_err(at_dir))
    }

    fn open_object(&self, operation: Operation, key: &Key) -> Result<F::File, StoreError> {
        let fail = |error| failed(operation, key.as_str(), error);
        let absent = || StoreError::NotFound { key: key.to_string() };
        let dir = dirs::find(&self.fs, key.parent()).map_err(fail)?.ok_or_else(absent)?;
        match self.fs.open(&dir, key.name()) {
            // What is no regular file is no object.
            Err(error) if dirs::is_absent(&error) || error.kind() == io::ErrorKind::InvalidInput => {
                Err(absent())
            }
            file => file.map_err(fail),
        }
    }

    /// An open object, which has not been deleted.
    fn open_cached(&self, key: &Key) -> Result<Arc<F::File>, StoreError> {
        if let Some(file) = self.files.get(key.as_str()) {
            if self.fs.stat_file(&file).is_ok_and(|stat| stat.links > 0) {
                return Ok(file);
            }
            self.files.remove(key.as_str());
        }
        let file = Arc::new(self.open_object(Operation::GetRange, key)?);
        self.files.insert(key.clone(), Arc::clone(&file));
        Ok(file)
    }
}
