//! A store whose clock is moved with the controller's: whoever compares the two sees them move together.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use coffer_store::{
    Key, ListPage, ObjectInfo, ObjectStore, PartTag, PutOutcome, RequestCounts, RequestShape, StoreError,
    UploadId, UploadInfo,
};

use crate::clock::SharedClock;

/// The store, with its clock moved.
pub struct ShiftedStore {
    store: Arc<dyn ObjectStore>,
    clock: Arc<SharedClock>,
}

impl ShiftedStore {
    /// Moves the clock of `store` with `clock`.
    pub fn new(store: Arc<dyn ObjectStore>, clock: Arc<SharedClock>) -> ShiftedStore {
        ShiftedStore { store, clock }
    }

    fn moved(&self, time: SystemTime) -> SystemTime {
        let offset = self.clock.offset_ms();
        let by = Duration::from_millis(offset.unsigned_abs());
        if offset < 0 { time.checked_sub(by).unwrap_or(time) } else { time.checked_add(by).unwrap_or(time) }
    }

    fn moved_info(&self, mut info: ObjectInfo) -> ObjectInfo {
        info.modified = info.modified.map(|time| self.moved(time));
        info
    }
}

impl ObjectStore for ShiftedStore {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.store.put(key, body)
    }

    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        self.store.start_upload(key, part_len)
    }

    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.store.put_part(upload, number, body)
    }

    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        self.store.complete_upload(upload, parts)
    }

    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        self.store.abort_upload(upload)
    }

    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        self.store.list_uploads(prefix)
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get(key, len_max)
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.store.get_range(key, offset, out)
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        Ok(self.moved_info(self.store.head(key)?))
    }

    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        let mut page = self.store.list(prefix, start_after, max)?;
        page.objects = page.objects.into_iter().map(|info| self.moved_info(info)).collect();
        Ok(page)
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.store.delete(keys)
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(self.moved(self.store.now()?))
    }

    fn give_up_reserve(&self) -> Result<bool, StoreError> {
        self.store.give_up_reserve()
    }

    fn restore_reserve(&self) -> Result<(), StoreError> {
        self.store.restore_reserve()
    }

    fn requests(&self) -> RequestCounts {
        self.store.requests()
    }

    fn describe(&self) -> String {
        self.store.describe()
    }

    fn shape(&self) -> RequestShape {
        self.store.shape()
    }

    fn checksum_kept(&self, key: &Key) -> Result<Option<&'static str>, StoreError> {
        self.store.checksum_kept(key)
    }

    fn findings(&self) -> Vec<String> {
        self.store.findings()
    }

    fn exists(&self, key: &Key) -> Result<bool, StoreError> {
        self.store.exists(key)
    }
}
