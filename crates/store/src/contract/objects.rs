//! Rules about whole objects.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::tools::{body, get, is_not_found, key, put};
use crate::counts::RequestCounts;
use crate::error::StoreError;
use crate::port::{ObjectStore, PutOutcome, list_all};

pub(super) fn comes_back(store: &dyn ObjectStore) {
    for (seed, len) in [(1, 1), (2, 4_095), (3, 4_096), (4, 4_097), (5, 3 << 20), (6, (3 << 20) + 17)] {
        let (name, body) = (format!("t/team/data/{len}"), body(seed, len));
        let outcome = store.put(&key(&name), body.clone()).expect("a put of a new key succeeds");
        assert_eq!(outcome, PutOutcome::Stored);
        assert!(get(store, &name) == body, "{len} bytes came back changed");
    }
}

pub(super) fn empty(store: &dyn ObjectStore) {
    put(store, "a/empty", Bytes::new());
    assert!(get(store, "a/empty").is_empty());
    assert_eq!(store.head(&key("a/empty")).expect("it is there").len, 0);
    assert!(store.get(&key("a/empty"), 0).is_ok());
    assert!(store.get_range(&key("a/empty"), 0, &mut []).is_ok());
    assert!(matches!(store.get_range(&key("a/empty"), 0, &mut [0]), Err(StoreError::Short { got: 0, .. })));
    assert_eq!(list_all(store, "a/").expect("a list succeeds").len(), 1);
}

pub(super) fn names_are_literal(store: &dyn ObjectStore) {
    let long = vec!["x".repeat(224); 4].join("/");
    let wide = format!("n/{}", "y".repeat(255));
    let names = [
        "n/%E2%82%AC",
        "n/%2F",
        "n/%2e%2e",
        "n/a+b",
        "n/a=b,c@d~e",
        "n/A",
        "n/a",
        "n/.hidden",
        "n/...",
        "n/-rf",
        "n/~",
        "n/a.b/c_d",
        "n/%25E2",
        &long,
        &wide,
    ];
    for (seed, name) in (0..).zip(names) {
        put(store, name, body(seed, 10));
    }
    for (seed, name) in (0..).zip(names) {
        assert_eq!(get(store, name), body(seed, 10), "{name}");
        assert_eq!(store.head(&key(name)).expect("it is there").key, key(name));
    }
    let mut expected = names.map(key).to_vec();
    expected.sort();
    let listed: Vec<_> = list_all(store, "").expect("a list succeeds").into_iter().map(|it| it.key).collect();
    assert_eq!(listed, expected);
    assert!(is_not_found(store.head(&key("n/%E2%82%ac"))));
    assert!(is_not_found(store.head(&key("n/%252F"))));
}

pub(super) fn write_once(store: &dyn ObjectStore) {
    put(store, "w/one", body(1, 5_000));
    for other in [body(2, 5_000), body(1, 4_999), body(1, 5_001), Bytes::new()] {
        let result = store.put(&key("w/one"), other);
        assert!(matches!(result, Err(StoreError::Exists { .. })), "{result:?}");
        assert!(get(store, "w/one") == body(1, 5_000), "the object was changed");
    }
}

pub(super) fn put_again(store: &dyn ObjectStore) {
    for len in [0, 10, 1 << 20] {
        let name = key(&format!("w/{len}"));
        assert_eq!(store.put(&name, body(1, len)).expect("a put of a new key succeeds"), PutOutcome::Stored);
        let again = store.put(&name, body(1, len)).expect("the same put again succeeds");
        assert_eq!(again, PutOutcome::AlreadyThere);
    }
}

pub(super) fn absent(store: &dyn ObjectStore) {
    put(store, "a/b/c", body(1, 1));
    for name in ["x", "a/b/d", "a/x/c", "a/b", "a", "a/b/c/d"] {
        assert!(is_not_found(store.get(&key(name), 10)), "{name}");
        assert!(is_not_found(store.get_range(&key(name), 0, &mut [0])), "{name}");
        assert!(is_not_found(store.head(&key(name))), "{name}");
        assert!(!store.exists(&key(name)).expect("asking succeeds"), "{name}");
    }
    assert!(store.exists(&key("a/b/c")).expect("asking succeeds"));
}

pub(super) fn get_is_bounded(store: &dyn ObjectStore) {
    put(store, "g/100", body(1, 100));
    assert_eq!(store.get(&key("g/100"), 100).expect("100 bytes are allowed"), body(1, 100));
    let result = store.get(&key("g/100"), 99);
    assert!(matches!(result, Err(StoreError::TooLarge { len: 100, len_max: 99, .. })), "{result:?}");
    assert!(matches!(store.get(&key("g/100"), 0), Err(StoreError::TooLarge { .. })));
}

pub(super) fn ranges(store: &dyn ObjectStore) {
    let whole = body(1, 10_000);
    put(store, "r/one", whole.clone());
    for (offset, len) in [(0, 10_000), (0, 1), (9_999, 1), (4_095, 2), (1, 9_998), (0, 0), (10_000, 0)] {
        let mut out = vec![0xAA; len];
        let offset_wire = u64::try_from(offset).expect("small");
        store.get_range(&key("r/one"), offset_wire, &mut out).expect("a range inside is served");
        assert!(out == whole[offset..offset + len], "{len} bytes at {offset} differ");
    }
    for (offset, len, expected) in [(0, 10_001, 10_000), (9_999, 2, 1), (10_000, 1, 0), (10_001, 1, 0)] {
        let result = store.get_range(&key("r/one"), offset, &mut vec![0; len]);
        assert!(matches!(result, Err(StoreError::Short { got, .. }) if got == expected), "{result:?}");
    }
    let result = store.get_range(&key("r/one"), u64::MAX, &mut [0; 2]);
    assert!(matches!(result, Err(StoreError::Short { got: 0, .. })), "{result:?}");
}

pub(super) fn head(store: &dyn ObjectStore) {
    put(store, "h/one", body(1, 123));
    let info = store.head(&key("h/one")).expect("it is there");
    assert_eq!((info.len, info.key.as_str()), (123, "h/one"));
    let listed = list_all(store, "h/").expect("a list succeeds");
    assert_eq!(listed, [info]);
}

pub(super) fn delete(store: &dyn ObjectStore) {
    for name in ["d/a/1", "d/a/2", "d/b/1", "d/keep", "e"] {
        put(store, name, body(1, 100));
    }
    // An object that was read by range may still be open somewhere.
    store.get_range(&key("d/a/1"), 0, &mut [0; 10]).expect("it is there");
    store.delete(&["d/a/1", "d/a/2", "d/b/1", "e"].map(key)).expect("a delete succeeds");
    for name in ["d/a/1", "d/a/2", "d/b/1", "e"] {
        assert!(is_not_found(store.head(&key(name))), "{name}");
        assert!(is_not_found(store.get(&key(name), 100)), "{name}");
        assert!(is_not_found(store.get_range(&key(name), 0, &mut [0; 10])), "{name}");
    }
    let left: Vec<_> = list_all(store, "").expect("a list succeeds").into_iter().map(|it| it.key).collect();
    assert_eq!(left, [key("d/keep")]);
}

pub(super) fn delete_absent(store: &dyn ObjectStore) {
    put(store, "d/a/1", body(1, 1));
    store.delete(&[]).expect("nothing to delete is fine");
    store.delete(&["x", "d/x", "d/a/x", "d/a", "d/a/1/x"].map(key)).expect("absent objects are fine");
    assert_eq!(get(store, "d/a/1"), body(1, 1));
    store.delete(&["d/a/1", "d/a/1"].map(key)).expect("a key named twice is fine");
    store.delete(&["d/a/1"].map(key)).expect("a deleted object is fine");
}

pub(super) fn put_after_delete(store: &dyn ObjectStore) {
    for seed in 0..5 {
        put(store, "d/e/f/again", body(seed, 100));
        let mut out = [0; 100];
        store.get_range(&key("d/e/f/again"), 0, &mut out).expect("it is there");
        assert!(out[..] == body(seed, 100)[..], "an older object was read");
        store.delete(&[key("d/e/f/again")]).expect("a delete succeeds");
    }
}

pub(super) fn delete_is_bounded(store: &dyn ObjectStore) {
    put(store, "d/1", body(1, 1));
    let many: Vec<_> = (0..1_001).map(|n| key(&format!("d/{n}"))).collect();
    assert!(matches!(store.delete(&many), Err(StoreError::Misuse { .. })));
    assert!(store.exists(&key("d/1")).expect("asking succeeds"));
    store.delete(&many[..1_000]).expect("1,000 keys are fine");
    assert!(!store.exists(&key("d/1")).expect("asking succeeds"));
}

pub(super) fn counted(store: &dyn ObjectStore) {
    let before = store.requests();
    put(store, "c/1", body(1, 1));
    get(store, "c/1");
    let _ = store.head(&key("c/absent"));
    store.list("", None, 10).expect("a list succeeds");
    store.delete(&[key("c/1"), key("c/2")]).expect("a delete succeeds");
    let upload = store.start_upload(&key("c/3"), 1).expect("a start succeeds");
    store.abort_upload(&upload).expect("an abort succeeds");
    let after = store.requests();
    let added = RequestCounts {
        put: after.put - before.put,
        get: after.get - before.get,
        list: after.list - before.list,
        delete: after.delete - before.delete,
        multipart: after.multipart - before.multipart,
    };
    assert_eq!(added, RequestCounts { put: 1, get: 2, list: 1, delete: 1, multipart: 2 });
}

pub(super) fn clock(store: &dyn ObjectStore) {
    let now = store.now().expect("a store tells its time");
    assert!(now > UNIX_EPOCH);
    put(store, "c/1", body(1, 1));
    let modified = store.head(&key("c/1")).expect("it is there").modified.expect("a store tells times");
    let listed = store.list("c/", None, 1).expect("a list succeeds").objects;
    assert_eq!(listed[0].modified, Some(modified), "a list tells what a look-up tells");
    // One clock gives both; clocks of file systems tick coarsely, and S3 tells whole seconds.
    let tolerance = Duration::from_secs(60);
    assert!(modified + tolerance >= now, "an object of {modified:?} was put after {now:?}");
    let later: SystemTime = store.now().expect("a store tells its time");
    assert!(later + tolerance >= modified);
}
