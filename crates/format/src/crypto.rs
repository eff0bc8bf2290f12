//! Suites, secrets and derived keys (`docs/format.md` section 3). Entropy is always an argument. A secret is wiped when
//! dropped, prints as `[redacted]` and has no other text form.

mod aead;
mod metadata;
mod sealed;
mod sign;

pub(crate) use aead::{Aead, TAG_LEN as AEAD_TAG_LEN};
pub use metadata::{MetadataCipher, PAGE_LEN_MAX, PageKind};
pub use sealed::{
    ChainPrivateKey, ChainPublicKey, FreshPackKey, PackKey, RecoveryPrivateKey, RecoveryPublicKey,
    SealedSecret, generate_chain_pair, generate_recovery_pair, open_chain_key, open_pack_key, seal_chain_key,
    seal_pack_key,
};
pub use sign::{Signature, SigningKey, VerifyingKey};

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hex::hex_newtype;
use crate::{FormatError, RepositoryId};

/// How objects of a repository are protected. The number is the one stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// Nothing is secret or signed; keyed BLAKE3 tags detect accidents, not malice.
    None = 0,
    /// AES-256-GCM, HPKE with X25519, Ed25519, BLAKE3.
    Aes256Gcm = 1,
}

impl Suite {
    /// The number stored.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The suite of a repository.
    #[must_use]
    pub const fn for_encrypted(encrypted: bool) -> Self {
        if encrypted { Self::Aes256Gcm } else { Self::None }
    }

    pub(crate) fn decode(what: &'static str, number: u8) -> Result<Self, FormatError> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::Aes256Gcm),
            _ => Err(FormatError::Unknown { what, field: "suite", found: number.into() }),
        }
    }
}

/// 32 secret bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret32([u8; 32]);

impl Secret32 {
    /// Takes the secret over. The caller's copy of the array is the caller's to wipe.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret itself, for a cipher or a key file; never for a log.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret32 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// C(key): which object of which repository a key or tag is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectContext([u8; 32]);

hex_newtype!(ObjectContext, 32, "object context");

impl ObjectContext {
    /// The context of the object that `origin` wrote first under `key` (relative to the repository's prefix).
    #[must_use]
    pub fn new(origin: &RepositoryId, key: &str) -> Self {
        let parts = [origin.as_bytes().as_slice(), key.as_bytes()];
        Self(*derive("coffer v1 object context", parts).expose())
    }
}

/// `derive(context, material)`: BLAKE3's derive_key mode over the joined parts.
pub(crate) fn derive<const N: usize>(context: &str, parts: [&[u8]; N]) -> Secret32 {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut hash = hasher.finalize();
    let secret = Secret32(*hash.as_bytes());
    hash.zeroize();
    hasher.zeroize();
    secret
}

/// The two secrets that every key file of a team holds: enough for maps, trailers and hashes, not for data.
#[derive(Clone, Debug)]
pub struct TeamSecrets {
    /// Metadata key M.
    pub metadata: Secret32,
    /// Hash secret H.
    pub hash: Secret32,
}

impl TeamSecrets {
    /// What stands for them in a repository without encryption: no secrets, derived from its id.
    #[must_use]
    pub fn unencrypted(repository: &RepositoryId) -> Self {
        let value = derive("coffer v1 no encryption", [repository.as_bytes()]);
        Self { metadata: value.clone(), hash: value }
    }
}

/// Hashes blocks with a key, so that a hash tells nothing about a block to who lacks it.
#[derive(Clone, Debug)]
pub struct BlockHasher(Secret32);

impl BlockHasher {
    /// The hasher of a team's blocks in the repository that wrote them first.
    #[must_use]
    pub fn new(secrets: &TeamSecrets, origin: &RepositoryId) -> Self {
        Self(derive("coffer v1 block hash", [secrets.hash.expose(), origin.as_bytes()]))
    }

    /// The hash of a block's content; a short last block as it is.
    #[inline]
    #[must_use]
    pub fn hash(&self, block: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(self.0.expose(), block).as_bytes()
    }
}
