//! A payload and its seal: as an object of two lines, or as an object within another document.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::json::{DOCUMENT_LEN_MAX, from_json, one_line, to_json};
use super::seal::Seal;
use crate::{Digest, FormatError, Label, RepositoryId};

/// Whose signature a document carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// A writer key that the seal's certificate names.
    Writer,
    /// The recovery key of this generation; the seal has no certificate.
    Recovery(u32),
}

/// Which generations of a team's keys may have certified the writer that signed a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// Any that is known.
    AnyKnown,
    /// The newest; an older one only if the document is listed among what stood when that key was replaced.
    NewestOrListed,
    /// The newest; an older one only inside a document that is listed.
    NewestOrInListed,
}

/// A signed document.
pub trait Document: Serialize + DeserializeOwned + Clone {
    /// The kind, as it is signed.
    const KIND: &'static str;
    /// Most bytes of an encoded document.
    const LEN_MAX: usize = DOCUMENT_LEN_MAX;

    /// Which generations of a team's keys may have signed it.
    const SIGNED_BY: SignedBy = SignedBy::AnyKnown;

    /// The repository that wrote it first.
    fn repository(&self) -> &RepositoryId;

    /// The team it belongs to.
    fn team(&self) -> &Label;

    /// Whose signature it carries.
    fn issuer(&self) -> Issuer {
        Issuer::Writer
    }

    /// An error unless the document belongs under `key`: what the key says of it and what it says itself must be the same.
    ///
    /// A document without a key of its own belongs under none.
    fn check_key(&self, key: &str) -> Result<(), FormatError>;

    /// Kind of the signed documents inside it; its own where there are none.
    type Nested: Document;

    /// Signed documents inside it, each with a seal of its own.
    fn nested(&self) -> &[Signed<Self::Nested>] {
        &[]
    }

    /// An error unless its values agree with each other and keep the limits. `decode` calls it.
    fn check(&self) -> Result<(), FormatError>;
}

/// A document with its seal. Decoding checks the digest, which detects accidents; only a `Verifier` tells who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// The document.
    pub payload: T,
    /// Its seal.
    pub seal: Seal,
}

impl<T: Document> Signed<T> {
    /// The object's bytes: payload and seal, each a line.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = to_json(&self.payload);
        bytes.push(b'\n');
        bytes.extend_from_slice(&to_json(&self.seal));
        bytes.push(b'\n');
        bytes
    }

    /// The document that the object `bytes` under `key` holds: the one way to read a stored document.
    ///
    /// A name is a hint, never a proof: a genuine document copied to another key is refused.
    pub fn decode_at(key: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let signed = Self::decode(bytes)?;
        signed.payload.check_key(key)?;
        Ok(signed)
    }

    /// The document that `bytes` hold; its digests and its own consistency are checked. For what comes over a wire; what is stored is read
    /// by [`Signed::decode_at`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let what = T::KIND;
        let lines = one_line(what, bytes, T::LEN_MAX)?;
        let Some(end) = lines.iter().position(|byte| *byte == b'\n') else {
            return Err(FormatError::NotCanonical { what, detail: "is not two lines" });
        };
        let (payload, rest) = lines.split_at_checked(end).unwrap_or_default();
        let seal = rest.split_first().map(|(_, seal)| seal).unwrap_or_default();
        let signed = Self { payload: from_json(what, payload)?, seal: from_json("seal", seal)? };
        if Digest::of(payload) != signed.seal.digest {
            return Err(FormatError::Checksum { what });
        }
        signed.payload.nested().iter().try_for_each(Signed::check_digest)?;
        signed.payload.check()?;
        Ok(signed)
    }

    pub(super) fn check_digest(&self) -> Result<(), FormatError> {
        if Digest::of(&to_json(&self.payload)) == self.seal.digest {
            Ok(())
        } else {
            Err(FormatError::Checksum { what: T::KIND })
        }
    }
}
