//! The one place that seals and opens bytes, for both suites. It knows nothing of nonces' meaning: its callers make
//! them unique by construction.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::Secret32;
use crate::Suite;

/// Bytes of a tag.
pub(crate) const TAG_LEN: usize = 16;
pub(crate) const NONCE_LEN: usize = 12;

/// The tag is not that of these bytes.
#[derive(Debug)]
pub(crate) struct TagMismatch;

pub(crate) enum Aead {
    /// Suite 0: bytes stay as they are; the tag is keyed BLAKE3.
    Plain(Secret32),
    /// Suite 1.
    Aes(Box<LessSafeKey>),
}

impl Aead {
    pub(crate) fn new(suite: Suite, key: &Secret32) -> Self {
        match suite {
            Suite::None => Self::Plain(key.clone()),
            Suite::Aes256Gcm => {
                let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("an AES-256 key has 32 bytes");
                Self::Aes(Box::new(LessSafeKey::new(key)))
            }
        }
    }

    /// Encrypts `bytes` where they are; returns the tag.
    #[inline]
    pub(crate) fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        match self {
            Self::Plain(key) => plain_tag(key, &nonce, aad, bytes),
            Self::Aes(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), bytes)
                    .expect("AES-256-GCM seals anything below 64 GiB");
                tag.as_ref().try_into().expect("an AES-256-GCM tag has 16 bytes")
            }
        }
    }

    /// Encrypts `plain` into `sealed`, which has the same length; returns the tag.
    #[inline]
    pub(crate) fn seal_into(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        sealed: &mut [u8],
    ) -> [u8; TAG_LEN] {
        sealed.copy_from_slice(plain);
        self.seal(nonce, aad, sealed)
    }

    /// Decrypts `bytes` where they are. On a mismatch they are not to be used.
    #[inline]
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), TagMismatch> {
        match self {
            Self::Plain(key) => check_plain(key, &nonce, aad, bytes, tag),
            Self::Aes(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_in_place_separate_tag(nonce, Aad::from(aad), (*tag).into(), bytes, 0..)
                    .map_err(|_| TagMismatch)?;
                Ok(())
            }
        }
    }

    /// Decrypts `sealed` into `plain`, which has the same length. On a mismatch `plain` is not to be used.
    #[inline]
    pub(crate) fn open_into(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
        tag: &[u8; TAG_LEN],
        plain: &mut [u8],
    ) -> Result<(), TagMismatch> {
        plain.copy_from_slice(sealed);
        self.open(nonce, aad, plain, tag)
    }
}

impl std::fmt::Debug for Aead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Plain(_) => "Plain([redacted])",
            Self::Aes(_) => "Aes([redacted])",
        })
    }
}

fn check_plain(
    key: &Secret32,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    bytes: &[u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), TagMismatch> {
    if plain_tag(key, nonce, aad, bytes) == *tag { Ok(()) } else { Err(TagMismatch) }
}

fn plain_tag(key: &Secret32, nonce: &[u8; NONCE_LEN], aad: &[u8], bytes: &[u8]) -> [u8; TAG_LEN] {
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    hasher.update(nonce);
    hasher.update(&(aad.len() as u64).to_le_bytes());
    hasher.update(aad);
    hasher.update(bytes);
    let hash = hasher.finalize();
    *hash.as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes")
}

#[cfg(test)]
mod tests;
