//! A payload and its seal: as an object of two lines, or as an object within another document.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Document, Seal, VolumeRecord, from_json, one_line, to_json};
use crate::{Digest, FormatError};

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
        signed.payload.records().iter().try_for_each(Signed::check_digest)?;
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

#[derive(Serialize)]
struct NestedRef<'a> {
    record: &'a VolumeRecord,
    seal: &'a Seal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nested {
    record: VolumeRecord,
    seal: Seal,
}

impl Serialize for Signed<VolumeRecord> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        NestedRef { record: &self.payload, seal: &self.seal }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signed<VolumeRecord> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Nested { record, seal } = Nested::deserialize(deserializer)?;
        Ok(Self { payload: record, seal })
    }
}
