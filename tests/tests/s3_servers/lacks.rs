//! Servers that know less than AWS: what is done without, and what is said where nothing can be.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use coffer_store::s3::Tuning;
use coffer_store::{Advice, Key, ObjectStore, PutOutcome, S3Store, StoreError};
use coffer_tests::s3::double::{self, Double, Lack};
use coffer_tests::s3::stub::{self, Stub};
use coffer_tests::s3::{Endpoint, open};

use crate::{hasty, key, patient, says};

const MIB: usize = 1 << 20;

fn store_without(lacks: &[Lack]) -> (Double, S3Store) {
    let server = Double::without(lacks);
    let store = server.endpoint().store(double::BUCKET, "p", hasty());
    (server, store)
}

/// Puts a small object and one in parts, and reads both.
fn stores(store: &dyn ObjectStore, name: &str) {
    let (small, large) = (key(&format!("{name}/small")), key(&format!("{name}/large")));
    assert_eq!(store.put(&small, Bytes::from_static(b"content")).expect("a put"), PutOutcome::Stored);
    let upload = store.start_upload(&large, 5 << 20).expect("an upload");
    let part = |number: u32, len: usize| {
        store.put_part(&upload, number, vec![number as u8; len].into()).expect("a part")
    };
    let parts = [part(1, 5 * MIB), part(2, 10)];
    store.complete_upload(&upload, &parts).expect("the parts make an object");
    assert_eq!(store.get(&small, 100).expect("it is there"), b"content");
    let mut end = [0; 20];
    store.get_range(&large, (5 * MIB - 10) as u64, &mut end).expect("it is there");
    assert_eq!(end, [[1; 10], [2; 10]].concat()[..]);
}

#[track_caller]
fn found(store: &dyn ObjectStore, words: &[&str]) {
    let findings = store.findings();
    assert_eq!(findings.len(), words.len(), "{findings:?}");
    for word in words {
        assert!(findings.iter().any(|finding| finding.contains(word)), "no `{word}`: {findings:?}");
    }
}

#[test]
fn aws_lacks_nothing() {
    let (_server, store) = store_without(&[]);
    stores(&store, "a");
    store.delete(&[key("a/small"), key("a/large")]).expect("a delete");
    found(&store, &[]);
}

#[test]
fn objects_are_deleted_one_by_one_where_lists_are_not_taken() {
    for lack in [Lack::DeleteLists, Lack::DeleteListsWithoutMd5] {
        let (server, store) = store_without(&[lack]);
        let keys: Vec<Key> = (0..50).map(|number| key(&format!("d/{number}"))).collect();
        for key in &keys {
            store.put(key, Bytes::from_static(b"x")).expect("a put");
        }
        let before = server.requests();
        store.delete(&keys).expect("one by one");
        assert_eq!(server.requests() - before, 51, "{lack:?}");
        assert!(store.list("d/", None, 10).expect("a list").objects.is_empty());
        store.delete(&keys[..2]).expect("an absent one is fine");
        assert_eq!(server.requests() - before, 51 + 1 + 2, "remembered");
        found(&store, &["one by one"]);
    }
}

#[test]
fn other_refusals_to_delete_lists_are_heard_too() {
    let answers = [(405, "MethodNotAllowed"), (400, "MalformedXML"), (501, "")];
    for (status, code) in answers {
        let server = Stub::start(move |asked| match asked.method.as_str() {
            "POST" if code.is_empty() => stub::answer(asked, status, "", ""),
            "POST" => stub::error(asked, status, "", code, ""),
            _ => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        });
        let store = server.endpoint().store("bucket", "p", hasty());
        store.delete(&[key("a"), key("b")]).expect("one by one");
        assert_eq!(server.asked().len(), 3, "{:?}", server.asked());
    }
}

#[test]
fn an_older_server_gets_crc32c_or_none() {
    let (_server, store) = store_without(&[Lack::Crc64]);
    stores(&store, "a");
    found(&store, &["checksum=crc32c"]);
    let (_server, store) = store_without(&[Lack::Checksums]);
    stores(&store, "a");
    found(&store, &["checksum=none"]);
    // Who asks for one gets it, or an error.
    let server = Double::without(&[Lack::Crc64]);
    let address = server.endpoint().address(double::BUCKET, "p", "&checksum=crc64nvme");
    let error = open(&address, hasty()).put(&key("a"), Bytes::new()).expect_err("asked for");
    says(&error, &["unknown checksum"]);
}

#[test]
fn conditions_are_left_out_where_they_are_refused() {
    let (_server, store) = store_without(&[Lack::Conditions]);
    stores(&store, "a");
    found(&store, &["conditional-put=false"]);
    let (_server, store) = store_without(&[Lack::Conditions, Lack::Checksums, Lack::DeleteLists]);
    stores(&store, "a");
    store.delete(&[key("a/small")]).expect("a delete");
    found(&store, &["conditional-put=false", "checksum=none", "one by one"]);
}

#[test]
fn a_refusal_for_another_reason_changes_nothing() {
    let server = Stub::start(|asked| match (asked.method.as_str(), asked.header("x-amz-storage-class")) {
        ("PUT", Some("ODD")) => stub::error(asked, 400, "", "InvalidStorageClass", ""),
        _ => stub::answer(asked, 200, "ETag: \"1\"\r\n", ""),
    });
    let address = server.endpoint().address("bucket", "p", "&storage-class=ODD");
    let store = open(&address, hasty());
    says(&store.put(&key("a"), Bytes::new()).expect_err("refused"), &["InvalidStorageClass"]);
    found(&store, &[]);
}

#[test]
fn a_body_that_is_too_long_names_the_switch() {
    let (server, store) = store_without(&[Lack::LongBodies]);
    let error = store.put(&key("a"), vec![0; 9 * MIB].into()).expect_err("too long");
    let words = ["EntityTooLarge", "limits the length of a request", "client_max_body_size", "part-size=5"];
    says(&error, &words);
    assert_eq!(error.advice(), Advice::Configure);
    let shorter = open(&server.endpoint().address(double::BUCKET, "p", "&part-size=5"), hasty());
    assert_eq!(shorter.shape().part_bytes, 5 << 20);
    // A proxy says the same in a page of its own.
    let proxy = Stub::start(|asked| stub::page(asked, 413, "", "413 Request Entity Too Large"));
    let store = proxy.endpoint().store("bucket", "p", patient());
    let error = store.put(&key("a"), Bytes::from_static(b"x")).expect_err("too long");
    says(&error, &["413", "part-size=5", "17 MiB"]);
    assert_eq!(proxy.asked().len(), 1, "told at once: {:?}", proxy.asked());
}

#[test]
fn clocks_too_far_apart_are_both_told() {
    let date = "Date: Tue, 01 Jan 2030 00:00:00 GMT\r\n";
    let server = Stub::start(move |asked| stub::error(asked, 403, date, "RequestTimeTooSkewed", ""));
    let store = server.endpoint().store("bucket", "p", patient());
    let error = store.get(&key("a"), 10).expect_err("skewed");
    let year = httpdate_year();
    says(
        &error,
        &["server's clock says Tue, 01 Jan 2030", "this machine's", &year, "set the one that is wrong"],
    );
    assert_eq!(error.advice(), Advice::Configure);
}

/// The year of this machine's clock, as HTTP writes it.
fn httpdate_year() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let years = now.as_secs() / (365 * 86_400 + 86_400 / 4);
    format!(" {} ", 1970 + years)
}

#[test]
fn the_region_that_the_server_names_is_reused() {
    let server = Stub::start(|asked| {
        let signed = asked.header("authorization").unwrap_or_default().to_owned();
        match signed.contains("/eu-north-7/s3/") {
            true => stub::answer(asked, 200, "ETag: \"1\"\r\n", "content"),
            false => {
                stub::error(asked, 400, "", "AuthorizationHeaderMalformed", "<Region>eu-north-7</Region>")
            }
        }
    });
    let store = server.endpoint().store("bucket", "p", patient());
    assert_eq!(store.get(&key("a"), 10).expect("after all"), b"content");
    assert_eq!(store.get(&key("a"), 10).expect("remembered"), b"content");
    assert_eq!(server.asked().len(), 3, "{:?}", server.asked());
    found(&store, &["region=eu-north-7"]);
}

#[test]
fn the_region_of_a_look_up_stands_in_its_head() {
    let server = Stub::start(|asked| {
        match asked.header("authorization").unwrap_or_default().contains("/eu-north-7/s3/") {
            true => stub::answer(asked, 200, "ETag: \"1\"\r\n", "content"),
            false => {
                stub::answer(asked, 301, "x-amz-bucket-region: eu-north-7\r\nx-amz-request-id: 1\r\n", "")
            }
        }
    });
    let store = server.endpoint().store("bucket", "p", patient());
    assert!(store.exists(&key("a")).expect("after all"));
}

#[test]
fn who_names_ever_other_regions_names_none() {
    let calls = std::sync::atomic::AtomicU32::new(0);
    let server = Stub::start(move |asked| {
        let number = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        stub::error(asked, 301, "", "PermanentRedirect", &format!("<Region>region-{number}</Region>"))
    });
    let store = server.endpoint().store("bucket", "p", patient());
    says(&store.get(&key("a"), 10).expect_err("nowhere"), &["say region=region-3 in the address"]);
}

#[test]
fn an_endpoint_may_have_a_path() {
    let server = Stub::start(|asked| match asked.target.starts_with("/storage/v1/s3/bucket/p/a?") {
        true => stub::answer(asked, 200, "ETag: \"1\"\r\n", "content"),
        false => stub::error(asked, 404, "", "NoSuchBucket", ""),
    });
    let endpoint = Endpoint { url: format!("{}/storage/v1/s3", server.endpoint().url), ca: None };
    let store = endpoint.store("bucket", "p", hasty());
    let got = store.get(&key("a"), 10);
    assert_eq!(got.unwrap_or_else(|error| panic!("{error}: {:?}", server.asked())), b"content");
    // Cut off on the way, it breaks the signature.
    let server = Stub::start(|asked| stub::error(asked, 403, "", "SignatureDoesNotMatch", ""));
    let endpoint = Endpoint { url: format!("{}/minio", server.endpoint().url), ca: None };
    let error = endpoint.store("bucket", "p", hasty()).get(&key("a"), 10).expect_err("denied");
    says(&error, &["SignatureDoesNotMatch", "the endpoint has a path"]);
}

#[test]
fn a_name_that_is_used_twice_is_told_from_one_that_is_taken() {
    let (_server, store) = store_without(&[Lack::SecondUse]);
    store.put(&key("a"), Bytes::from_static(b"x")).expect("a put");
    store.delete(&[key("a")]).expect("a delete");
    let error = store.put(&key("a"), Bytes::from_static(b"x")).expect_err("used");
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
}

#[test]
fn a_bucket_in_the_host_name_is_found_through_the_other_style() {
    // The double knows only paths; `localhost` has no buckets before it that anybody finds.
    let server = Double::start();
    let url = server.endpoint().url.replace("127.0.0.1", "localhost");
    let address = Endpoint { url, ca: None }.address(double::BUCKET, "p", "&path-style=false");
    let tuning = Tuning { connect: Duration::from_secs(2), ..patient() };
    let error = open(&address, tuning).get(&key("a"), 10).expect_err("no such host, or no such bucket");
    says(&error, &["path-style=true"]);
}

#[test]
fn parts_that_do_not_fit_are_not_joined_in_a_plainer_way() {
    let server = Stub::start(|asked| match (asked.method.as_str(), asked.asks("uploads")) {
        ("POST", true) => {
            let body =
                "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
            stub::answer(asked, 200, "Content-Type: application/xml\r\n", body)
        }
        ("POST", false) => stub::error(asked, 400, "", "InvalidPart", ""),
        _ => stub::answer(asked, 200, "ETag: \"1\"\r\n", ""),
    });
    let store = server.endpoint().store("bucket", "p", hasty());
    let upload = store.start_upload(&key("a"), 5 << 20).expect("an upload");
    let part = store.put_part(&upload, 1, Bytes::from_static(b"x")).expect("a part");
    says(&store.complete_upload(&upload, &[part]).expect_err("another part"), &["InvalidPart"]);
    let joins =
        server.asked().iter().filter(|line| line.starts_with("POST") && line.contains("uploadId")).count();
    assert_eq!(joins, 1, "{:?}", server.asked());
}
