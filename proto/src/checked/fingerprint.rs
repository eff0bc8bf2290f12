//! What makes two requests the same work: a digest over every field but the point (whose plan counts), keys and credentials.
//!
//! It is stored in journals, so its encoding never changes for fields that exist; a new field is added at the end, and only where it is not
//! at its default.

use coffer_format::Digest;

/// Collects fields, each with its length, so that no two lists of fields look alike.
pub(super) struct Fields(Vec<u8>);

impl Fields {
    /// Begins with the kind of request.
    pub(super) fn of(kind: &str) -> Self {
        Fields(Vec::new()).text("coffer.agent.v1").text(kind)
    }

    /// Adds any value by its text.
    pub(super) fn text(self, value: impl ToString) -> Self {
        let text = value.to_string();
        self.bytes(text.as_bytes())
    }

    /// Adds a value that may be missing, which differs from every value.
    pub(super) fn option(self, value: Option<impl ToString>) -> Self {
        match value {
            None => self.text(0),
            Some(value) => self.text(1).text(value),
        }
    }

    pub(super) fn digest(self) -> Digest {
        Digest::of(&self.0)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }
}
