//! Credentials that a caller brings along for one store, instead of those of the environment.
//!
//! They never belong into an address; nothing here may show one.

use std::fmt;

use zeroize::Zeroizing;

/// Keys of an object store. Wiped when dropped; an open store keeps a copy until it is closed.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticCredentials {
    /// Names the key.
    pub access_key_id: Zeroizing<String>,
    /// The key.
    pub secret_access_key: Zeroizing<String>,
    /// Of temporary credentials.
    pub session_token: Option<Zeroizing<String>>,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StaticCredentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_them_is_shown() {
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let credentials = StaticCredentials {
            access_key_id: text("4711"),
            secret_access_key: text("4711"),
            session_token: Some(text("4711")),
        };
        let options = crate::OpenOptions { credentials: Some(credentials), ..crate::OpenOptions::default() };
        assert!(!format!("{options:?}").contains("4711"));
    }
}
