//! Ed25519 signatures. What is signed always starts with `coffer v1 ` and the kind of document, so that no signature
//! serves for another kind.

use std::fmt;
use std::sync::Arc;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::Secret32;
use crate::hex::hex_newtype;

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);
hex_newtype!(Signature, 64, "signature");

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; 32]);
hex_newtype!(VerifyingKey, 32, "Ed25519 public key");

impl VerifyingKey {
    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature.as_bytes()).is_ok()
    }
}

/// An Ed25519 private key.
#[derive(Clone)]
pub struct SigningKey {
    seed: Secret32,
    pair: Arc<Ed25519KeyPair>,
}

impl SigningKey {
    /// The key whose RFC 8032 private key (seed) is `seed`.
    #[must_use]
    pub fn from_seed(seed: Secret32) -> Self {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("any 32 bytes are an Ed25519 seed");
        Self { seed, pair: Arc::new(pair) }
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let public = self.pair.public_key().as_ref();
        VerifyingKey(public.try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// The signature over `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let signature = self.pair.sign(message);
        Signature(signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes"))
    }

    pub(crate) const fn seed(&self) -> &Secret32 {
        &self.seed
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey {{ public: {}, private: [redacted] }}", self.verifying_key())
    }
}
