//! Credentials that cannot be sent, and such as end in the middle of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use coffer_store::s3::{Credentials, Tuning};
use coffer_store::{Advice, ObjectStore, StoreError};
use coffer_tests::s3::credentials;
use coffer_tests::s3::stub::{self, Asked, Stub};
use coffer_tests::s3::{ACCESS_KEY, SECRET_KEY};

use crate::{key, patient, says};

#[test]
fn a_blank_or_line_end_is_told_before_any_request() {
    let server = Stub::start(|asked| stub::answer(asked, 200, "ETag: \"1\"\r\n", ""));
    let given = [("hunter2\n", SECRET_KEY, "access key id"), (ACCESS_KEY, " hunter2", "secret access key")];
    for (access, secret, what) in given {
        let tuning = Tuning { credentials: Some(credentials(access, secret)), ..patient() };
        let store = server.endpoint().store("bucket", "p", tuning);
        let error = store.get(&key("a"), 10).expect_err("cannot be sent");
        let text = says(&error, &[what, "no request was made"]);
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(error.advice(), Advice::Configure);
    }
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

/// Gives another key each time it is asked.
#[derive(Debug, Default)]
struct Turning(Arc<AtomicU32>);

impl coffer_tests::s3::Provider for Turning {
    fn give(&self) -> Credentials {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        Credentials::new(format!("key{number}"), SECRET_KEY, None, None, "tests")
    }
}

fn signed_by(asked: &Asked, name: &str) -> bool {
    asked.header("authorization").is_some_and(|line| line.contains(&format!("Credential={name}/")))
}

#[test]
fn credentials_are_read_again_when_the_server_says_expired() {
    for (status, code) in [(400, "ExpiredToken"), (403, "InvalidAccessKeyId"), (403, "InvalidToken")] {
        let server =
            Stub::start(move |asked| match signed_by(asked, "key0") && asked.target.contains("/late") {
                true => stub::error(asked, status, "", code, ""),
                false => stub::answer(asked, 200, "ETag: \"1\"\r\n", "content"),
            });
        let turning = Turning::default();
        let given = turning.0.clone();
        let tuning = Tuning { credentials: Some(coffer_tests::s3::provider(turning)), ..patient() };
        let store = server.endpoint().store("bucket", "p", tuning);
        assert_eq!(store.get(&key("early"), 10).expect("they hold"), b"content");
        assert_eq!(store.get(&key("late"), 10).expect("read again"), b"content");
        assert_eq!(given.load(Ordering::SeqCst), 2, "{code}");
    }
}

#[test]
fn credentials_that_stay_refused_end_the_request_soon() {
    let server = Stub::start(|asked| stub::error(asked, 403, "", "InvalidAccessKeyId", ""));
    let store = server.endpoint().store("bucket", "p", patient());
    let error = store.get(&key("a"), 10).expect_err("refused");
    says(&error, &["InvalidAccessKeyId", "also when they were read again"]);
    assert!(matches!(error, StoreError::Denied { .. }));
    assert_eq!(server.asked().len(), 2, "the same once more, and no more: {:?}", server.asked());
}

#[test]
fn credentials_that_worked_and_stay_refused_are_read_a_few_times() {
    let server = Stub::start(|asked| match asked.target.contains("/late") {
        true => stub::error(asked, 400, "", "ExpiredToken", ""),
        false => stub::answer(asked, 200, "ETag: \"1\"\r\n", "content"),
    });
    let store = server.endpoint().store("bucket", "p", patient());
    store.get(&key("early"), 10).expect("they hold");
    says(&store.get(&key("late"), 10).expect_err("refused"), &["ExpiredToken"]);
    assert_eq!(server.asked().len(), 1 + 5, "{:?}", server.asked());
}
