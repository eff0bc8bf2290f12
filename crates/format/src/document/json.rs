//! Documents as the one JSON text that each has.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::error::check_range;

/// The version that every document carries as `format`.
pub const FORMAT_VERSION: u32 = 1;

/// Most bytes of a manifest.
pub const MANIFEST_LEN_MAX: usize = 64 << 20;

/// Most bytes of any other document.
pub const DOCUMENT_LEN_MAX: usize = 16 << 20;

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
