//! JSON documents (`docs/format.md` section 6): signed ones as two lines or nested, `coffer.json` with a line that holds its digest. A
//! document decodes only from the very bytes that it encodes to, so field order, spacing and escapes are fixed.

mod attributes;
mod config;
mod ended;
mod manifest;
mod manifest_check;
mod names;
mod pack_ranges;
mod record;
mod rotation_points;
mod seal;
mod signed;
mod team;
mod verifier;
mod volume;

pub use attributes::Attributes;
pub use config::Config;
pub use ended::{Ended, EndedObjects, EndedVolume};
pub use manifest::{Manifest, ReasonRecord};
pub use names::{NamedObjects, Names, VolumeNames};
pub use pack_ranges::PackRanges;
pub use record::{Confirmed, Damaged, DamagedOrdinals, Ending, Pin, PinKind};
pub use rotation_points::{RotationPoints, StandingPoint};
pub(crate) use seal::signed_bytes;
pub use seal::{Certificate, Seal, Signer};
pub use signed::Signed;
pub use team::{ChainKeyDocument, Recipient, TeamStatement};
pub use verifier::Verifier;
pub use volume::{
    ChangeSource, LineageEntry, RootRef, VolumeKind, VolumeRecord, VolumeState, WARNING_LEN_MAX, WARNINGS_MAX,
};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::check_range;
use crate::{FormatError, Label, RepositoryId};

/// The version that every document carries as `format`.
pub const FORMAT_VERSION: u32 = 1;
/// Most bytes of a manifest.
pub const MANIFEST_LEN_MAX: usize = 64 << 20;
/// Most bytes of any other document.
pub const DOCUMENT_LEN_MAX: usize = 16 << 20;

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

    /// Signed volume records inside it, each with a seal of its own.
    fn records(&self) -> &[Signed<VolumeRecord>] {
        &[]
    }

    /// An error unless its values agree with each other and keep the limits. `decode` calls it.
    fn check(&self) -> Result<(), FormatError>;
}

/// The compact JSON of a document.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("documents have string keys only and serialise without I/O")
}

/// The document whose compact JSON is exactly `line`.
pub(crate) fn from_json<T>(what: &'static str, line: &[u8]) -> Result<T, FormatError>
where
    T: Serialize + DeserializeOwned,
{
    let value: T = serde_json::from_slice(line).map_err(|source| FormatError::Json { what, source })?;
    if to_json(&value) == line {
        Ok(value)
    } else {
        Err(FormatError::NotCanonical { what, detail: "not the compact JSON that this version writes" })
    }
}

/// A document that is not signed: its line, and a second one with its digest, so that a flipped byte shows.
pub(crate) fn with_digest<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = to_json(value);
    let digest = DigestLine { digest: crate::Digest::of(&bytes) };
    bytes.push(b'\n');
    bytes.extend_from_slice(&to_json(&digest));
    bytes.push(b'\n');
    bytes
}

/// The document of which `bytes` is [`with_digest`].
pub(crate) fn without_digest<T>(what: &'static str, bytes: &[u8]) -> Result<T, FormatError>
where
    T: Serialize + DeserializeOwned,
{
    let lines = one_line(what, bytes, DOCUMENT_LEN_MAX)?;
    let end = lines.iter().position(|byte| *byte == b'\n');
    let (line, digest) = end
        .and_then(|end| Some((lines.get(..end)?, lines.get(end + 1..)?)))
        .ok_or(FormatError::NotCanonical { what, detail: "has no line with its digest" })?;
    let digest: DigestLine = from_json(what, digest)?;
    if digest.digest != crate::Digest::of(line) {
        return Err(FormatError::Seal { what, detail: "its digest is of other bytes" });
    }
    from_json(what, line)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestLine {
    digest: crate::Digest,
}

/// The line before the one `\n` that ends `bytes`.
pub(crate) fn one_line<'a>(
    what: &'static str,
    bytes: &'a [u8],
    len_max: usize,
) -> Result<&'a [u8], FormatError> {
    check_range(what, "bytes", bytes.len() as u64, 1, len_max as u64)?;
    match bytes.split_last() {
        Some((b'\n', line)) => Ok(line),
        _ => Err(FormatError::NotCanonical { what, detail: "does not end with a newline" }),
    }
}

/// An error unless `format` is the version known here.
pub(crate) fn check_format(what: &'static str, format: u32) -> Result<(), FormatError> {
    if format == FORMAT_VERSION {
        Ok(())
    } else {
        Err(FormatError::Unknown { what, field: "format", found: format.into() })
    }
}
