//! Every store keeps every rule of the port.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coffer_store::contract::run_contract;
use coffer_store::file::real::RealFs;
use coffer_store::file::recording::{Lapses, RecordingFs};
use coffer_store::{
    FaultPlan, FaultStore, FileStore, Key, ListPage, MemoryStore, ObjectInfo, ObjectStore, OpenOptions,
    PartTag, PutOutcome, RepositoryUrl, RequestCounts, StoreError, UploadId, UploadInfo, open,
};
use tempfile::TempDir;

/// Directories that live as long as the test.
#[derive(Default)]
struct Directories(Mutex<Vec<TempDir>>);

impl Directories {
    fn make(&self) -> std::path::PathBuf {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        self.0.lock().unwrap().push(dir);
        path
    }
}

#[test]
fn memory_keeps_the_contract() {
    run_contract(|| Box::new(MemoryStore::new()));
}

#[test]
fn a_fault_store_without_faults_keeps_the_contract() {
    run_contract(|| Box::new(FaultStore::new(Arc::new(MemoryStore::new()), FaultPlan::none())));
}

#[test]
fn a_directory_keeps_the_contract() {
    let dirs = Directories::default();
    run_contract(|| {
        let url = RepositoryUrl::File { root: dirs.make().join("a b/new%") };
        Box::new(open(&url, OpenOptions { create: true, ..OpenOptions::default() }).unwrap())
    });
}

#[test]
fn two_openings_of_one_directory_keep_the_contract() {
    let dirs = Directories::default();
    run_contract(|| {
        let root = dirs.make();
        let open = || FileStore::open(&root, OpenOptions::default()).unwrap();
        Box::new(Two(open(), open(), AtomicUsize::new(0)))
    });
}

#[test]
fn a_recorded_directory_keeps_the_contract() {
    let dirs = Directories::default();
    run_contract(|| Box::new(recorded(&dirs, Lapses::default())));
}

#[test]
fn a_directory_without_rename_noreplace_keeps_the_contract() {
    let dirs = Directories::default();
    let lapses = Lapses { rename_noreplace: true, ..Lapses::default() };
    run_contract(|| Box::new(recorded(&dirs, lapses)));
}

fn recorded(dirs: &Directories, lapses: Lapses) -> FileStore<RecordingFs<RealFs>> {
    let fs = RecordingFs::new(RealFs::open(&dirs.make()).unwrap(), lapses);
    FileStore::with_fs(fs, "recorded".to_owned())
}

/// Sends requests to either opening in turn, uploads to the first: as two processes would.
struct Two(FileStore, FileStore, AtomicUsize);
impl Two {
    fn next(&self) -> &FileStore {
        if self.2.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { &self.0 } else { &self.1 }
    }
}
impl ObjectStore for Two {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.next().put(key, body)
    }
    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        self.0.start_upload(key, part_len)
    }
    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.0.put_part(upload, number, body)
    }
    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        self.0.complete_upload(upload, parts)
    }
    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        self.0.abort_upload(upload)
    }
    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        self.next().list_uploads(prefix)
    }
    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        self.next().get(key, len_max)
    }
    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.next().get_range(key, offset, out)
    }
    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.next().head(key)
    }
    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        self.next().list(prefix, start_after, max)
    }
    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.next().delete(keys)
    }
    fn now(&self) -> Result<std::time::SystemTime, StoreError> {
        self.next().now()
    }
    fn requests(&self) -> RequestCounts {
        let (a, b) = (self.0.requests(), self.1.requests());
        RequestCounts {
            put: a.put + b.put,
            get: a.get + b.get,
            list: a.list + b.list,
            delete: a.delete + b.delete,
            multipart: a.multipart + b.multipart,
        }
    }
    fn describe(&self) -> String {
        "two openings".to_owned()
    }
}
