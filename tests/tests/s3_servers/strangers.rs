//! Answers that are not S3's: named with what answered; and answers of S3 that come in another form than most.

use std::time::Instant;

use bytes::Bytes;
use coffer_store::{Advice, ObjectStore, StoreError};
use coffer_tests::s3::stub::{self, Asked, Stub};

use crate::{ESTABLISHED, hasty, key, patient, says};

type Try = fn(&dyn ObjectStore) -> Result<(), StoreError>;

/// Requests of every form: with and without a body, each with another kind of answer.
const TRIES: [(&str, Try); 6] = [
    ("put", |store| store.put(&key("a"), Bytes::from_static(b"x")).map(drop)),
    ("get", |store| store.get(&key("a"), 100).map(drop)),
    ("range", |store| store.get_range(&key("a"), 0, &mut [0; 4])),
    ("head", |store| store.exists(&key("a")).map(drop)),
    ("list", |store| store.list("", None, 10).map(drop)),
    ("delete", |store| store.delete(&[key("a")])),
];

/// Each request ends within the little patience, and says this.
fn each_says(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static, words: &[&str]) {
    let server = Stub::start(answer);
    let endpoint = server.endpoint();
    for (name, attempt) in TRIES {
        let began = Instant::now();
        let error = attempt(&endpoint.store("bucket", "p", patient())).expect_err(name);
        let text = says(&error, words);
        assert!(text.contains(&endpoint.url), "{name} does not name the endpoint: {text}");
        assert_eq!(error.advice(), Advice::Configure, "{name}: {text}");
        assert!(began.elapsed() < ESTABLISHED, "{name} waited as for an outage");
    }
}

#[test]
fn the_page_of_a_console_is_named() {
    each_says(
        |asked| stub::page(asked, 200, "ETag: \"1\"\r\n", "MinIO\u{1b}[31m Console"),
        &["is not S3", "answer 200", "text/html", "MinIO [31m Console", "endpoint=", "console"],
    );
}

#[test]
fn a_portal_that_redirects_is_named() {
    each_says(
        |asked| stub::page(asked, 302, "Location: http://portal.example/login\r\n", "Please log in"),
        &["is not S3", "answer 302", "http://portal.example/login", "Please log in", "HTTPS_PROXY"],
    );
}

#[test]
fn an_api_of_something_else_is_named() {
    each_says(
        |asked| stub::answer(asked, 404, "Content-Type: application/json\r\n", "{\"detail\":\"Not Found\"}"),
        &["is not S3", "answer 404", "application/json", "Not Found"],
    );
}

#[test]
fn the_page_of_a_proxy_that_denies_is_told_at_once() {
    let server = Stub::start(|asked| stub::page(asked, 403, "", "Blocked by policy"));
    let store = server.endpoint().store("bucket", "p", patient());
    let error = store.get(&key("a"), 10).expect_err("blocked");
    says(&error, &["denied", "answer 403", "Blocked by policy", "not S3's"]);
    assert_eq!(server.asked().len(), 1, "{:?}", server.asked());
}

#[test]
fn an_outage_of_a_gateway_is_none_of_s3_either() {
    let server = Stub::start(|asked| stub::page(asked, 502, "", "Bad gateway"));
    let store = server.endpoint().store("bucket", "p", patient());
    let error = store.get(&key("a"), 10).expect_err("nobody is there");
    says(&error, &["answer 502", "text/html", "Bad gateway", &server.endpoint().url]);
    assert_eq!(error.advice(), Advice::Retry);
}

#[test]
fn patience_begins_with_the_first_word_of_s3() {
    let calls = std::sync::atomic::AtomicU32::new(0);
    let server = Stub::start(move |asked| match calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => stub::error(asked, 404, "", "NoSuchKey", ""),
        1..12 => stub::page(asked, 200, "", "Be back soon"),
        _ => stub::answer(asked, 200, "ETag: \"1\"\r\n", "content"),
    });
    let store = server.endpoint().store("bucket", "p", patient());
    assert!(matches!(store.get(&key("a"), 100), Err(StoreError::NotFound { .. })));
    // Eleven pages take longer than the little patience: now they are an outage.
    assert_eq!(store.get(&key("a"), 100).expect("it comes back"), b"content");
}

#[test]
fn an_answer_in_chunks_is_as_good_as_one_with_a_length() {
    let server = Stub::start(|asked| {
        let body = match asked.header("range") {
            None => "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
            Some("bytes=2-3") => "1\r\nc\r\n1\r\nd\r\n0\r\n\r\n",
            Some(_) => "1\r\ng\r\n0\r\n\r\n",
        };
        format!(
            "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n{}\r\n{body}",
            range_line(asked)
        )
        .into_bytes()
    });
    let store = server.endpoint().store("bucket", "p", hasty());
    assert_eq!(store.get(&key("a"), 7).expect("seven bytes"), b"abcdefg");
    let mut two = [0; 2];
    store.get_range(&key("a"), 2, &mut two).expect("two bytes");
    assert_eq!(&two, b"cd");
    let error = store.get(&key("a"), 6).expect_err("one too many");
    assert!(matches!(error, StoreError::TooLarge { len_max: 6, .. }), "{error:?}");
    let error = store.get_range(&key("a"), 6, &mut [0; 5]).expect_err("it ends");
    assert!(matches!(error, StoreError::Short { got: 1, .. }), "{error:?}");
}

fn range_line(asked: &Asked) -> String {
    match asked.header("range") {
        Some("bytes=2-3") => "Content-Range: bytes 2-3/7\r\n".to_owned(),
        Some(_) => "Content-Range: bytes 6-6/7\r\n".to_owned(),
        None => String::new(),
    }
}

#[test]
fn an_answer_whose_end_nobody_can_tell_is_not_believed() {
    let server = Stub::start(|_| b"HTTP/1.0 200 OK\r\nETag: \"1\"\r\nConnection: close\r\n\r\nabc".to_vec());
    let store = server.endpoint().store("bucket", "p", hasty());
    says(&store.get(&key("a"), 7).expect_err("cut or not"), &["without a length"]);
}

#[test]
fn that_an_object_exists_needs_no_length() {
    let server = Stub::start(|asked| match (asked.method.as_str(), asked.target.contains("/empty")) {
        ("HEAD", _) => b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        (_, true) => stub::error(asked, 416, "", "InvalidRange", ""),
        _ => stub::answer(asked, 206, "ETag: \"1\"\r\nContent-Range: bytes 0-0/4711\r\n", "x"),
    });
    let store = server.endpoint().store("bucket", "p", hasty());
    assert!(store.exists(&key("a")).expect("it is there"));
    assert_eq!(server.asked().len(), 1, "one HEAD: {:?}", server.asked());
    assert_eq!(store.head(&key("a")).expect("it is there").len, 4711);
    assert_eq!(store.head(&key("empty")).expect("it is there").len, 0);
}

#[test]
fn a_server_without_ranges_is_given_up_soon() {
    let server = Stub::start(|asked| stub::answer(asked, 200, "ETag: \"1\"\r\n", "0123456789"));
    let store = server.endpoint().store("bucket", "p", patient());
    store.exists(&key("a")).expect("it speaks S3");
    says(
        &store.get_range(&key("a"), 2, &mut [0; 4]).expect_err("all of it"),
        &["4 bytes at 2 were asked for"],
    );
}

/// What a test sends in place of a document that never ends.
const LONG: usize = 20 << 20;

#[test]
fn no_answer_is_read_for_ever() {
    let server = Stub::start(|asked| {
        let filler = "x".repeat(LONG);
        match asked.asks("list-type") {
            true => stub::list(asked, &[], false, &format!("<Name>{filler}</Name>")),
            false => stub::error(asked, 400, "", "InvalidArgument", &filler),
        }
    });
    let store = server.endpoint().store("bucket", "p", patient());
    says(&store.list("", None, 10).expect_err("too long"), &["an answer 200 of more than 16777216 bytes"]);
    says(&store.get(&key("a"), 10).expect_err("too long"), &["an answer 400 of more than 65536 bytes"]);
}
