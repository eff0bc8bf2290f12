//! Makes seals.

use super::json::to_json;
use super::seal::{Certificate, Seal, signed_bytes};
use super::signed::{Document, Signed};
use crate::{Digest, SigningKey};

/// Makes seals.
#[derive(Clone, Debug)]
pub enum Signer {
    /// Suite 0: digests only.
    None,
    /// Suite 1: a writer key.
    Key {
        /// The writer's key.
        key: SigningKey,
        /// Its certificate.
        certificate: Certificate,
    },
}

impl Signer {
    /// `payload` with its seal. It is not checked here: call `Document::check` before.
    #[must_use]
    pub fn sign<T: Document>(&self, payload: &T) -> Signed<T> {
        let json = to_json(payload);
        let (certificate, signature) = match self {
            Self::None => (None, None),
            Self::Key { key, certificate } => {
                (Some(certificate.clone()), Some(key.sign(&signed_bytes(T::KIND, &json))))
            }
        };
        Signed { payload: payload.clone(), seal: Seal { digest: Digest::of(&json), certificate, signature } }
    }
}
