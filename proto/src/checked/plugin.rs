//! What plugins are asked for, and what they answer: checked on both sides of the socket.

use std::time::Duration;

use coffer_format::{ResourceId, ResourceRef};

use super::field::{IdempotencyKey, RequestError, parsed, required, timeout};
use crate::plugin::v1;

/// Most bytes of options.
pub const OPTIONS_LEN_MAX: usize = coffer_format::document::OPTIONS_LEN_MAX;
/// Most bytes of an artefact's details.
pub const DETAILS_LEN_MAX: usize = coffer_format::document::DETAILS_LEN_MAX;
/// Most bytes of data in one message.
pub const DATA_LEN_MAX: usize = 1 << 20;
const VERSION_LEN_MAX: usize = 32;

/// Version of a type's schemas: 1 to 32 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaVersion(String);

impl std::str::FromStr for SchemaVersion {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=VERSION_LEN_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
            return Ok(SchemaVersion(text.to_owned()));
        }
        let problem = "is no version: 1 to 32 characters of A-Z, a-z, 0-9, `.`, `_` and `-`";
        Err(RequestError::new("schema_version", problem))
    }
}

impl AsRef<str> for SchemaVersion {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SchemaVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Work for one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginWork {
    /// The resource.
    pub reference: ResourceRef,
    /// Names the work.
    pub key: IdempotencyKey,
    /// How long it may take.
    pub timeout: Duration,
    /// Version of the schema; the newest where `None`.
    pub schema_version: Option<SchemaVersion>,
    /// Options as they came, `{}` where none; not yet held against the schema.
    pub options: String,
}

impl TryFrom<v1::ResourceRef> for ResourceRef {
    type Error = RequestError;

    fn try_from(message: v1::ResourceRef) -> Result<Self, RequestError> {
        Ok(ResourceRef { kind: parsed("ref.type", &message.r#type)?, id: parsed("ref.id", &message.id)? })
    }
}

impl From<&ResourceRef> for v1::ResourceRef {
    fn from(reference: &ResourceRef) -> Self {
        v1::ResourceRef { r#type: reference.kind.to_string(), id: reference.id.to_string() }
    }
}

impl TryFrom<v1::Work> for PluginWork {
    type Error = RequestError;

    fn try_from(message: v1::Work) -> Result<Self, RequestError> {
        let version = Some(message.schema_version).filter(|version| !version.is_empty());
        Ok(PluginWork {
            reference: required("work.ref", message.r#ref)?.try_into()?,
            key: message.idempotency_key.parse()?,
            timeout: timeout(message.timeout)?,
            schema_version: version.map(|version| version.parse()).transpose()?,
            options: options("work.options", message.options)?,
        })
    }
}

/// Options as they came, `{}` where none.
pub fn options(field: &str, text: String) -> Result<String, RequestError> {
    match text.len() {
        0 => Ok("{}".to_owned()),
        1..=OPTIONS_LEN_MAX => Ok(text),
        bytes => Err(RequestError::new(field, format!("has {bytes} bytes: give {OPTIONS_LEN_MAX} at most"))),
    }
}

/// What a plugin made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginArtefact {
    /// The plugin's id of it.
    pub id: ResourceId,
    /// A JSON object.
    pub details: String,
    /// Whether data belongs to it.
    pub has_data: bool,
}

impl TryFrom<v1::Artefact> for PluginArtefact {
    type Error = RequestError;

    fn try_from(message: v1::Artefact) -> Result<Self, RequestError> {
        let details = if message.details.is_empty() { "{}".to_owned() } else { message.details };
        if details.len() > DETAILS_LEN_MAX {
            let problem = format!("has {} bytes: give {DETAILS_LEN_MAX} at most", details.len());
            return Err(RequestError::new("artefact.details", problem));
        }
        Ok(PluginArtefact { id: parsed("artefact.id", &message.id)?, details, has_data: message.has_data })
    }
}

impl From<&PluginArtefact> for v1::Artefact {
    fn from(artefact: &PluginArtefact) -> Self {
        v1::Artefact {
            id: artefact.id.to_string(),
            details: artefact.details.clone(),
            has_data: artefact.has_data,
        }
    }
}
