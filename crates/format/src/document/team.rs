//! Team statements and sealed chain keys: who may open a team's data.

use serde::{Deserialize, Serialize};

use super::{Document, Issuer, check_format};
use crate::error::{check, check_range};
use crate::{ChainPublicKey, FormatError, Id, Label, PlanId, RecoveryPublicKey, RepositoryId, SealedSecret};
use crate::{VerifyingKey, object_key};

const RECIPIENTS_MAX: usize = 256;

/// The public keys of a team's recovery key of one generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamStatement {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Generation of the recovery key, from 1.
    pub generation: u32,
    /// Generation whose Ed25519 key signed this: the one that was the newest before. 1 for generation 1.
    pub signed_by: u32,
    /// Generation that brought the secrets for maps, trailers and hashes of new chains.
    pub secrets: u32,
    /// Chain keys are sealed to this.
    pub x25519: RecoveryPublicKey,
    /// Signs certificates, the list of what a rotation found, and the next generation's statement.
    pub ed25519: VerifyingKey,
}

impl Document for TeamStatement {
    type Nested = Self;

    const KIND: &'static str = "team";

    fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    fn team(&self) -> &Label {
        &self.team
    }

    fn issuer(&self) -> Issuer {
        Issuer::Recovery(self.signed_by)
    }

    fn check_key(&self, key: &str) -> Result<(), FormatError> {
        let own = object_key::team(&self.team, self.generation);
        check(key == own, Self::KIND, "belongs under another key")
    }

    fn check(&self) -> Result<(), FormatError> {
        check_format(Self::KIND, self.format)?;
        check_range(Self::KIND, "generation", self.generation.into(), 1, u32::MAX.into())?;
        let before = u64::from(self.generation.saturating_sub(1).max(1));
        check_range(Self::KIND, "signing generation", self.signed_by.into(), 1, before)?;
        check_range(Self::KIND, "generation of secrets", self.secrets.into(), 1, self.generation.into())?;
        Ok(())
    }
}

/// A chain's private key, sealed to recovery keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainKeyDocument {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository that opened the chain.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Label,
    /// Namespace.
    pub namespace: Label,
    /// Plan.
    pub plan: Label,
    /// The chain.
    pub chain: Id,
    /// Generation that brought the secrets for the chain's maps, trailers and hashes.
    pub secrets: u32,
    /// The chain's public key.
    pub public: ChainPublicKey,
    /// The private key, sealed to each recovery key that may open it.
    pub recipients: Vec<Recipient>,
}

/// A recovery key that a chain's private key is sealed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// Generation of the recovery key.
    pub generation: u32,
    /// Its public key.
    pub x25519: RecoveryPublicKey,
    /// The chain's private key, sealed to it.
    pub sealed: SealedSecret,
}

impl ChainKeyDocument {
    /// The plan.
    #[must_use]
    pub fn plan_id(&self) -> PlanId {
        PlanId {
            team: self.team.clone(),
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            plan: self.plan.clone(),
        }
    }
}

impl Document for ChainKeyDocument {
    type Nested = Self;

    const KIND: &'static str = "chain key";

    fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    fn team(&self) -> &Label {
        &self.team
    }

    fn check_key(&self, key: &str) -> Result<(), FormatError> {
        let (plan, chain, object) = object_key::parse_data(key)?;
        let own = plan == self.plan_id() && chain == self.chain;
        check(
            own && matches!(object, object_key::DataObject::ChainKey(_)),
            Self::KIND,
            "belongs under another key",
        )
    }

    fn check(&self) -> Result<(), FormatError> {
        check_format(Self::KIND, self.format)?;
        check_range(Self::KIND, "generation of secrets", self.secrets.into(), 1, u32::MAX.into())?;
        check_range(
            Self::KIND,
            "number of recipients",
            self.recipients.len() as u64,
            1,
            RECIPIENTS_MAX as u64,
        )?;
        let ascending = self.recipients.is_sorted_by(|before, after| before.generation < after.generation);
        check(ascending, Self::KIND, "generations of recipients do not ascend")?;
        let positive = self.recipients.iter().all(|recipient| recipient.generation > 0);
        check(positive, Self::KIND, "generation 0")
    }
}
