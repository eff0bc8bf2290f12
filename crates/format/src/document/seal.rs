//! Seals, certificates, and the signer that makes seals.

use serde::{Deserialize, Serialize};

use super::json::to_json;
use crate::{Digest, Id, Label, RepositoryId, Signature, SigningKey, VerifyingKey};

const CERTIFICATE_KIND: &str = "certificate";

/// What makes a payload trustworthy: its digest and, in suite 1, who signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// BLAKE3 of the payload's compact JSON.
    pub digest: Digest,
    /// The writer's certificate; `None` for team statements and in suite 0.
    pub certificate: Option<Certificate>,
    /// Signature over the payload; `None` in suite 0.
    pub signature: Option<Signature>,
}

/// A team's statement, by its recovery key, that a writer key may sign for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Id of the certificate.
    pub serial: Id,
    /// Repository that it holds for.
    pub repository: RepositoryId,
    /// Team that it holds for.
    pub team: Label,
    /// Generation of the recovery key that signed it.
    pub generation: u32,
    /// The writer's public key.
    pub public: VerifyingKey,
    /// The recovery key's signature over this object with `"signature":""`.
    pub signature: Signature,
}

#[derive(Serialize)]
struct Unsigned<'a> {
    serial: &'a Id,
    repository: &'a RepositoryId,
    team: &'a Label,
    generation: u32,
    public: &'a VerifyingKey,
    signature: &'static str,
}

impl Certificate {
    /// A certificate for `public`, signed by the recovery key `recovery` of `generation`.
    #[must_use]
    pub fn issue(
        recovery: &SigningKey,
        generation: u32,
        serial: Id,
        repository: RepositoryId,
        team: Label,
        public: VerifyingKey,
    ) -> Self {
        let unsigned = Unsigned {
            serial: &serial,
            repository: &repository,
            team: &team,
            generation,
            public: &public,
            signature: "",
        };
        let signature = recovery.sign(&signed_bytes(CERTIFICATE_KIND, &to_json(&unsigned)));
        Self { serial, repository, team, generation, public, signature }
    }

    pub(super) fn verifies(&self, recovery: &VerifyingKey) -> bool {
        let unsigned = Unsigned {
            serial: &self.serial,
            repository: &self.repository,
            team: &self.team,
            generation: self.generation,
            public: &self.public,
            signature: "",
        };
        recovery.verifies(&signed_bytes(CERTIFICATE_KIND, &to_json(&unsigned)), &self.signature)
    }
}

/// What is signed of a payload of `kind`.
pub(crate) fn signed_bytes(kind: &str, payload: &[u8]) -> Vec<u8> {
    [b"coffer v1 ", kind.as_bytes(), b"\n", payload].concat()
}
