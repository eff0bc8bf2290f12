//! A full disk is a clean error and leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use coffer_store::error::Advice;
use coffer_store::{FileStore, Key, ObjectStore, OpenOptions, PutOutcome, StoreError, list_all};

/// A tmpfs of 4 MiB, unmounted at the end. None without the right to mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0700", "coffer-test"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            _ => {
                eprintln!("not run: mounting a small disk needs root");
                None
            }
        }
    }

    fn root(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn scratch_count(root: &Path) -> usize {
    std::fs::read_dir(root.join(".tmp")).unwrap().count()
}

fn is_no_space<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::Configure);
}

#[test]
fn a_full_disk_is_a_clean_error() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = FileStore::open(&disk.root(), OpenOptions::default()).unwrap();
    let body = |len: usize| Bytes::from(vec![7; len]);
    store.put(&key("t/kept"), body(2 << 20)).unwrap();

    is_no_space(store.put(&key("t/big"), body(3 << 20)));
    assert_eq!(scratch_count(&disk.root()), 0);

    let upload = store.start_upload(&key("t/parts"), 1 << 20).unwrap();
    let tag = store.put_part(&upload, 1, body(1 << 20)).unwrap();
    is_no_space(store.put_part(&upload, 2, body(1 << 20)));
    // What is left after the failed part cannot become an object, with or without it.
    store.complete_upload(&upload, std::slice::from_ref(&tag)).unwrap_err();

    assert_eq!(store.put(&key("t/kept"), body(2 << 20)).unwrap(), PutOutcome::AlreadyThere);
    assert_eq!(list_all(&store, "").unwrap().len(), 1);
    assert_eq!(store.list_uploads("").unwrap().len(), 1);
    store.abort_upload(&upload).unwrap();
    assert_eq!(scratch_count(&disk.root()), 0);

    store.put(&key("t/after"), body(1 << 20)).unwrap();
    assert!(store.get(&key("t/kept"), u64::MAX).unwrap() == body(2 << 20));
}

#[test]
fn a_full_disk_has_a_reserve_and_keeps_as_much_of_it_as_fits() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = FileStore::open(&disk.root(), OpenOptions::default()).unwrap();
    store.restore_reserve().unwrap();
    let mut kept = 0;
    while store.put(&key(&format!("t/{kept}")), Bytes::from(vec![kept; 128 << 10])).is_ok() {
        kept += 1;
    }
    while store.put(&key(&format!("t/{kept}")), Bytes::from(vec![kept; 4 << 10])).is_ok() {
        kept += 1;
    }
    is_no_space(store.put(&key("t/record"), Bytes::from(vec![1; 4 << 10])));
    assert!(store.give_up_reserve().unwrap());
    store.put(&key("t/record"), Bytes::from(vec![1; 4 << 10])).unwrap();
    store.restore_reserve().unwrap();
    let left = std::fs::metadata(disk.root().join(".reserve")).unwrap().len();
    assert!((64 << 10..1 << 20).contains(&left), "{left}");
    is_no_space(store.put(&key("t/more"), Bytes::from(vec![1; 512 << 10])));
    assert_eq!(scratch_count(&disk.root()), 0);
    let keys: Vec<Key> = (0..kept).map(|number| key(&format!("t/{number}"))).collect();
    store.delete(&keys).unwrap();
    store.restore_reserve().unwrap();
    assert_eq!(std::fs::metadata(disk.root().join(".reserve")).unwrap().len(), 1 << 20);
}

#[test]
fn a_full_disk_can_be_emptied() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = FileStore::open(&disk.root(), OpenOptions::default()).unwrap();
    let mut kept = 0;
    while store.put(&key(&format!("t/{kept}")), Bytes::from(vec![kept; 256 << 10])).is_ok() {
        kept += 1;
    }
    assert!((8..=16).contains(&kept), "{kept} objects fitted");
    is_no_space(store.put(&key("t/more"), Bytes::from(vec![1; 256 << 10])));
    assert_eq!(list_all(&store, "").unwrap().len(), usize::from(kept));
    store.delete(&[key("t/0")]).unwrap();
    store.put(&key("t/more"), Bytes::from(vec![1; 256 << 10])).unwrap();
}
