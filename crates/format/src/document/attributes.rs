//! Attributes: how volume records and manifests grow after format 1 was frozen.
//!
//! A reader ignores a name that it does not know. A name that begins with `must.` is different: whoever does not know it cannot
//! restore the volume rightly, and has to refuse. Any other addition to a document is a new format number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::error::{check, check_range};

/// Most bytes of a name.
const NAME_LEN_MAX: usize = 64;
/// Most bytes of all names and values together.
const LEN_MAX: usize = 64 << 10;
/// What a name begins with that no reader may ignore.
const MUST: &str = "must.";
const WHAT: &str = "attributes";

/// Names (`a-z0-9.-`, 1 to 64 bytes) with texts, sorted by name; at most 64 KiB together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// The text of `name`, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names that a reader has to know and that `known` does not hold.
    pub fn unknown_musts<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str).filter(|name| name.starts_with(MUST) && !known.contains(name))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Attributes {
    type Error = FormatError;

    fn try_from(attributes: BTreeMap<String, String>) -> Result<Self, FormatError> {
        let bytes: usize = attributes.iter().map(|(name, text)| name.len() + text.len()).sum();
        check_range(WHAT, "bytes", bytes as u64, 0, LEN_MAX as u64)?;
        for name in attributes.keys() {
            check_range(WHAT, "bytes of a name", name.len() as u64, 1, NAME_LEN_MAX as u64)?;
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
            check(name.bytes().all(is_plain), WHAT, "a name holds other characters than a-z, 0-9, . and -")?;
        }
        Ok(Self(attributes))
    }
}

impl From<Attributes> for BTreeMap<String, String> {
    fn from(attributes: Attributes) -> Self {
        attributes.0
    }
}
