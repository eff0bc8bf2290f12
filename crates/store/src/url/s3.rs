//! The address of an S3 repository: `s3://bucket/prefix?endpoint=…&region=…` and its switches -> checked settings.
//!
//! Pure. Credentials never belong into an address; no value of a switch that is not known is ever repeated.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use url::Url;

use super::UrlError;
use crate::key::Key;

/// What is not percent-encoded in a switch's value.
const VALUE_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'~').remove(b':');
/// The longest prefix in bytes: with a key of 900 bytes it stays below S3's limit of 1,024.
pub const PREFIX_LEN_MAX: usize = 120;
/// How long an outage is waited out once the store has answered, unless the address says otherwise.
const PATIENCE: Duration = Duration::from_secs(600);
/// The most that `patience` may say, seconds: a day.
const PATIENCE_SECONDS_MAX: u64 = 86_400;
/// Length of a part unless the address says otherwise, MiB.
const PART_MIB: u64 = 17;
/// The shortest part, MiB: S3's limit.
pub(crate) const PART_MIB_MIN: u64 = 5;
/// The longest part, MiB: it is held in memory.
const PART_MIB_MAX: u64 = 512;
/// S3 takes 10 tags per object.
const TAGS_MAX: usize = 10;

/// Every switch with what it takes, in the order they are shown.
const SWITCHES: &[(&str, &str)] = &[
    ("endpoint", "https://host[:port][/path] of a server that speaks S3 [AWS]"),
    ("region", "its region [of the profile or environment; us-east-1 with an endpoint]"),
    ("path-style", "true or false: the bucket in the path instead of the host name [true with an endpoint]"),
    ("ca", "file of certificates (PEM) to trust besides the system's"),
    ("storage-class", "STANDARD, STANDARD_IA, … for every object"),
    ("sse", "s3 or kms: encryption by the server, besides our own"),
    ("sse-kms-key", "id or ARN of the KMS key"),
    ("tags", "name:value,… set on every object"),
    (
        "conditional-put",
        "true or false: let the server refuse to overwrite [true, false where it does not know how]",
    ),
    (
        "checksum",
        "crc64nvme, crc32c or none: sent with every object and checked by the server [the first of these that it takes]",
    ),
    ("part-size", "5 to 512, MiB of a part and so of the longest request; less memory makes it shorter [17]"),
    ("sign-payload", "auto, always or never: SHA-256 over every body [auto: only without TLS]"),
    ("patience", "seconds to wait out an outage once the store has answered [600]"),
];

/// Where an S3 repository is and how its server wants to be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Address {
    /// The bucket.
    pub bucket: String,
    /// The prefix of all keys, without slashes at its ends; may be empty.
    pub prefix: String,
    /// `http(s)://host[:port][/path]`; AWS where `None`.
    pub endpoint: Option<String>,
    /// The region, where the address names one.
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: bool,
    /// A file of further certificates to trust.
    pub ca: Option<PathBuf>,
    /// Storage class of every object.
    pub storage_class: Option<String>,
    /// Encryption by the server.
    pub encryption: Option<ServerEncryption>,
    /// Tags of every object.
    pub tags: Vec<(String, String)>,
    /// Whether the server is asked to refuse overwriting (`If-None-Match: *`); as far as it knows how where `None`.
    pub conditional_put: Option<bool>,
    /// What goes with every object; the best that the server takes where `None`.
    pub checksum: Option<Checksum>,
    /// Length of a part, bytes.
    pub part_bytes: u64,
    /// Whether bodies are signed with SHA-256 (0.6 CPU-seconds per GiB).
    pub sign_payload: SignPayload,
    /// How long an outage is waited out once the store has answered.
    pub patience: Duration,
}

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

impl S3Address {
    /// An address on AWS with every switch as it is by default.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        S3Address {
            bucket: bucket.into(),
            prefix: prefix.into(),
            endpoint: None,
            region: None,
            path_style: false,
            ca: None,
            storage_class: None,
            encryption: None,
            tags: Vec::new(),
            conditional_put: None,
            checksum: None,
            part_bytes: PART_MIB << 20,
            sign_payload: SignPayload::Auto,
            patience: PATIENCE,
        }
    }

    /// Reads an address.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong and never repeats what may be a secret.
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(|_| malformed("cannot be read"))?;
        if has_dots(text) {
            return Err(malformed(PREFIX_FAULT));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(malformed("holds credentials, which come from the environment or a profile only"));
        }
        if url.port().is_some() {
            return Err(malformed("has a port after the bucket's name; a server is named by endpoint="));
        }
        if url.fragment().is_some() {
            return Err(malformed("has a `#`"));
        }
        let bucket = bucket(url.host_str().unwrap_or_default())?;
        let mut address = S3Address::new(bucket, prefix(url.path())?);
        let mut path_style = None;
        let mut seen = Vec::new();
        for (name, value) in url.query_pairs() {
            if seen.contains(&name) {
                return Err(switch(&name, "is given twice"));
            }
            if name == "path-style" {
                path_style = Some(boolean(&name, &value)?);
            } else {
                address.set(&name, &value)?;
            }
            seen.push(name);
        }
        address.path_style = path_style.unwrap_or(address.endpoint.is_some() || address.bucket.contains('.'));
        address.check()?;
        Ok(address)
    }

    /// Whether TLS protects the connection.
    pub fn is_tls(&self) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| endpoint.starts_with("https://"))
    }

    /// The names of all switches and what they take.
    pub fn switches() -> &'static [(&'static str, &'static str)] {
        SWITCHES
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), UrlError> {
        if value.is_empty() {
            return Err(switch(name, "has no value"));
        }
        match name {
            "endpoint" => self.endpoint = Some(endpoint(value)?),
            "region" => self.region = Some(word(name, value)?),
            "ca" => self.ca = Some(PathBuf::from(value)),
            "storage-class" => self.storage_class = Some(word(name, value)?),
            "sse" => self.encryption = Some(encryption(value, self.encryption.take())?),
            "sse-kms-key" => self.encryption = Some(kms_key(value, self.encryption.take())?),
            "tags" => self.tags = tags(value)?,
            "conditional-put" => self.conditional_put = Some(boolean(name, value)?),
            "checksum" => self.checksum = Some(checksum(value)?),
            "part-size" => self.part_bytes = part_bytes(value)?,
            "sign-payload" => self.sign_payload = sign_payload(value)?,
            "patience" => self.patience = patience(value)?,
            _ => return Err(UrlError::S3UnknownSwitch { name: known_charset(name) }),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), UrlError> {
        if self.ca.is_some() && !self.is_tls() {
            return Err(switch("ca", "is of no use: the endpoint is http://"));
        }
        Ok(())
    }
}

impl fmt::Display for S3Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix.replace('%', "%25"))?;
        }
        let mut mark = '?';
        for (name, value) in self.shown() {
            let value = percent_encode(value.as_bytes(), VALUE_ESCAPES);
            write!(f, "{}{name}={value}", std::mem::replace(&mut mark, '&'))?;
        }
        Ok(())
    }
}

impl S3Address {
    /// The switches that differ from their defaults.
    fn shown(&self) -> Vec<(&'static str, String)> {
        let mut shown = Vec::new();
        let mut add = |name, value: Option<String>| shown.extend(value.map(|value| (name, value)));
        let style = self.endpoint.is_some() || self.bucket.contains('.');
        add("endpoint", self.endpoint.clone());
        add("region", self.region.clone());
        add("path-style", (self.path_style != style).then(|| self.path_style.to_string()));
        add("ca", self.ca.as_ref().map(|path| path.to_string_lossy().into_owned()));
        add("storage-class", self.storage_class.clone());
        match &self.encryption {
            None => {}
            Some(ServerEncryption::S3) => add("sse", Some("s3".into())),
            Some(ServerEncryption::Kms(key)) => {
                add("sse", Some("kms".into()));
                add("sse-kms-key", key.clone());
            }
        }
        let tags: Vec<_> = self.tags.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        add("tags", (!tags.is_empty()).then(|| tags.join(",")));
        add("conditional-put", self.conditional_put.map(|once| once.to_string()));
        add("checksum", self.checksum.map(|checksum| checksum.name().into()));
        add("part-size", (self.part_bytes >> 20 != PART_MIB).then(|| (self.part_bytes >> 20).to_string()));
        match self.sign_payload {
            SignPayload::Auto => {}
            SignPayload::Always => add("sign-payload", Some("always".into())),
            SignPayload::Never => add("sign-payload", Some("never".into())),
        }
        add("patience", (self.patience != PATIENCE).then(|| self.patience.as_secs().to_string()));
        shown
    }
}

fn malformed(what: &'static str) -> UrlError {
    UrlError::S3Malformed { what }
}

fn switch(name: &str, what: &'static str) -> UrlError {
    UrlError::S3Switch { name: known_charset(name), what }
}

/// A switch's name as it may be shown: what a person mistyped, and nothing that looks like a secret.
fn known_charset(name: &str) -> String {
    let plain = name.len() <= 24
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'_');
    if plain { name.to_owned() } else { "…".to_owned() }
}

fn bucket(host: &str) -> Result<String, UrlError> {
    if host.is_empty() {
        return Err(malformed("names no bucket"));
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if !(3..=63).contains(&host.len()) || !host.bytes().all(plain) {
        return Err(malformed("names no possible bucket (3 to 63 of a-z, 0-9, `-`, `.`, `_`)"));
    }
    Ok(host.to_owned())
}

const PREFIX_FAULT: &str =
    "has a prefix with other signs than 0-9A-Za-z._%+=@,~- between single slashes, or with `.` or `..`";

/// Whether a part of the path is `.` or `..`, written in any way: reading the address would resolve it without a word.
fn has_dots(text: &str) -> bool {
    let before_switches = text.split(['?', '#']).next().unwrap_or_default();
    before_switches.split('/').any(|part| matches!(&*Cow::from(percent_decode_str(part)), b"." | b".."))
}

fn prefix(path: &str) -> Result<String, UrlError> {
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

fn endpoint(value: &str) -> Result<String, UrlError> {
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

fn word(name: &str, value: &str) -> Result<String, UrlError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if value.len() <= 64 && value.bytes().all(plain) {
        return Ok(value.to_owned());
    }
    Err(switch(name, "has other signs than letters, digits, `-` and `_`, or more than 64"))
}

fn boolean(name: &str, value: &str) -> Result<bool, UrlError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(switch(name, "is neither true nor false")),
    }
}

fn encryption(value: &str, before: Option<ServerEncryption>) -> Result<ServerEncryption, UrlError> {
    match (value, before) {
        ("s3", None) => Ok(ServerEncryption::S3),
        ("s3", Some(_)) => Err(switch("sse-kms-key", "needs sse=kms")),
        ("kms", Some(kms)) => Ok(kms),
        ("kms", None) => Ok(ServerEncryption::Kms(None)),
        _ => Err(switch("sse", "is neither s3 nor kms")),
    }
}

fn kms_key(value: &str, before: Option<ServerEncryption>) -> Result<ServerEncryption, UrlError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:/".contains(&byte);
    if value.len() > 2_048 || !value.bytes().all(plain) {
        return Err(switch("sse-kms-key", "is no id or ARN of a key"));
    }
    match before {
        Some(ServerEncryption::S3) => Err(switch("sse-kms-key", "needs sse=kms")),
        _ => Ok(ServerEncryption::Kms(Some(value.to_owned()))),
    }
}

fn tags(value: &str) -> Result<Vec<(String, String)>, UrlError> {
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

fn checksum(value: &str) -> Result<Checksum, UrlError> {
    let all = [Checksum::Crc64Nvme, Checksum::Crc32c, Checksum::None];
    let found = all.into_iter().find(|checksum| checksum.name() == value);
    found.ok_or_else(|| switch("checksum", "is none of crc64nvme, crc32c, none"))
}

fn part_bytes(value: &str) -> Result<u64, UrlError> {
    match value.parse::<u64>() {
        Ok(mib) if (PART_MIB_MIN..=PART_MIB_MAX).contains(&mib) => Ok(mib << 20),
        _ => Err(switch("part-size", "is no number of MiB from 5 to 512")),
    }
}

fn sign_payload(value: &str) -> Result<SignPayload, UrlError> {
    match value {
        "auto" => Ok(SignPayload::Auto),
        "always" => Ok(SignPayload::Always),
        "never" => Ok(SignPayload::Never),
        _ => Err(switch("sign-payload", "is none of auto, always, never")),
    }
}

fn patience(value: &str) -> Result<Duration, UrlError> {
    match value.parse::<u64>() {
        Ok(seconds) if seconds <= PATIENCE_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(switch("patience", "is no number of seconds from 0 to 86400")),
    }
}

#[cfg(test)]
#[path = "s3_tests.rs"]
mod tests;
