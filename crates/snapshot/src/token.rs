//! What a point keeps of its snapshot, so that the next run can ask for the changes since.

use serde::{Deserialize, Serialize};

/// Most bytes of a token's text.
const LEN_MAX: usize = 4096;

/// A snapshot that a point was read from. Its text is compact JSON, stored in the signed volume record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseToken {
    /// The engine that can find it.
    pub engine: String,
    /// Version of `incarnation`'s meaning.
    pub version: u16,
    /// The snapshot's name in its engine.
    pub id: String,
    /// What must be found unchanged.
    pub incarnation: String,
    /// Size of the snapshot, bytes.
    pub size: u64,
}

impl BaseToken {
    /// The text of a record.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }

    /// Reads a record's text; `None` for what is no token, which then is no base.
    #[must_use]
    pub fn from_text(text: &str) -> Option<BaseToken> {
        (text.len() <= LEN_MAX).then(|| serde_json::from_str(text).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::BaseToken;

    #[test]
    fn a_token_survives_its_text_and_nothing_else_is_one() {
        let token = BaseToken {
            engine: "reflink".into(),
            version: 1,
            id: "a".into(),
            incarnation: "b \" \u{1f}".into(),
            size: u64::MAX,
        };
        assert_eq!(BaseToken::from_text(&token.to_text()), Some(token.clone()));
        let too_long = BaseToken { id: "x".repeat(5000), ..token };
        for text in ["", "{}", "[]", "{\"engine\":\"reflink\"}", too_long.to_text().as_str()] {
            assert_eq!(BaseToken::from_text(text), None, "{text}");
        }
    }
}
