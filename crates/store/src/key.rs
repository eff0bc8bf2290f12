//! Object names that cannot be wrong: checked once here, then safe as an S3 key and as a path below a directory.
//!
//! A `Key` must never hold a component that a file system would interpret (`.`, `..`, empty, NUL).

use std::fmt;

use crate::error::StoreError;

/// The longest key, in bytes.
pub const KEY_LEN_MAX: usize = 900;
/// The longest component between two slashes, in bytes: the limit of Linux file systems.
pub const COMPONENT_LEN_MAX: usize = 255;

/// The name of an object: components of `[0-9A-Za-z._%+=@,~-]` separated by `/`.
///
/// 1 to 900 bytes; a component has 1 to 255 bytes and is neither `.` nor `..`. Keys order by their bytes, as stores
/// list them. Other characters are percent-encoded by whoever makes the name; stores never decode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Checks `text` and makes it a key.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`] with the rule that `text` breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, StoreError> {
        let text = text.into();
        match fault_in(&text) {
            None => Ok(Self(text)),
            Some(reason) => Err(StoreError::InvalidKey { key: text, reason }),
        }
    }

    /// The key `self/tail`; `tail` may itself have several components.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`] if the result breaks a rule.
    pub fn join(&self, tail: &str) -> Result<Self, StoreError> {
        Self::new(format!("{}/{tail}", self.0))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything before the last slash; empty for a key of one component.
    pub fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(parent, _)| parent)
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.as_str(), |(_, name)| name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Key {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Key {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        Self::new(text)
    }
}

/// The rule that `text` breaks as a key, if any.
fn fault_in(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("a key has at least one byte");
    }
    if text.len() > KEY_LEN_MAX {
        return Some("a key has at most 900 bytes");
    }
    text.split('/').find_map(component_fault)
}

/// The rule that `component` breaks as a part of a key, if any.
fn component_fault(component: &str) -> Option<&'static str> {
    if component.is_empty() {
        return Some("no slash at either end, and never two in a row");
    }
    if component.len() > COMPONENT_LEN_MAX {
        return Some("a component has at most 255 bytes");
    }
    if component == "." || component == ".." {
        return Some("`.` and `..` are no components");
    }
    (!component.bytes().all(is_key_byte)).then_some("only 0-9 A-Z a-z . _ % + = @ , ~ - are allowed")
}

/// Whether `component` may stand between two slashes of a key.
pub(crate) fn is_component(component: &str) -> bool {
    component_fault(component).is_none()
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+=@,~-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_within_the_rules_are_keys() {
        for good in ["a", "a/b", ".tmp", "...", "a..b", "%E2%82%AC", "0/_%+=@,~-", "t/x/.hidden"] {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
        assert!(Key::new("x".repeat(255)).is_ok());
        assert!(Key::new(vec!["x".repeat(224); 4].join("/")).is_ok());
    }

    #[test]
    fn names_outside_the_rules_are_refused() {
        let long_component = "x".repeat(256);
        let long_key = vec!["x".repeat(225); 4].join("/") + "/";
        let bad = [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/./b",
            "a/../b",
            "../a",
            "a/..",
            "a\0b",
            "a b",
            "a\\b",
            "€",
            "a\nb",
            "a:b",
            "a*b",
            "a?b",
            "a#b",
            &long_component,
            &long_key,
        ];
        for text in bad {
            assert!(matches!(Key::new(text), Err(StoreError::InvalidKey { .. })), "{text:?} was taken");
        }
    }

    #[test]
    fn join_checks_again_and_parts_come_back() {
        let key = Key::new("t/team").unwrap().join("points/x").unwrap();
        assert_eq!((key.parent(), key.name()), ("t/team/points", "x"));
        assert_eq!((Key::new("one").unwrap().parent(), Key::new("one").unwrap().name()), ("", "one"));
        assert!(key.join("..").is_err());
        assert!(key.join("").is_err());
        assert!(key.join("/x").is_err());
    }
}
