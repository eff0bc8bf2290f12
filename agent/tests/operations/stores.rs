//! Stores that stop in the middle of a run, as a slow server does, until the test or a cancel lets them go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use coffer_agent::operations::stores::{RealStores, Stores};
use coffer_store::{
    Key, ListPage, ObjectInfo, ObjectStore, OpenOptions, Operation, PartTag, PutOutcome, RepositoryUrl,
    RequestCounts, RequestShape, StoreError, UploadId, UploadInfo,
};

/// Lets so many data objects through, then holds all requests that concern data.
pub(crate) struct Gate {
    left: AtomicU64,
    open: Mutex<bool>,
    changed: Condvar,
    held: Box<dyn Fn() + Send + Sync>,
}

impl Gate {
    /// `held` is called by each request that is held.
    pub(crate) fn after(objects: u64, held: impl Fn() + Send + Sync + 'static) -> Arc<Gate> {
        Arc::new(Gate {
            left: AtomicU64::new(objects),
            open: Mutex::new(false),
            changed: Condvar::new(),
            held: Box::new(held),
        })
    }

    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Passes, or waits as a request to a server that does not answer.
    fn pass(&self, key: &Key, cancelled: Option<&AtomicBool>) -> Result<(), StoreError> {
        let is_data = key.as_str().contains("/data/") && !key.as_str().contains("/keys/");
        let take = |left: u64| left.checked_sub(1);
        if !is_data || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            return Ok(());
        }
        (self.held)();
        let mut open = self.open.lock().unwrap();
        while !*open {
            if cancelled.is_some_and(|flag| flag.load(Ordering::SeqCst)) {
                return Err(StoreError::Cancelled { operation: Operation::Put, key: key.to_string() });
            }
            open = self.changed.wait_timeout(open, Duration::from_millis(20)).unwrap().0;
        }
        Ok(())
    }
}

/// Opens real stores behind a gate.
pub(crate) struct Gated(pub(crate) Arc<Gate>);

impl Stores for Gated {
    fn open(&self, url: &RepositoryUrl, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let cancelled = options.cancelled.clone();
        Ok(Arc::new(GatedStore { inner: RealStores.open(url, options)?, gate: self.0.clone(), cancelled }))
    }
}

struct GatedStore {
    inner: Arc<dyn ObjectStore>,
    gate: Arc<Gate>,
    cancelled: Option<Arc<AtomicBool>>,
}

impl GatedStore {
    fn pass(&self, key: &Key) -> Result<(), StoreError> {
        self.gate.pass(key, self.cancelled.as_deref())
    }
}

impl ObjectStore for GatedStore {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.pass(key)?;
        self.inner.put(key, body)
    }

    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        self.inner.start_upload(key, part_len)
    }

    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.inner.put_part(upload, number, body)
    }

    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        self.pass(&upload.key)?;
        self.inner.complete_upload(upload, parts)
    }

    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        self.inner.abort_upload(upload)
    }

    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        self.inner.list_uploads(prefix)
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.get(key, len_max)
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.inner.get_range(key, offset, out)
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.inner.head(key)
    }

    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        self.inner.list(prefix, start_after, max)
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.inner.delete(keys)
    }

    fn now(&self) -> Result<std::time::SystemTime, StoreError> {
        self.inner.now()
    }

    fn give_up_reserve(&self) -> Result<bool, StoreError> {
        self.inner.give_up_reserve()
    }

    fn restore_reserve(&self) -> Result<(), StoreError> {
        self.inner.restore_reserve()
    }

    fn requests(&self) -> RequestCounts {
        self.inner.requests()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn shape(&self) -> RequestShape {
        self.inner.shape()
    }
}
