//! A store for `bench pipeline`: packs vanish, everything else is kept in memory, so that a backup runs to its end and
//! nothing but its own work is measured. It must never be offered as a repository.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use coffer_store::{
    Key, ListPage, ObjectInfo, ObjectStore, Operation, PartTag, PutOutcome, RequestCounts, StoreError,
    UploadId, UploadInfo,
};

/// Objects of at most this many bytes are kept: documents and manifests, which are read again.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Where bytes go and are counted.
#[derive(Default)]
pub(super) struct Sink {
    kept: Mutex<BTreeMap<Key, Bytes>>,
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl Sink {
    /// Bytes that were sent so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn take(&self, len: usize) {
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Key, Bytes>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn body(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.kept().get(key).cloned().ok_or_else(|| StoreError::NotFound { key: key.to_string() })
    }
}

fn info(key: &Key, body: &Bytes) -> ObjectInfo {
    ObjectInfo { key: key.clone(), len: body.len() as u64, modified: None }
}

impl ObjectStore for Sink {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.take(body.len());
        if body.len() <= KEPT_BYTES_MAX {
            // A copy: the body may be a buffer of the arena, which others wait for.
            self.kept().insert(key.clone(), Bytes::copy_from_slice(&body));
        }
        Ok(PutOutcome::Stored)
    }

    fn start_upload(&self, key: &Key, _part_len: u64) -> Result<UploadId, StoreError> {
        Ok(UploadId { key: key.clone(), id: String::new() })
    }

    fn put_part(&self, _upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.take(body.len());
        Ok(PartTag { number, len: body.len() as u64, tag: String::new() })
    }

    fn complete_upload(&self, _upload: &UploadId, _parts: &[PartTag]) -> Result<(), StoreError> {
        Ok(())
    }

    fn abort_upload(&self, _upload: &UploadId) -> Result<(), StoreError> {
        Ok(())
    }

    fn list_uploads(&self, _prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        Ok(Vec::new())
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        let body = self.body(key)?;
        let len = body.len() as u64;
        if len > len_max {
            return Err(StoreError::TooLarge { key: key.to_string(), len, len_max });
        }
        Ok(body.to_vec())
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let body = self.body(key)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = body.get(start..).unwrap_or_default();
        let Some(part) = rest.get(..out.len()) else {
            let (wanted, got) = (out.len() as u64, rest.len() as u64);
            return Err(StoreError::Short { key: key.to_string(), offset, wanted, got });
        };
        out.copy_from_slice(part);
        Ok(())
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        Ok(info(key, &self.body(key)?))
    }

    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        let kept = self.kept();
        let later = |key: &Key| start_after.is_none_or(|after| key.as_str() > after);
        let found = kept.iter().filter(|(key, _)| key.as_str().starts_with(prefix) && later(key));
        let mut objects: Vec<_> = found.take(max + 1).map(|(key, body)| info(key, body)).collect();
        let more = objects.len() > max;
        objects.truncate(max);
        let next = objects.last().filter(|_| more).map(|object| object.key.to_string());
        Ok(ListPage { objects, next })
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        let mut kept = self.kept();
        keys.iter().for_each(|key| drop(kept.remove(key)));
        Ok(())
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        let unknown = "this store has no clock".to_owned();
        Err(StoreError::Misuse { operation: Operation::Now, detail: unknown })
    }

    fn requests(&self) -> RequestCounts {
        RequestCounts { put: self.requests.load(Ordering::Relaxed), ..RequestCounts::default() }
    }

    fn describe(&self) -> String {
        "nowhere".to_owned()
    }
}
