//! BLAKE3 digests of public bytes.

use crate::hex::hex_newtype;

/// A BLAKE3 digest, 32 bytes; text form 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

hex_newtype!(Digest, 32, "digest");
