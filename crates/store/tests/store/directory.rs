//! What is particular to the store in a directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use coffer_store::error::Advice;
use coffer_store::file::real::RealFs;
use coffer_store::file::recording::{Lapses, RecordingFs};
use coffer_store::{FileStore, Key, MemoryStore, ObjectStore, OpenOptions, PutOutcome, StoreError, list_all};
use proptest::collection::vec;
use proptest::option;
use proptest::test_runner::Config as ProptestConfig;
use proptest::{prop_assert_eq, proptest};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn open(root: &Path) -> FileStore {
    FileStore::open(root, OpenOptions::default()).unwrap()
}

fn scratch_files(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(".tmp")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A buffer that starts on a page, as the arena of the data path gives them.
fn aligned(len: usize, fill: impl Fn(usize) -> u8) -> Bytes {
    let whole: Vec<u8> = vec![0; len + 4_096];
    let start = whole.as_ptr().align_offset(4_096);
    let mut whole = whole;
    for (place, byte) in whole[start..start + len].iter_mut().enumerate() {
        *byte = fill(place);
    }
    Bytes::from(whole).slice(start..start + len)
}

#[test]
fn objects_are_plain_files_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(&key("t/x/%41"), Bytes::from_static(b"hello")).unwrap();
    assert_eq!(fs::read(dir.path().join("t/x/%41")).unwrap(), b"hello");
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("t/x/%41"), mode("t/x"), mode("t"), mode(".tmp")), (0o600, 0o700, 0o700, 0o700));
    assert!(scratch_files(dir.path()).is_empty());
}

#[test]
fn where_the_group_may_write_the_root_all_is_the_groups_too() {
    let dir = tempfile::tempdir().unwrap();
    let check = |root: u32, file: u32, below: u32| {
        let place = dir.path().join(format!("{root:o}"));
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, PermissionsExt::from_mode(root)).unwrap();
        let store = open(&place);
        store.put(&key("t/x/1"), Bytes::from_static(b"hello")).unwrap();
        let upload = store.start_upload(&key("t/y/1"), 100).unwrap();
        let tag = store.put_part(&upload, 1, Bytes::from(vec![1; 100])).unwrap();
        store.complete_upload(&upload, &[tag]).unwrap();
        let mode = |path: &str| fs::metadata(place.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("t/x/1"), mode("t/y/1")), (file, file), "{root:o}");
        assert_eq!((mode("t/x"), mode("t"), mode(".tmp")), (below, below, below), "{root:o}");
    };
    check(0o2770, 0o660, 0o2770);
    check(0o775, 0o660, 0o2770);
    check(0o755, 0o600, 0o700);
    check(0o750, 0o600, 0o700);
    check(0o707, 0o600, 0o700);
}

#[test]
fn what_is_made_for_a_group_belongs_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let given = rustix::fs::chown(dir.path(), None, Some(rustix::fs::Gid::from_raw(65_534)));
    if given.is_err() {
        eprintln!("not run: only root gives a directory to any group");
        return;
    }
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o770)).unwrap();
    open(dir.path()).put(&key("t/1"), Bytes::new()).unwrap();
    for path in ["t", "t/1", ".tmp"] {
        let made = fs::metadata(dir.path().join(path)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::gid(&made), 65_534, "{path}");
    }
}

#[test]
fn a_file_system_that_can_neither_move_nor_link_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let lapses = Lapses { rename_noreplace: true, links: true, ..Lapses::default() };
    let fs = RecordingFs::new(RealFs::open(dir.path()).unwrap(), lapses);
    let store = FileStore::with_fs(fs, "recorded".to_owned());
    let error = store.put(&key("t/1"), Bytes::from_static(b"1")).unwrap_err();
    assert!(matches!(error, StoreError::Setup { .. }), "{error:?}");
    for word in ["renameat2", "linkat", "another one"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(!store.exists(&key("t/1")).unwrap() && scratch_files(dir.path()).is_empty());
}

#[test]
fn a_reserve_is_made_once_given_up_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (open(dir.path()), open(dir.path()));
    let reserve = dir.path().join(".reserve");
    assert!(!store.give_up_reserve().unwrap());
    store.restore_reserve().unwrap();
    let made = fs::read(&reserve).unwrap();
    assert_eq!(made.len(), 1 << 20);
    other.restore_reserve().unwrap();
    assert!(fs::read(&reserve).unwrap() == made, "one that is whole stays as it is");
    assert!(list_all(&store, "").unwrap().is_empty() && scratch_files(dir.path()).is_empty());
    assert!(other.give_up_reserve().unwrap());
    assert!(!reserve.exists() && !store.give_up_reserve().unwrap());
    fs::write(&reserve, b"a part").unwrap();
    store.restore_reserve().unwrap();
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 1 << 20);
}

#[test]
fn a_missing_directory_is_made_only_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a/b/repository");
    let error = FileStore::open(&root, OpenOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::RootMissing { .. }), "{error}");
    assert_eq!(error.advice(), Advice::NotFound);
    assert!(!dir.path().join("a").exists());
    let store = FileStore::open(&root, OpenOptions { create: true, ..OpenOptions::default() }).unwrap();
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(store.describe(), format!("file://{}", root.display()));
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(FileStore::open(&file, OpenOptions::default()), Err(StoreError::RootMissing { .. })));
}

#[test]
fn aligned_and_unaligned_parts_and_tails_come_back_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fill = |part: usize| move |place: usize| (place * 31 + part * 7 + place / 4_096) as u8;
    let check = |name: &str, part_len: usize, tail: usize, skew: usize| {
        let parts: Vec<Bytes> = [part_len, part_len, tail]
            .iter()
            .zip(0..)
            .map(|(len, part)| aligned(len + skew, fill(part)).slice(skew..))
            .collect();
        let upload = store.start_upload(&key(name), part_len as u64).unwrap();
        let mut tags: Vec<_> = [2_usize, 0, 1]
            .map(|index| store.put_part(&upload, index as u32 + 1, parts[index].clone()).unwrap())
            .to_vec();
        tags.sort_by_key(|tag| tag.number);
        store.complete_upload(&upload, &tags).unwrap();
        assert!(store.get(&key(name), u64::MAX).unwrap() == parts.concat(), "{name}");
        store.put(&key(&format!("put-{name}")), parts.concat().into()).unwrap();
        store.put(&key(&format!("one-{name}")), parts[2].clone()).unwrap();
        assert!(store.get(&key(&format!("one-{name}")), u64::MAX).unwrap() == parts[2], "{name}");
    };
    let mib = 1 << 20;
    check("aligned", 8 * mib, 8 * mib, 0);
    check("tail", 8 * mib, 3 * mib + 4_096 + 17, 0);
    check("short-tail", 8 * mib, 17, 0);
    check("pointer", 8 * mib, 3 * mib, 1);
    check("part-len", 5 * mib + 1_000, 2 * mib, 0);
}

/// Whether any page of `path` is in the page cache; none if that cannot be told here. A read that does not wait (`RWF_NOWAIT`)
/// would not tell: it starts to read ahead, and on a fast disk finds what it has itself brought in.
fn is_cached(path: &Path) -> Option<bool> {
    let out = Command::new("fincore")
        .args(["--noheadings", "--raw", "--output", "PAGES"])
        .arg(path)
        .output()
        .ok()?;
    let pages: u64 = String::from_utf8(out.stdout).ok()?.trim().parse().ok()?;
    Some(pages > 0)
}

#[test]
fn large_aligned_bodies_go_past_the_page_cache_and_others_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let body = aligned(8 << 20, |place| place as u8);
    store.put(&key("unaligned"), body.slice(1..)).unwrap();
    // Not on tmpfs, which is nothing but page cache.
    let can_tell = is_cached(&dir.path().join("unaligned")) == Some(true)
        && rustix::fs::statfs(dir.path()).unwrap().f_type != 0x0102_1994;
    if !can_tell {
        eprintln!("not run: this file system does not tell what is cached");
        return;
    }
    store.put(&key("put"), body.clone()).unwrap();
    let upload = store.start_upload(&key("parts"), 8 << 20).unwrap();
    let tag = store.put_part(&upload, 1, body).unwrap();
    store.complete_upload(&upload, &[tag]).unwrap();
    assert_eq!(is_cached(&dir.path().join("put")), Some(false));
    assert_eq!(is_cached(&dir.path().join("parts")), Some(false));
}

#[test]
fn symbolic_links_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(&key("t/real/1"), Bytes::from_static(b"1")).unwrap();
    symlink(outside.path(), dir.path().join("t/link")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("t/file")).unwrap();
    let is_foreign = |error: StoreError| {
        assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
        assert_eq!(error.advice(), Advice::Configure);
    };
    is_foreign(store.get(&key("t/link/secret"), 100).unwrap_err());
    is_foreign(store.get(&key("t/file"), 100).unwrap_err());
    is_foreign(store.get_range(&key("t/file"), 0, &mut [0]).unwrap_err());
    is_foreign(store.head(&key("t/link/secret")).unwrap_err());
    is_foreign(store.head(&key("t/file")).unwrap_err());
    is_foreign(store.put(&key("t/link/new"), Bytes::new()).unwrap_err());
    is_foreign(store.put(&key("t/file"), Bytes::from_static(b"secret")).unwrap_err());
    is_foreign(store.delete(&[key("t/link/secret")]).unwrap_err());
    is_foreign(store.list("t/link/", None, 10).unwrap_err());
    let listed: Vec<_> = list_all(&store, "").unwrap().into_iter().map(|it| it.key).collect();
    assert_eq!(listed, [key("t/real/1")]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn what_is_no_object_is_not_shown_and_does_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(&key("t/1"), Bytes::new()).unwrap();
    fs::write(dir.path().join("t/with space"), b"").unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join("lost+found/1"), b"").unwrap();
    fs::write(dir.path().join(".tmp/x"), b"").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("t/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let listed: Vec<_> = list_all(&store, "").unwrap().into_iter().map(|it| it.key).collect();
    assert_eq!(listed, [key("t/1")]);
    assert!(matches!(store.get(&key("t/pipe"), 10), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.head(&key("t/pipe")), Err(StoreError::NotFound { .. })));
    for reserved in [".tmp/x", "lost+found/1", ".tmp", ".reserve", ".reserve/x"] {
        assert!(matches!(store.get(&key(reserved), 10), Err(StoreError::InvalidKey { .. })));
        assert!(matches!(store.put(&key(reserved), Bytes::new()), Err(StoreError::InvalidKey { .. })));
        assert!(matches!(store.delete(&[key(reserved)]), Err(StoreError::InvalidKey { .. })));
        assert!(list_all(&store, reserved).unwrap().is_empty());
    }
}

#[test]
fn a_key_cannot_be_a_directory_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(&key("a/b"), Bytes::from_static(b"1")).unwrap();
    assert!(matches!(store.put(&key("a"), Bytes::new()), Err(StoreError::InvalidKey { .. })));
    assert!(store.put(&key("a/b/c"), Bytes::new()).is_err());
    assert_eq!(store.get(&key("a/b"), 10).unwrap(), b"1");
    assert!(scratch_files(dir.path()).is_empty());
}

#[test]
fn deletes_by_others_are_seen_through_open_files() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (open(dir.path()), open(dir.path()));
    store.put(&key("a/1"), Bytes::from_static(b"first")).unwrap();
    let mut out = [0; 5];
    store.get_range(&key("a/1"), 0, &mut out).unwrap();
    other.delete(&[key("a/1")]).unwrap();
    assert!(!store.exists(&key("a/1")).unwrap());
    assert!(matches!(store.get_range(&key("a/1"), 0, &mut out), Err(StoreError::NotFound { .. })));
    other.put(&key("a/1"), Bytes::from_static(b"again")).unwrap();
    store.get_range(&key("a/1"), 0, &mut out).unwrap();
    assert_eq!(&out, b"again");
}

#[test]
fn empty_directories_go_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (open(dir.path()), open(dir.path()));
    for round in 0_u8..3 {
        store.put(&key("a/b/c/1"), Bytes::from(vec![round])).unwrap();
        other.delete(&[key("a/b/c/1")]).unwrap();
        assert!(!dir.path().join("a").exists());
    }
    store.put(&key("a/x"), Bytes::new()).unwrap();
    store.put(&key("a/b/1"), Bytes::new()).unwrap();
    store.delete(&[key("a/b/1")]).unwrap();
    assert!(dir.path().join("a/x").exists() && !dir.path().join("a/b").exists());
    fs::remove_dir_all(dir.path().join(".tmp")).unwrap();
    store.put(&key("a/b/1"), Bytes::new()).unwrap();
}

#[test]
fn more_files_than_stay_open_are_read_by_range() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0_u8..150 {
        store.put(&key(&format!("d{}/{n}", n % 100)), Bytes::from(vec![n])).unwrap();
    }
    for _ in 0..2 {
        for n in 0_u8..150 {
            let mut out = [0];
            store.get_range(&key(&format!("d{}/{n}", n % 100)), 0, &mut out).unwrap();
            assert_eq!(out, [n]);
        }
    }
}

#[test]
fn another_process_lists_and_aborts_an_upload_and_cannot_continue_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (open(dir.path()), open(dir.path()));
    let upload = store.start_upload(&key("t/a/1"), 100).unwrap();
    let tag = store.put_part(&upload, 1, Bytes::from(vec![1; 100])).unwrap();
    let found = other.list_uploads("t/a").unwrap();
    assert_eq!((found.len(), &found[0].upload, found[0].bytes), (1, &upload, 100));
    let result = other.put_part(&upload, 2, Bytes::from(vec![1; 100]));
    assert!(matches!(result, Err(StoreError::NoSuchUpload { .. })), "{result:?}");
    let result = other.complete_upload(&upload, std::slice::from_ref(&tag));
    assert!(matches!(result, Err(StoreError::NoSuchUpload { .. })), "{result:?}");
    other.abort_upload(&upload).unwrap();
    assert!(scratch_files(dir.path()).is_empty());
    assert!(store.list_uploads("").unwrap().is_empty());
    // The owner finds out, and nothing appears.
    store.complete_upload(&upload, &[tag]).unwrap_err();
    assert!(!store.exists(&key("t/a/1")).unwrap());
}

#[test]
fn old_scratch_files_without_an_owner_are_swept_and_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let upload = store.start_upload(&key("t/1"), 100).unwrap();
    let scratch = dir.path().join(".tmp");
    let age = |name: &str, hours: u64| {
        let path = scratch.join(name);
        if !path.exists() {
            fs::write(&path, b"half").unwrap();
        }
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3_600)).unwrap();
    };
    age("p-1-1-old", 25);
    age("p-1-2-new", 23);
    age("n-1-1-old", 25);
    age("u-1-1-old", 25);
    age("u-1-2-old", 25);
    age("u-1-2-old.key", 25);
    age("u-1-3-new", 23);
    age("foreign", 1_000);
    age(&upload.id, 1_000);
    age(&format!("{}.key", upload.id), 1_000);
    drop(open(dir.path()));
    let mut left = scratch_files(dir.path());
    left.sort();
    let mut expected = vec![
        "foreign".into(),
        "p-1-2-new".into(),
        upload.id.clone(),
        format!("{}.key", upload.id),
        "u-1-3-new".into(),
    ];
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn an_upload_is_safe_from_a_late_part() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    for round in 0..20 {
        let name = key(&format!("r/{round}"));
        let upload = store.start_upload(&name, 4_096).unwrap();
        let tag = store.put_part(&upload, 1, Bytes::from(vec![1; 4_096])).unwrap();
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                // A wrong repetition: it must come whole before the end, or not at all.
                let _ = store.put_part(&upload, 1, Bytes::from(vec![2; 4_096]));
            });
            barrier.wait();
            store.complete_upload(&upload, &[tag]).unwrap();
            let first = store.get(&name, 4_096).unwrap();
            assert!(first == [1; 4_096] || first == [2; 4_096]);
        });
        let again = store.get(&name, 4_096).unwrap();
        assert_eq!(store.put(&name, again.into()).unwrap(), PutOutcome::AlreadyThere);
    }
}

/// Where syncs cost nothing, if there is such a place.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_directory_lists_as_memory_does(
        names in vec("[ab.-]{1,2}(/[ab0%.-]{1,2}){0,3}", 1..40),
        prefix in "[ab]{0,1}[ab/.-]{0,3}",
        after in option::of("[ab]{0,1}[ab0/.-]{0,4}"),
        max in 1_usize..8,
    ) {
        let dir = quick_dir();
        let (directory, memory) = (open(dir.path()), MemoryStore::with_clock(|| SystemTime::UNIX_EPOCH));
        for name in names.iter().filter_map(|name| Key::new(name.as_str()).ok()) {
            let expected = memory.put(&name, Bytes::new()).is_ok();
            prop_assert_eq!(directory.put(&name, Bytes::new()).is_ok(), expected, "{}", name);
        }
        let list = |store: &dyn ObjectStore| {
            let page = store.list(&prefix, after.as_deref(), max).unwrap();
            (page.objects.into_iter().map(|it| it.key).collect::<Vec<_>>(), page.next)
        };
        prop_assert_eq!(list(&directory), list(&memory));
    }
}
