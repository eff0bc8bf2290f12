//! Whether an answer is one of S3 at all: consoles, login pages, captive portals and gateways answer, too.
//!
//! Pure: status, headers and the first bytes of a body. What is shown of a stranger's answer is made printable and short.

use http::{HeaderMap, Method, header};

/// The most that is read of an answer that is no success, bytes.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;
/// The most that is read of any other answer that is held whole, bytes. A page of 1,000 of the longest names has about 4 MiB.
pub(super) const PAGE_BYTES_MAX: usize = 16 << 20;
/// Characters that are shown of a stranger's words.
const WORDS_MAX: usize = 100;
/// Characters that are shown of a header.
const HEADER_MAX: usize = 200;

/// What S3 calls the documents that it answers with.
const ROOTS: &[&str] = &[
    "Error",
    "ListBucketResult",
    "ListMultipartUploadsResult",
    "ListPartsResult",
    "InitiateMultipartUploadResult",
    "CompleteMultipartUploadResult",
    "DeleteResult",
    "ListAllMyBucketsResult",
    "LocationConstraint",
];

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// A server that speaks S3.
    S3,
    /// Something else.
    Other,
    /// Nothing in the answer tells.
    Unknown,
}

/// What cannot be passed on of an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerFault {
    /// Something else than S3 answers; what it said.
    #[error("{words}")]
    NotS3 {
        /// Its status.
        status: u16,
        /// What it said.
        words: String,
    },
    /// It does not end where any answer of S3 has ended.
    #[error("an answer {status} of more than {max} bytes, which no answer of S3 has")]
    TooLong {
        /// Its status.
        status: u16,
        /// The most that is read, bytes.
        max: usize,
    },
    /// It has neither a length nor chunks, so nobody can tell its end from a break.
    #[error("an answer without a length, without a range and not in chunks, whose end nobody can tell")]
    Endless,
}

/// Who gave an answer. `body` is `None` where it is not read yet.
pub(super) fn speaker(method: &Method, status: u16, headers: &HeaderMap, body: Option<&[u8]>) -> Speaker {
    let success = (200..300).contains(&status);
    let html = content_type(headers).is_some_and(|kind| kind.starts_with("text/html"));
    // A cache in front of anything sends the latter.
    let marked = headers.keys().map(header::HeaderName::as_str);
    let marked = marked.into_iter().any(|name| name.starts_with("x-amz-") && !name.starts_with("x-amz-cf-"));
    let tagged = success && headers.contains_key(header::ETAG);
    if body.is_some_and(is_document) || (marked && (success || !html)) || (tagged && !html) {
        return Speaker::S3;
    }
    let silent = body.is_none_or(<[u8]>::is_empty);
    let passes = status >= 500 || matches!(status, 408 | 413 | 429);
    match () {
        () if success && html => Speaker::Other,
        () if passes || silent => Speaker::Unknown,
        () if *method == Method::HEAD || matches!(status, 204 | 304) => Speaker::Unknown,
        () => Speaker::Other,
    }
}

/// What a stranger said: status, where it sends us, kind and first words.
pub(super) fn words(status: u16, headers: &HeaderMap, body: &[u8]) -> String {
    let mut text = format!("answer {status}");
    let header = |name| headers.get(name).map(|value| printable(value.as_bytes(), HEADER_MAX));
    if let Some(place) = header(header::LOCATION) {
        text.push_str(&format!(" that sends us to {place}"));
    }
    if let Some(kind) = header(header::CONTENT_TYPE) {
        text.push_str(&format!(", {kind}"));
    }
    let said = first_words(body);
    if !said.is_empty() {
        text.push_str(&format!(", “{said}”"));
    }
    text
}

/// The region that an answer names, if it can be one: it becomes part of a host name.
pub(super) fn region(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let header = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let found = header.or_else(|| {
        let text = String::from_utf8_lossy(body);
        let (_, rest) = text.split_once("<Region>")?;
        rest.split_once("</Region>").map(|(name, _)| name.trim().to_owned())
    })?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ((1..=64).contains(&found.len()) && found.bytes().all(plain)).then_some(found)
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

/// Whether a body begins as a document of S3.
fn is_document(body: &[u8]) -> bool {
    let head = String::from_utf8_lossy(body.get(..512).unwrap_or(body)).into_owned();
    let mut rest = head.trim_start_matches('\u{feff}').trim_start();
    while rest.starts_with("<?") || rest.starts_with("<!--") {
        let Some((_, after)) = rest.split_once('>') else { return false };
        rest = after.trim_start();
    }
    let Some(rest) = rest.strip_prefix('<') else { return false };
    let name = rest.split(|sign: char| sign.is_whitespace() || matches!(sign, '>' | '/')).next();
    name.is_some_and(|name| ROOTS.contains(&name))
}

/// The first words for a person: without the tags, where anything is left then.
fn first_words(body: &[u8]) -> String {
    let body = body.get(..4_096).unwrap_or(body);
    let mut bare = Vec::with_capacity(body.len());
    let mut inside = false;
    for byte in body {
        match byte {
            b'<' => inside = true,
            b'>' => {
                inside = false;
                bare.push(b' ');
            }
            byte if !inside => bare.push(*byte),
            _ => {}
        }
    }
    let words = printable(&bare, WORDS_MAX);
    if words.is_empty() { printable(body, WORDS_MAX) } else { words }
}

/// Text of a stranger: one line, without controls and without marks that turn the writing round.
pub(super) fn printable(bytes: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|sign: char| sign.is_whitespace() || sign.is_control());
    let mut line = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|sign| !turns(*sign)));
    }
    match line.char_indices().nth(max) {
        None => line.trim().to_owned(),
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
    }
}

/// Marks without a shape of their own: they reorder or hide what stands around them.
fn turns(sign: char) -> bool {
    matches!(sign, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_server_that_speaks_s3_is_told_from_all_others() {
        let check = |method, status, pairs: &[(&'static str, &'static str)], body: &str, expected| {
            let found = speaker(&method, status, &headers(pairs), Some(body.as_bytes()));
            assert_eq!(found, expected, "{method} {status} {pairs:?} {body}");
        };
        let html = ("content-type", "text/html; charset=utf-8");
        let error = "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code></Error>";
        check(Method::GET, 404, &[], error, Speaker::S3);
        check(Method::GET, 200, &[], "<ListBucketResult xmlns=\"x\"/>", Speaker::S3);
        check(Method::PUT, 200, &[("etag", "\"1\"")], "", Speaker::S3);
        check(Method::DELETE, 204, &[("x-amz-request-id", "1")], "", Speaker::S3);
        check(Method::HEAD, 404, &[("x-amz-request-id", "1")], "", Speaker::S3);
        check(Method::GET, 200, &[html, ("etag", "\"1\"")], "<!doctype html><title>Console", Speaker::Other);
        check(Method::HEAD, 200, &[html, ("etag", "\"1\"")], "", Speaker::Other);
        check(Method::PUT, 302, &[html, ("location", "http://login/")], "<html>", Speaker::Other);
        check(Method::GET, 404, &[], "404 page not found", Speaker::Other);
        check(Method::GET, 200, &[("content-type", "application/json")], "{}", Speaker::Other);
        check(Method::GET, 404, &[html, ("x-amz-request-id", "1")], "<html>a website</html>", Speaker::Other);
        check(Method::GET, 403, &[("x-amz-cf-id", "1")], "<HTML>of a cache</HTML>", Speaker::Other);
        check(Method::GET, 200, &[], "<Errors/>", Speaker::Other);
        check(Method::GET, 502, &[html], "<html>bad gateway</html>", Speaker::Unknown);
        check(Method::PUT, 413, &[html], "<html>too large</html>", Speaker::Unknown);
        check(Method::HEAD, 404, &[html], "", Speaker::Unknown);
        check(Method::DELETE, 204, &[], "", Speaker::Unknown);
    }

    #[test]
    fn a_region_is_taken_only_if_it_can_be_one() {
        let error = |name: &str| {
            format!("<Error><Code>AuthorizationHeaderMalformed</Code><Region>{name}</Region></Error>")
        };
        let of = |headers: HeaderMap, body: &str| region(&headers, body.as_bytes());
        assert_eq!(of(headers(&[("x-amz-bucket-region", "eu-west-1")]), "").as_deref(), Some("eu-west-1"));
        assert_eq!(of(HeaderMap::new(), &error("garage")).as_deref(), Some("garage"));
        for name in ["", "evil.example", "a/b", "A", &"x".repeat(65)] {
            assert_eq!(of(HeaderMap::new(), &error(name)), None, "{name}");
        }
        assert_eq!(of(HeaderMap::new(), "<Error/>"), None);
    }

    #[test]
    fn what_a_stranger_says_is_short_and_printable() {
        let page = "<!DOCTYPE html>\n<html><head><title>MinIO\u{202e} Console\x1b[31m</title>";
        let said = words(200, &headers(&[("content-type", "text/html")]), page.as_bytes());
        assert_eq!(said, "answer 200, text/html, “MinIO Console [31m”");
        let away = headers(&[("location", "http://portal.example/login")]);
        assert_eq!(words(302, &away, b""), "answer 302 that sends us to http://portal.example/login");
        assert_eq!(first_words(b"<a href=x>"), "<a href=x>");
        let long = first_words(&[b'a'; 5_000]);
        assert_eq!(long.chars().count(), WORDS_MAX + 1, "{long}");
    }
}
