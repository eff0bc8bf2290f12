//! The parts of an `s3://` address and the values of its switches: text -> checked values.
//!
//! Pure. An error never repeats a value, as it may be a secret.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::error::UrlError;
use super::switches::PART_MIB_MIN;
use crate::key::Key;

/// The longest prefix in bytes: with a key of 900 bytes it stays below S3's limit of 1,024.
pub const PREFIX_LEN_MAX: usize = 120;
/// The most that `patience` may say, seconds: a day.
const PATIENCE_SECONDS_MAX: u64 = 86_400;
/// The longest part, MiB: it is held in memory.
const PART_MIB_MAX: u64 = 512;
/// S3 takes 10 tags per object.
const TAGS_MAX: usize = 10;

/// A checksum that goes with every object, for the server to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// CRC-64/NVME, which S3 itself keeps.
    Crc64Nvme,
    /// CRC-32C, for servers that do not know it.
    Crc32c,
    /// None.
    None,
}

impl Checksum {
    /// As the address names it.
    pub fn name(self) -> &'static str {
        match self {
            Checksum::Crc64Nvme => "crc64nvme",
            Checksum::Crc32c => "crc32c",
            Checksum::None => "none",
        }
    }
}

/// Encryption by the server, besides Coffer's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEncryption {
    /// With keys of S3.
    S3,
    /// With a key of KMS; the bucket's default key where `None`.
    Kms(Option<String>),
}

/// When bodies are part of a request's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignPayload {
    /// Where no TLS protects them.
    Auto,
    /// Always: some buckets refuse unsigned bodies.
    Always,
    /// Never.
    Never,
}

pub(super) fn malformed(what: &'static str) -> UrlError {
    UrlError::S3Malformed { what }
}

pub(super) fn switch(name: &str, what: &'static str) -> UrlError {
    UrlError::S3Switch { name: known_charset(name), what }
}

/// A switch's name as it may be shown: what a person mistyped, and nothing that looks like a secret.
pub(super) fn known_charset(name: &str) -> String {
    let plain = name.len() <= 24
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'_');
    if plain { name.to_owned() } else { "…".to_owned() }
}

pub(super) fn bucket(host: &str) -> Result<String, UrlError> {
    if host.is_empty() {
        return Err(malformed("names no bucket"));
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if !(3..=63).contains(&host.len()) || !host.bytes().all(plain) {
        return Err(malformed("names no possible bucket (3 to 63 of a-z, 0-9, `-`, `.`, `_`)"));
    }
    Ok(host.to_owned())
}

pub(super) const PREFIX_FAULT: &str =
    "has a prefix with other signs than 0-9A-Za-z._%+=@,~- between single slashes, or with `.` or `..`";

/// Whether a part of the path is `.` or `..`, written in any way: reading the address would resolve it without a word.
pub(super) fn has_dots(text: &str) -> bool {
    let before_switches = text.split(['?', '#']).next().unwrap_or_default();
    before_switches.split('/').any(|part| matches!(&*Cow::from(percent_decode_str(part)), b"." | b".."))
}

pub(super) fn prefix(path: &str) -> Result<String, UrlError> {
    let text = percent_decode_str(path.trim_matches('/')).decode_utf8();
    let text = text.map_err(|_| malformed("has a prefix that is no UTF-8"))?.into_owned();
    if text.len() > PREFIX_LEN_MAX {
        return Err(malformed("has a prefix of more than 120 bytes"));
    }
    if !text.is_empty() && Key::new(text.as_str()).is_err() {
        return Err(malformed(PREFIX_FAULT));
    }
    Ok(text)
}

pub(super) fn endpoint(value: &str) -> Result<String, UrlError> {
    let fault = || {
        switch("endpoint", "is not of the form https://host or http://host:port, with a plain path at most")
    };
    let url = Url::parse(value).map_err(|_| fault())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && !has_dots(value)
        && url.path().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte))
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url.as_str().trim_end_matches('/').to_owned()) } else { Err(fault()) }
}

pub(super) fn word(name: &str, value: &str) -> Result<String, UrlError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if value.len() <= 64 && value.bytes().all(plain) {
        return Ok(value.to_owned());
    }
    Err(switch(name, "has other signs than letters, digits, `-` and `_`, or more than 64"))
}

pub(super) fn boolean(name: &str, value: &str) -> Result<bool, UrlError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(switch(name, "is neither true nor false")),
    }
}

pub(super) fn encryption(
    value: &str,
    before: Option<ServerEncryption>,
) -> Result<ServerEncryption, UrlError> {
    match (value, before) {
        ("s3", None) => Ok(ServerEncryption::S3),
        ("s3", Some(_)) => Err(switch("sse-kms-key", "needs sse=kms")),
        ("kms", Some(kms)) => Ok(kms),
        ("kms", None) => Ok(ServerEncryption::Kms(None)),
        _ => Err(switch("sse", "is neither s3 nor kms")),
    }
}

pub(super) fn kms_key(value: &str, before: Option<ServerEncryption>) -> Result<ServerEncryption, UrlError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:/".contains(&byte);
    if value.len() > 2_048 || !value.bytes().all(plain) {
        return Err(switch("sse-kms-key", "is no id or ARN of a key"));
    }
    match before {
        Some(ServerEncryption::S3) => Err(switch("sse-kms-key", "needs sse=kms")),
        _ => Ok(ServerEncryption::Kms(Some(value.to_owned()))),
    }
}

pub(super) fn tags(value: &str) -> Result<Vec<(String, String)>, UrlError> {
    let fault = || switch("tags", "is not of the form name:value,name:value with 10 tags at most");
    let plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" +-=._/@".contains(&byte));
    let read = |tag: &str| {
        let (name, value) = tag.split_once(':').ok_or_else(fault)?;
        let fits = !name.is_empty() && name.len() <= 128 && value.len() <= 256 && plain(name) && plain(value);
        if fits { Ok((name.to_owned(), value.to_owned())) } else { Err(fault()) }
    };
    let tags = value.split(',').map(read).collect::<Result<Vec<_>, _>>()?;
    if tags.len() > TAGS_MAX { Err(fault()) } else { Ok(tags) }
}

pub(super) fn checksum(value: &str) -> Result<Checksum, UrlError> {
    let all = [Checksum::Crc64Nvme, Checksum::Crc32c, Checksum::None];
    let found = all.into_iter().find(|checksum| checksum.name() == value);
    found.ok_or_else(|| switch("checksum", "is none of crc64nvme, crc32c, none"))
}

pub(super) fn part_bytes(value: &str) -> Result<u64, UrlError> {
    match value.parse::<u64>() {
        Ok(mib) if (PART_MIB_MIN..=PART_MIB_MAX).contains(&mib) => Ok(mib << 20),
        _ => Err(switch("part-size", "is no number of MiB from 5 to 512")),
    }
}

pub(super) fn sign_payload(value: &str) -> Result<SignPayload, UrlError> {
    match value {
        "auto" => Ok(SignPayload::Auto),
        "always" => Ok(SignPayload::Always),
        "never" => Ok(SignPayload::Never),
        _ => Err(switch("sign-payload", "is none of auto, always, never")),
    }
}

pub(super) fn patience(value: &str) -> Result<Duration, UrlError> {
    match value.parse::<u64>() {
        Ok(seconds) if seconds <= PATIENCE_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(switch("patience", "is no number of seconds from 0 to 86400")),
    }
}
