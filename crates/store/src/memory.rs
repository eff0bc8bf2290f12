//! An object store in memory, with the rules of the port: for tests, and as the model that other stores are held to.
//!
//! Nothing here outlives the value; it must never be offered as a repository.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use crate::checks;
use crate::counts::{Counters, RequestCounts};
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{ListPage, ObjectInfo, ObjectStore, Operation, PartTag, PutOutcome, UploadId, UploadInfo};

type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// An object store in memory. Share it with an `Arc` to play several processes.
pub struct MemoryStore {
    state: Mutex<State>,
    counters: Counters,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Key, Object>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
}

#[derive(Debug)]
struct Object {
    body: Bytes,
    modified: SystemTime,
}

#[derive(Debug)]
struct Upload {
    key: Key,
    part_len: u64,
    started: SystemTime,
    parts: BTreeMap<u32, Bytes>,
}

impl MemoryStore {
    /// An empty store with this host's clock.
    pub fn new() -> Self {
        Self::with_clock(SystemTime::now)
    }

    /// An empty store with a clock of its own.
    pub fn with_clock(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { state: Mutex::default(), counters: Counters::default(), clock: Box::new(clock) }
    }

    /// Changes a stored object behind the port's back, as damage or an attacker would. False if it is not there.
    pub fn tamper(&self, key: &Key, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.lock();
        let Some(object) = state.objects.get_mut(key) else { return false };
        let mut bytes = object.body.to_vec();
        change(&mut bytes);
        object.body = bytes.into();
        true
    }

    /// Removes an object behind the port's back. False if it was not there.
    pub fn lose(&self, key: &Key) -> bool {
        self.lock().objects.remove(key).is_some()
    }

    /// All keys, without a request.
    pub fn keys(&self) -> Vec<Key> {
        self.lock().objects.keys().cloned().collect()
    }

    /// An object's bytes, without a request.
    pub fn peek(&self, key: &Key) -> Option<Bytes> {
        self.lock().objects.get(key).map(|object| object.body.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        key: &Key,
        read: impl FnOnce(&Object) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.lock();
        match state.objects.get(key) {
            Some(object) => read(object),
            None => Err(StoreError::NotFound { key: key.to_string() }),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

impl State {
    /// The write-once rule.
    fn insert(&mut self, key: &Key, body: Bytes, modified: SystemTime) -> Result<PutOutcome, StoreError> {
        if let Some(there) = self.objects.get(key) {
            if there.body == body {
                return Ok(PutOutcome::AlreadyThere);
            }
            return Err(StoreError::Exists { key: key.to_string() });
        }
        if self.has_directory_clash(key) {
            let reason = "one key would be a directory of another";
            return Err(StoreError::InvalidKey { key: key.to_string(), reason });
        }
        self.objects.insert(key.clone(), Object { body, modified });
        Ok(PutOutcome::Stored)
    }

    fn has_directory_clash(&self, key: &Key) -> bool {
        let dir = format!("{key}/");
        let next = self.objects.range::<str, _>((Bound::Included(dir.as_str()), Bound::Unbounded)).next();
        let ends = key.as_str().match_indices('/').map(|(end, _)| &key.as_str()[..end]);
        next.is_some_and(|(next, _)| next.as_str().starts_with(&dir))
            || ends.into_iter().any(|above| self.objects.contains_key(above))
    }

    fn upload(&mut self, id: &UploadId) -> Result<&mut Upload, StoreError> {
        let upload = self.uploads.get_mut(&id.id).filter(|upload| upload.key == id.key);
        upload.ok_or_else(|| StoreError::NoSuchUpload { key: id.key.to_string(), upload: id.id.clone() })
    }
}

impl Upload {
    fn assemble(&self, given: &[PartTag]) -> Result<Bytes, StoreError> {
        checks::complete(given, self.part_len)?;
        for part in given {
            let is_known = self.parts.get(&part.number).is_some_and(|body| *part == tag(part.number, body));
            if !is_known {
                return checks::unknown_part(part.number);
            }
        }
        match self.parts.last_key_value() {
            Some((last, _)) if self.parts.len() != given.len() => checks::unknown_part(*last),
            _ => Ok(self.parts.values().flatten().copied().collect()),
        }
    }
}

impl ObjectStore for MemoryStore {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.counters.add(Operation::Put);
        let now = (self.clock)();
        self.lock().insert(key, Bytes::copy_from_slice(&body), now)
    }

    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        self.counters.add(Operation::StartUpload);
        checks::part_len(part_len)?;
        let started = (self.clock)();
        let mut state = self.lock();
        state.uploads_begun += 1;
        let id = format!("upload-{:06}", state.uploads_begun);
        let upload = Upload { key: key.clone(), part_len, started, parts: BTreeMap::new() };
        state.uploads.insert(id.clone(), upload);
        Ok(UploadId { key: key.clone(), id })
    }

    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.counters.add(Operation::PutPart);
        let mut state = self.lock();
        let upload = state.upload(upload)?;
        let len = len_of(&body);
        checks::part(number, len, upload.part_len)?;
        if let Some(before) = upload.parts.get(&number).map(len_of).filter(|before| *before != len) {
            return checks::changed_part(number, len, before);
        }
        let tag = tag(number, &body);
        upload.parts.insert(number, Bytes::copy_from_slice(&body));
        Ok(tag)
    }

    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        self.counters.add(Operation::CompleteUpload);
        let now = (self.clock)();
        let mut state = self.lock();
        let body = state.upload(upload)?.assemble(parts)?;
        state.insert(&upload.key, body, now)?;
        state.uploads.remove(&upload.id);
        Ok(())
    }

    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        self.counters.add(Operation::AbortUpload);
        let mut state = self.lock();
        if state.upload(upload).is_ok() {
            state.uploads.remove(&upload.id);
        }
        Ok(())
    }

    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        self.counters.add(Operation::ListUploads);
        let state = self.lock();
        let matching = state.uploads.iter().filter(|(_, upload)| upload.key.as_str().starts_with(prefix));
        Ok(matching
            .map(|(id, upload)| UploadInfo {
                upload: UploadId { key: upload.key.clone(), id: id.clone() },
                started: upload.started,
                bytes: upload.parts.values().map(len_of).sum(),
            })
            .collect())
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        self.counters.add(Operation::Get);
        self.read(key, |object| match len_of(&object.body) {
            len if len > len_max => Err(StoreError::TooLarge { key: key.to_string(), len, len_max }),
            _ => Ok(object.body.to_vec()),
        })
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.counters.add(Operation::GetRange);
        self.read(key, |object| {
            let rest = usize::try_from(offset).ok().and_then(|offset| object.body.get(offset..));
            let rest = rest.unwrap_or_default();
            match rest.get(..out.len()) {
                // Past the end there is no range, not even an empty one.
                Some(found) if offset <= len_of(&object.body) => {
                    out.copy_from_slice(found);
                    Ok(())
                }
                _ => Err(StoreError::Short {
                    key: key.to_string(),
                    offset,
                    wanted: u64::try_from(out.len()).expect("memory is smaller than 2^64 bytes"),
                    got: u64::try_from(rest.len()).expect("memory is smaller than 2^64 bytes"),
                }),
            }
        })
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.counters.add(Operation::Head);
        self.read(key, |object| Ok(info(key, object)))
    }

    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        self.counters.add(Operation::List);
        checks::page(max)?;
        let state = self.lock();
        let from = match start_after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut objects: Vec<ObjectInfo> = state
            .objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.as_str().starts_with(prefix))
            .take(max + 1)
            .map(|(key, object)| info(key, object))
            .collect();
        let has_more = objects.len() > max;
        objects.truncate(max);
        let next = objects.last().filter(|_| has_more).map(|last| last.key.to_string());
        Ok(ListPage { objects, next })
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.counters.add(Operation::Delete);
        checks::delete(keys)?;
        let mut state = self.lock();
        for key in keys {
            state.objects.remove(key);
        }
        Ok(())
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.counters.add(Operation::Now);
        Ok((self.clock)())
    }

    fn requests(&self) -> RequestCounts {
        self.counters.read()
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

fn info(key: &Key, object: &Object) -> ObjectInfo {
    ObjectInfo { key: key.clone(), len: len_of(&object.body), modified: Some(object.modified) }
}

fn len_of(body: &Bytes) -> u64 {
    u64::try_from(body.len()).expect("memory is smaller than 2^64 bytes")
}

/// The mark is a checksum, so that a part that was stored again with other bytes needs its new receipt, as on S3.
fn tag(number: u32, body: &Bytes) -> PartTag {
    let sum = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    PartTag { number, len: len_of(body), tag: format!("{sum:016x}") }
}
