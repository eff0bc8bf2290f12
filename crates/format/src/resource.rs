//! Names of resources: what a point can hold beside volumes, each known by a type and the id that its plugin gives it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::error::shorten;
use crate::hex::serde_as_text;

const TYPE_LEN_MAX: usize = 128;
const ID_LEN_MAX: usize = 256;

/// Type of a resource, such as `OS::Trove::Instance`: 1 to 128 characters of `A-Z a-z 0-9 : . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceType(String);

impl FromStr for ResourceType {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
        if (1..=TYPE_LEN_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        let rule = "1 to 128 characters of A-Z, a-z, 0-9, `:`, `.`, `_` and `-`";
        Err(FormatError::Text { what: "type of a resource", value: shorten(text), rule })
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for ResourceType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

serde_as_text!(ResourceType, "a type of a resource");

/// Id of a resource or an artefact, as its plugin gives it: 1 to 256 bytes of printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(String);

impl FromStr for ResourceId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let is_printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if (1..=ID_LEN_MAX).contains(&text.len()) && text.bytes().all(is_printable) {
            return Ok(Self(text.to_owned()));
        }
        let rule = "1 to 256 bytes of printable ASCII";
        Err(FormatError::Text { what: "id of a resource", value: shorten(text), rule })
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for ResourceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

serde_as_text!(ResourceId, "an id of a resource");

/// One resource: ids are unique within a type only. Its text is `TYPE/ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceRef {
    /// Type.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Id within the type.
    pub id: ResourceId,
}

impl FromStr for ResourceRef {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let Some((kind, id)) = text.split_once('/') else {
            return Err(FormatError::Text { what: "resource", value: shorten(text), rule: "TYPE/ID" });
        };
        Ok(Self { kind: kind.parse()?, id: id.parse()? })
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_cut_at_its_first_slash() {
        let reference: ResourceRef = "OS::Trove::Instance/a/b c".parse().expect("a reference");
        assert_eq!((reference.kind.as_ref(), reference.id.as_ref()), ("OS::Trove::Instance", "a/b c"));
        assert_eq!(reference.to_string(), "OS::Trove::Instance/a/b c");
    }

    #[test]
    fn texts_that_are_no_reference_are_refused() {
        let long = format!("T/{}", "x".repeat(257));
        let check = |text: &str| assert!(text.parse::<ResourceRef>().is_err(), "{text:?}");
        ["", "T", "T/", "/i", "T T/i", "T/\u{7}", "T/ü", "Tü/i", &long].into_iter().for_each(check);
    }
}
