//! Rules about uploads in parts.

use std::thread;

use bytes::Bytes;

use super::tools::{PART_LEN, body, get, is_not_found, key, put};
use crate::error::StoreError;
use crate::port::{ObjectStore, PartTag, UploadId, list_all};

fn part_len() -> u64 {
    u64::try_from(PART_LEN).expect("small")
}

fn start(store: &dyn ObjectStore, name: &str) -> UploadId {
    let upload = store.start_upload(&key(name), part_len()).expect("a start succeeds");
    assert_eq!(upload.key, key(name));
    upload
}

/// The part `number` of a whole body.
fn part(whole: &Bytes, number: u32) -> Bytes {
    let start = usize::try_from(number - 1).expect("small") * PART_LEN;
    whole.slice(start..whole.len().min(start + PART_LEN))
}

fn store_part(store: &dyn ObjectStore, upload: &UploadId, number: u32, whole: &Bytes) -> PartTag {
    let part = part(whole, number);
    let len = u64::try_from(part.len()).expect("small");
    let tag = store.put_part(upload, number, part).expect("a part is taken");
    assert_eq!((tag.number, tag.len), (number, len));
    tag
}

pub(super) fn any_order(store: &dyn ObjectStore) {
    for (name, len) in
        [("u/tail", 2 * PART_LEN + 4_097), ("u/whole", 3 * PART_LEN), ("u/byte", 2 * PART_LEN + 1)]
    {
        let whole = body(1, len);
        let upload = start(store, name);
        let mut tags: Vec<_> = [3, 1, 2].map(|number| store_part(store, &upload, number, &whole)).to_vec();
        tags.sort_by_key(|tag| tag.number);
        store.complete_upload(&upload, &tags).expect("all parts make the object");
        assert!(get(store, name) == whole, "{name} came back changed");
        assert_eq!(store.head(&key(name)).expect("it is there").len, whole.len() as u64);
    }
}

pub(super) fn single_part(store: &dyn ObjectStore) {
    let whole = body(1, 1_000);
    let upload = start(store, "u/one");
    let tag = store_part(store, &upload, 1, &whole);
    store.complete_upload(&upload, &[tag]).expect("one part makes the object");
    assert_eq!(get(store, "u/one"), whole);
    assert!(store.list_uploads("").expect("a list succeeds").is_empty());
}

pub(super) fn from_threads(store: &dyn ObjectStore) {
    let whole = body(1, 5 * PART_LEN + 12_345);
    let upload = start(store, "u/threads");
    let mut tags = thread::scope(|scope| {
        let work: Vec<_> = (1..=6)
            .rev()
            .map(|number| {
                scope.spawn({
                    let (upload, whole) = (&upload, &whole);
                    move || store_part(store, upload, number, whole)
                })
            })
            .collect();
        work.into_iter().map(|it| it.join().expect("a part is taken")).collect::<Vec<_>>()
    });
    tags.sort_by_key(|tag| tag.number);
    store.complete_upload(&upload, &tags).expect("all parts make the object");
    assert!(get(store, "u/threads") == whole, "the object came back changed");
}

pub(super) fn appears_at_complete(store: &dyn ObjectStore) {
    let whole = body(1, PART_LEN + 1);
    let upload = start(store, "u/late");
    let tags = [1, 2].map(|number| store_part(store, &upload, number, &whole));
    assert!(is_not_found(store.head(&key("u/late"))));
    assert!(list_all(store, "").expect("a list succeeds").is_empty());
    store.complete_upload(&upload, &tags).expect("all parts make the object");
    assert_eq!(list_all(store, "").expect("a list succeeds").len(), 1);
    // The upload is over.
    let again = store.complete_upload(&upload, &tags);
    assert!(matches!(again, Err(StoreError::NoSuchUpload { .. })), "{again:?}");
    let late = store.put_part(&upload, 1, part(&whole, 1));
    assert!(matches!(late, Err(StoreError::NoSuchUpload { .. })), "{late:?}");
    store.abort_upload(&upload).expect("aborting what is complete is fine");
    assert!(get(store, "u/late") == whole, "the complete object was changed");
}

pub(super) fn wrong_parts(store: &dyn ObjectStore) {
    let whole = body(1, 2 * PART_LEN + 10);
    let upload = start(store, "u/wrong");
    let refused = |number, body| match store.put_part(&upload, number, body) {
        Err(StoreError::Misuse { .. }) => {}
        other => panic!("part {number} was not refused: {other:?}"),
    };
    refused(0, part(&whole, 1));
    refused(10_001, part(&whole, 1));
    refused(1, whole.slice(..PART_LEN + 1));
    refused(1, Bytes::new());
    assert!(matches!(store.start_upload(&key("u/zero"), 0), Err(StoreError::Misuse { .. })));

    let [one, two, three] = [1, 2, 3].map(|number| store_part(store, &upload, number, &whole));
    let forged = PartTag { number: 3, len: three.len, tag: "forged".to_owned() };
    let wrong_len = PartTag { number: 3, len: three.len + 1, ..three.clone() };
    let lists = [
        vec![],
        vec![one.clone(), three.clone()],
        vec![two.clone(), one.clone(), three.clone()],
        vec![one.clone(), two.clone()],
        vec![one.clone(), two.clone(), two.clone()],
        vec![two.clone(), three.clone()],
        vec![one.clone(), two.clone(), forged],
        vec![one.clone(), two.clone(), wrong_len],
        vec![one.clone(), two.clone(), three.clone(), PartTag { number: 4, ..three.clone() }],
    ];
    for tags in lists {
        let result = store.complete_upload(&upload, &tags);
        assert!(matches!(result, Err(StoreError::Misuse { .. })), "{result:?} for {tags:?}");
    }
    assert!(!store.exists(&key("u/wrong")).expect("asking succeeds"));
    store.complete_upload(&upload, &[one, two, three]).expect("the right parts make the object");
    assert!(get(store, "u/wrong") == whole, "the object came back changed");
}

pub(super) fn part_again(store: &dyn ObjectStore) {
    let whole = body(1, PART_LEN + 10);
    let upload = start(store, "u/again");
    store_part(store, &upload, 1, &whole);
    store_part(store, &upload, 2, &whole);
    let tags = [1, 2].map(|number| store_part(store, &upload, number, &whole));
    let longer = store.put_part(&upload, 2, body(1, 11));
    assert!(matches!(longer, Err(StoreError::Misuse { .. })), "{longer:?}");
    store.complete_upload(&upload, &tags).expect("the last receipts count");
    assert!(get(store, "u/again") == whole, "the object came back changed");
}

pub(super) fn write_once(store: &dyn ObjectStore) {
    let whole = body(1, 100);
    put(store, "u/taken", body(2, 100));
    let upload = start(store, "u/taken");
    let tag = store_part(store, &upload, 1, &whole);
    let result = store.complete_upload(&upload, std::slice::from_ref(&tag));
    assert!(matches!(result, Err(StoreError::Exists { .. })), "{result:?}");
    assert_eq!(get(store, "u/taken"), body(2, 100));
    store.abort_upload(&upload).expect("an abort succeeds");

    put(store, "u/same", whole.clone());
    let upload = start(store, "u/same");
    let tag = store_part(store, &upload, 1, &whole);
    store.complete_upload(&upload, &[tag]).expect("the same bytes are a success");
    assert_eq!(get(store, "u/same"), whole);
    assert!(store.list_uploads("").expect("a list succeeds").is_empty());
}

pub(super) fn abort(store: &dyn ObjectStore) {
    let whole = body(1, 100);
    let upload = start(store, "u/abort");
    let tag = store_part(store, &upload, 1, &whole);
    store.abort_upload(&upload).expect("an abort succeeds");
    store.abort_upload(&upload).expect("an abort again succeeds");
    assert!(store.list_uploads("").expect("a list succeeds").is_empty());
    assert!(matches!(store.put_part(&upload, 2, whole.clone()), Err(StoreError::NoSuchUpload { .. })));
    assert!(matches!(store.complete_upload(&upload, &[tag]), Err(StoreError::NoSuchUpload { .. })));
    assert!(!store.exists(&key("u/abort")).expect("asking succeeds"));
    let unknown = UploadId { key: key("u/abort"), id: "../u/other".to_owned() };
    store.abort_upload(&unknown).expect("an unknown upload is gone already");
    put(store, "u/abort", whole);
}

pub(super) fn listed_by_name(store: &dyn ObjectStore) {
    let uploads = [start(store, "u/name/1"), start(store, "u/name/2"), start(store, "u/name/2")];
    let found = |name: &str| {
        let found = store.list_uploads(name).expect("a list succeeds");
        found.into_iter().map(|it| it.upload).collect::<Vec<_>>()
    };
    assert_eq!(found("u/name/1"), uploads[..1]);
    let both = found("u/name/2");
    assert!(both.len() == 2 && both.contains(&uploads[1]) && both.contains(&uploads[2]), "{both:?}");
    for upload in &uploads {
        store.abort_upload(upload).expect("an abort succeeds");
    }
    assert_eq!((found("u/name/1"), found("u/name/2")), (vec![], vec![]));
}

pub(super) fn listed(store: &dyn ObjectStore) {
    assert!(store.list_uploads("").expect("a list succeeds").is_empty());
    let before = store.now().expect("a store tells its time");
    let names = ["u/a/1", "u/a/2", "u/b/1"];
    let uploads = names.map(|name| start(store, name));
    store_part(store, &uploads[1], 1, &body(1, 1_000));
    let found = |prefix: &str| {
        let mut found = store.list_uploads(prefix).expect("a list succeeds");
        found.sort_by(|a, b| a.upload.key.cmp(&b.upload.key));
        found
    };
    let ids = |prefix: &str| found(prefix).into_iter().map(|it| it.upload).collect::<Vec<_>>();
    assert_eq!(ids(""), uploads);
    assert_eq!(ids("u/a/"), uploads[..2]);
    assert_eq!(ids("u/b"), uploads[2..]);
    assert_eq!(ids("x"), []);
    let tolerance = std::time::Duration::from_secs(60);
    assert!(found("").iter().all(|it| it.started + tolerance >= before));
    assert!(list_all(store, "").expect("a list succeeds").is_empty());
    for upload in &uploads {
        store.abort_upload(upload).expect("an abort succeeds");
    }
    assert_eq!(ids(""), []);
}
