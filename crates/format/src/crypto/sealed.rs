//! Chain keys and pack keys, and their sealing by HPKE (RFC 9180 base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! AES-256-GCM). A pack key that was stored once can never seal frames again: only a fresh one can.

use std::convert::Infallible;
use std::ops::Deref;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use super::{ObjectContext, Secret32, derive};
use crate::FormatError;
use crate::hex::hex_newtype;

const CHAIN_INFO: &[u8] = b"coffer v1 chain key";
const PACK_INFO: &[u8] = b"coffer v1 pack key";
const ENCAPSULATED_LEN: usize = 32;
const SEALED_LEN: usize = 80;

/// A 32-byte secret sealed to an X25519 key: encapsulated key, ciphertext, tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealedSecret([u8; SEALED_LEN]);
hex_newtype!(SealedSecret, 80, "sealed secret");

/// X25519 public key of a team's recovery key: chain keys are sealed to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecoveryPublicKey([u8; 32]);
hex_newtype!(RecoveryPublicKey, 32, "recovery public key");

/// X25519 private key of a team's recovery key: opens chain keys.
#[derive(Clone, Debug)]
pub struct RecoveryPrivateKey(pub(crate) Secret32);

/// X25519 public key of a chain: pack keys are sealed to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainPublicKey([u8; 32]);
hex_newtype!(ChainPublicKey, 32, "chain public key");

/// X25519 private key of a chain: opens its pack keys. The writer that made it forgets it.
#[derive(Clone, Debug)]
pub struct ChainPrivateKey(pub(crate) Secret32);

impl RecoveryPrivateKey {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> RecoveryPublicKey {
        RecoveryPublicKey(public_of(&self.0))
    }
}

impl ChainPrivateKey {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> ChainPublicKey {
        ChainPublicKey(public_of(&self.0))
    }
}

/// AES-256-GCM key of one pack, as a reader has it: it opens frames and cannot seal any.
///
/// ```compile_fail,E0599
/// # use coffer_format::{ObjectContext, PackKey, RepositoryId};
/// # let context = ObjectContext::new(&RepositoryId::from_bytes([0; 16]), "");
/// let key: PackKey = PackKey::unencrypted(&context).into();
/// let copy = key.clone(); // a pack key has no second owner
/// ```
#[derive(Debug)]
pub struct PackKey(Secret32);

/// A pack key that has sealed nothing yet. A `FrameSealer` consumes it, so that no nonce can be used twice.
///
/// ```
/// # use coffer_format::{FrameSealer, ObjectContext, PackKey, RepositoryId, Suite};
/// # let context = ObjectContext::new(&RepositoryId::from_bytes([0; 16]), "");
/// let key = PackKey::from_entropy([7; 32]);
/// let sealer = FrameSealer::new(Suite::Aes256Gcm, key, &context).expect("the suites match");
/// ```
/// ```compile_fail,E0382
/// # use coffer_format::{FrameSealer, ObjectContext, PackKey, RepositoryId, Suite};
/// # let context = ObjectContext::new(&RepositoryId::from_bytes([0; 16]), "");
/// let key = PackKey::from_entropy([7; 32]);
/// let sealer = FrameSealer::new(Suite::Aes256Gcm, key, &context).expect("the suites match");
/// let second = FrameSealer::new(Suite::Aes256Gcm, key, &context).expect("the suites match"); // the key is gone
/// ```
/// ```compile_fail,E0599
/// # use coffer_format::PackKey;
/// let key = PackKey::from_entropy([7; 32]);
/// let copy = key.clone();
/// ```
/// ```compile_fail,E0308
/// # use coffer_format::{FrameSealer, ObjectContext, PackKey, RepositoryId, Suite};
/// # let context = ObjectContext::new(&RepositoryId::from_bytes([0; 16]), "");
/// let stored: PackKey = PackKey::from_entropy([7; 32]).into();
/// let sealer = FrameSealer::new(Suite::Aes256Gcm, stored, &context).expect("the suites match"); // not fresh
/// ```
#[derive(Debug)]
pub struct FreshPackKey {
    key: PackKey,
    suite: crate::Suite,
}

impl PackKey {
    /// A new key of a pack of suite 1. The entropy must be used for nothing else.
    #[must_use]
    pub const fn from_entropy(entropy: [u8; 32]) -> FreshPackKey {
        FreshPackKey { key: Self(Secret32::new(entropy)), suite: crate::Suite::Aes256Gcm }
    }

    /// What stands for the key of a pack in suite 0.
    #[must_use]
    pub fn unencrypted(pack: &ObjectContext) -> FreshPackKey {
        let key = Self(derive("coffer v1 no encryption pack", [pack.as_bytes()]));
        FreshPackKey { key, suite: crate::Suite::None }
    }

    pub(crate) const fn secret(&self) -> &Secret32 {
        &self.0
    }
}

impl FreshPackKey {
    pub(crate) const fn suite(&self) -> crate::Suite {
        self.suite
    }
}

impl Deref for FreshPackKey {
    type Target = PackKey;

    fn deref(&self) -> &PackKey {
        &self.key
    }
}

impl From<FreshPackKey> for PackKey {
    fn from(fresh: FreshPackKey) -> Self {
        fresh.key
    }
}

/// A chain's key pair from 32 bytes of entropy (RFC 9180 DeriveKeyPair).
#[must_use]
pub fn generate_chain_pair(entropy: [u8; 32]) -> (ChainPrivateKey, ChainPublicKey) {
    let (private, public) = generate_pair(entropy);
    (ChainPrivateKey(private), ChainPublicKey(public))
}

/// A recovery key's X25519 pair from 32 bytes of entropy (RFC 9180 DeriveKeyPair).
#[must_use]
pub fn generate_recovery_pair(entropy: [u8; 32]) -> (RecoveryPrivateKey, RecoveryPublicKey) {
    let (private, public) = generate_pair(entropy);
    (RecoveryPrivateKey(private), RecoveryPublicKey(public))
}

/// Seals a chain's private key to `recipient`; `context` is that of the `keys/<n>` object. The entropy must be used for
/// nothing else.
pub fn seal_chain_key(
    key: &ChainPrivateKey,
    recipient: &RecoveryPublicKey,
    context: &ObjectContext,
    entropy: [u8; 32],
) -> Result<SealedSecret, FormatError> {
    let wrong = FormatError::PublicKey { what: "recovery public key" };
    seal(&key.0, recipient.as_bytes(), &info(CHAIN_INFO, context), entropy).ok_or(wrong)
}

/// Opens a chain's private key; `context` is that of the `keys/<n>` object.
pub fn open_chain_key(
    recovery: &RecoveryPrivateKey,
    sealed: &SealedSecret,
    context: &ObjectContext,
) -> Result<ChainPrivateKey, FormatError> {
    let wrong = FormatError::SealedSecret { what: "sealed chain key" };
    open(&recovery.0, sealed, &info(CHAIN_INFO, context)).map(ChainPrivateKey).ok_or(wrong)
}

/// Seals a pack's key to its chain; `context` is that of the pack. The entropy must be used for nothing else.
pub fn seal_pack_key(
    key: &PackKey,
    chain: &ChainPublicKey,
    context: &ObjectContext,
    entropy: [u8; 32],
) -> Result<SealedSecret, FormatError> {
    let wrong = FormatError::PublicKey { what: "chain public key" };
    seal(&key.0, chain.as_bytes(), &info(PACK_INFO, context), entropy).ok_or(wrong)
}

/// Opens a pack's key; `context` is that of the pack.
pub fn open_pack_key(
    chain: &ChainPrivateKey,
    sealed: &SealedSecret,
    context: &ObjectContext,
) -> Result<PackKey, FormatError> {
    let wrong = FormatError::SealedSecret { what: "sealed pack key" };
    open(&chain.0, sealed, &info(PACK_INFO, context)).map(PackKey).ok_or(wrong)
}

fn info(prefix: &[u8], context: &ObjectContext) -> Vec<u8> {
    [prefix, context.as_bytes().as_slice()].concat()
}

fn generate_pair(entropy: [u8; 32]) -> (Secret32, [u8; 32]) {
    let entropy = Zeroizing::new(entropy);
    let (private, public) = X25519HkdfSha256::derive_keypair(entropy.as_slice());
    let mut bytes = Zeroizing::new([0; 32]);
    private.write_exact(bytes.as_mut_slice());
    (Secret32::new(*bytes), public.to_bytes().into())
}

fn public_of(private: &Secret32) -> [u8; 32] {
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(private.expose());
    X25519HkdfSha256::sk_to_pk(&private.expect("any 32 bytes are an X25519 private key")).to_bytes().into()
}

fn seal(secret: &Secret32, recipient: &[u8; 32], info: &[u8], entropy: [u8; 32]) -> Option<SealedSecret> {
    let recipient = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(recipient).ok()?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &recipient,
            info,
            secret.expose(),
            &[],
            &mut Entropy::new(entropy),
        )
        .ok()?;
    let mut sealed = [0; SEALED_LEN];
    let (head, tail) = sealed.split_at_mut(ENCAPSULATED_LEN);
    head.copy_from_slice(&encapsulated.to_bytes());
    tail.copy_from_slice(&ciphertext);
    Some(SealedSecret(sealed))
}

fn open(private: &Secret32, sealed: &SealedSecret, info: &[u8]) -> Option<Secret32> {
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(private.expose()).ok()?;
    let (encapsulated, ciphertext) = sealed.0.split_at_checked(ENCAPSULATED_LEN)?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
    let plain = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        info,
        ciphertext,
        &[],
    )
    .ok()?;
    let plain = Zeroizing::new(plain);
    Some(Secret32::new(plain.as_slice().try_into().ok()?))
}

/// The caller's entropy as the generator that HPKE asks: the 32 bytes themselves first (the key material of the
/// ephemeral key; nothing else is drawn today), then BLAKE3 output keyed with them.
struct Entropy {
    first: Zeroizing<[u8; 32]>,
    used: usize,
    more: blake3::OutputReader,
}

impl Entropy {
    fn new(entropy: [u8; 32]) -> Self {
        let more = blake3::Hasher::new_keyed(&entropy).finalize_xof();
        Self { first: Zeroizing::new(entropy), used: 0, more }
    }

    fn byte(&mut self) -> u8 {
        if let Some(byte) = self.first.get(self.used) {
            self.used += 1;
            return *byte;
        }
        let mut byte = [0];
        self.more.fill(&mut byte);
        let [byte] = byte;
        byte
    }
}

impl TryRng for Entropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(std::array::from_fn(|_| self.byte())))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(std::array::from_fn(|_| self.byte())))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill_with(|| self.byte());
        Ok(())
    }
}

impl TryCryptoRng for Entropy {}

#[cfg(test)]
mod tests;
