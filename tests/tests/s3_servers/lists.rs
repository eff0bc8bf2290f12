//! Lists are followed to their end, and never for ever.

use coffer_store::{Advice, ObjectStore, list_all};
use coffer_tests::s3::double::{self, Double, Lack};
use coffer_tests::s3::stub::{self, Asked, Stub};

use crate::{hasty, key, patient, says};

#[test]
fn a_list_that_begins_anew_is_refused_after_the_first_repeat() {
    let server = Double::without(&[Lack::StartAfter]);
    for number in 0..1_001 {
        server.hold(&format!("p/{number:04}"), "x".into());
    }
    let store = server.endpoint().store(double::BUCKET, "p", patient());
    let error = list_all(&store, "").expect_err("it never ends");
    says(&error, &["does not go on after `0999`", "goes back to `0000`", "no repository can be kept there"]);
    assert_eq!(error.advice(), Advice::Configure);
    // The first page, and the second by the server's token and by the name.
    assert_eq!(server.requests(), 3);
}

/// Two pages by the server's tokens; `start-after` is ignored.
fn by_token(asked: &Asked) -> Vec<u8> {
    match asked.query("continuation-token") {
        Some("1") => stub::list(asked, &["p/c"], false, ""),
        _ => stub::list(asked, &["p/a", "p/b"], true, "<NextContinuationToken>1</NextContinuationToken>"),
    }
}

#[test]
fn a_server_that_knows_only_its_tokens_is_followed_by_them() {
    let server = Stub::start(by_token);
    let store = server.endpoint().store("bucket", "p", hasty());
    let keys: Vec<_> = list_all(&store, "").expect("a list").into_iter().map(|object| object.key).collect();
    assert_eq!(keys, [key("a"), key("b"), key("c")]);
}

#[test]
fn empty_pages_between_others_are_followed() {
    let server = Stub::start(|asked| match asked.query("continuation-token") {
        None => stub::list(asked, &[], true, "<NextContinuationToken>1</NextContinuationToken>"),
        Some("1") => stub::list(asked, &[], true, "<NextContinuationToken>2</NextContinuationToken>"),
        Some(_) => stub::list(asked, &["p/a"], false, ""),
    });
    let store = server.endpoint().store("bucket", "p", hasty());
    assert_eq!(list_all(&store, "").expect("a list").len(), 1);
}

#[test]
fn empty_pages_that_never_end_are_refused() {
    let server = Stub::start(|asked| {
        let next: u32 =
            asked.query("continuation-token").map_or(0, |token| token.parse().expect("a number")) + 1;
        stub::list(asked, &[], true, &format!("<NextContinuationToken>{next}</NextContinuationToken>"))
    });
    let store = server.endpoint().store("bucket", "p", patient());
    says(&list_all(&store, "").expect_err("it never ends"), &["100 empty pages"]);
}

#[test]
fn an_empty_page_that_repeats_itself_is_given_up_soon() {
    let server =
        Stub::start(|asked| stub::list(asked, &[], true, "<NextContinuationToken>1</NextContinuationToken>"));
    let store = server.endpoint().store("bucket", "p", patient());
    says(&list_all(&store, "").expect_err("it never ends"), &["an empty page of a list that goes on"]);
}

#[test]
fn a_server_that_knows_no_prefix_is_given_up_soon() {
    let server = Stub::start(|asked| stub::list(asked, &["other/a"], false, ""));
    let store = server.endpoint().store("bucket", "p", patient());
    says(&list_all(&store, "").expect_err("of others"), &["does not begin with what was asked for"]);
}

#[test]
fn uploads_that_begin_anew_are_refused_after_the_first_repeat() {
    let server = Stub::start(|asked| {
        let body = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>p/a</NextKeyMarker>\
                    <NextUploadIdMarker>1</NextUploadIdMarker><Upload><Key>p/a</Key><UploadId>1</UploadId></Upload>\
                    </ListMultipartUploadsResult>";
        stub::answer(asked, 200, "Content-Type: application/xml\r\n", body)
    });
    let store = server.endpoint().store("bucket", "p", patient());
    says(&store.list_uploads("").expect_err("it never ends"), &["does not go on after `p/a` (1)"]);
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
}
