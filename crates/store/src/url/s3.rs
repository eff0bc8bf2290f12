//! The address of an S3 repository: `s3://bucket/prefix?endpoint=…&region=…` and its switches -> checked settings.
//!
//! Pure. Credentials never belong into an address; no value of a switch that is not known is ever repeated.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use url::Url;

use super::error::UrlError;
use super::switches::SWITCHES;
use super::values::{
    Checksum, PREFIX_FAULT, ServerEncryption, SignPayload, boolean, bucket, checksum, encryption, endpoint,
    has_dots, kms_key, known_charset, malformed, part_bytes, patience, prefix, sign_payload, switch, tags,
    word,
};

/// What is not percent-encoded in a switch's value.
const VALUE_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'~').remove(b':');
/// How long an outage is waited out once the store has answered, unless the address says otherwise.
const PATIENCE: Duration = Duration::from_secs(600);
/// Length of a part unless the address says otherwise, MiB.
const PART_MIB: u64 = 17;
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

#[cfg(test)]
#[path = "s3_tests.rs"]
mod tests;
