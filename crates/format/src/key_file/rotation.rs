//! Rotation: the recovery key of a later generation, and what a recovery key itself signs.

use super::{EntropySource, GenerationSecrets, KeyFile, WHAT};
use crate::document::{Document, FORMAT_VERSION, Issuer, signed_bytes, to_json};
use crate::error::{check, check_range};
use crate::{Digest, FormatError, Seal, Signed, SigningKey, TeamStatement, VerifyingKey};

/// Which secrets for maps, trailers and hashes new chains get after a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretsWish {
    /// Those of the key before: whoever had them reads the metadata of new chains too.
    Keep,
    /// New ones: keys of earlier generations read no metadata of new chains.
    Replace,
}

impl KeyFile {
    /// The recovery key of `generation`, which follows this one; [`KeyFile::publish`] makes it known. The secrets of old
    /// chains stay in it, so that old points stay readable.
    pub fn rotate(
        &self,
        generation: u32,
        wish: SecretsWish,
        entropy: EntropySource<'_>,
    ) -> Result<Self, FormatError> {
        self.recovery("rotation")?;
        let least = u64::from(self.generation) + 1;
        check_range(WHAT, "next generation", generation.into(), least, u32::MAX.into())?;
        let mut secrets = self.secrets.clone();
        if wish == SecretsWish::Replace {
            secrets.push(GenerationSecrets::draw(generation, entropy));
        }
        let (repository, team, pinned) = (self.repository, self.team.clone(), self.pinned.clone());
        let new = Self::generate(repository, team, generation, pinned, secrets, entropy);
        new.check_generations()?;
        Ok(new)
    }

    /// The statement that makes `new` known, signed by this key, which it followed. The same bytes each time.
    pub fn publish(&self, new: &Self) -> Result<Signed<TeamStatement>, FormatError> {
        let recovery = self.recovery("publishing a key")?;
        let follows = (self.repository, &self.team) == (new.repository, &new.team)
            && new.generation_before() == Some(self.generation);
        check(follows, WHAT, "the new key does not follow this one")?;
        Ok(sign(&recovery.ed25519, new.statement(self.generation)?))
    }

    /// The statement of generation 1, signed by its own key. Later ones come from [`KeyFile::publish`], since the
    /// generation before signs them.
    pub fn team_statement(&self) -> Result<Signed<TeamStatement>, FormatError> {
        let recovery = self.recovery("signing the team's statement")?;
        check(self.generation == 1, WHAT, "a later generation's statement is signed by one before")?;
        Ok(sign(&recovery.ed25519, self.statement(1)?))
    }

    /// What this key's statement says, if generation `signed_by` signs it.
    fn statement(&self, signed_by: u32) -> Result<TeamStatement, FormatError> {
        let payload = TeamStatement {
            format: FORMAT_VERSION,
            repository: self.repository,
            team: self.team.clone(),
            generation: self.generation,
            signed_by,
            secrets: self.newest_secrets().generation,
            x25519: self.x25519_public,
            ed25519: self.newest_pinned()?,
        };
        payload.check()?;
        Ok(payload)
    }

    /// `payload` with the seal of this recovery key, for documents that the recovery key of this generation signs.
    pub fn sign_as_recovery<T: Document>(&self, payload: T) -> Result<Signed<T>, FormatError> {
        let recovery = self.recovery("signing for the team")?;
        let issuer = payload.issuer() == Issuer::Recovery(self.generation);
        check(issuer, T::KIND, "is signed by another generation")?;
        payload.check()?;
        Ok(sign(&recovery.ed25519, payload))
    }

    /// The generation of the key before this one; `None` for the first.
    #[must_use]
    pub fn generation_before(&self) -> Option<u32> {
        self.pinned.iter().rev().nth(1).map(|pinned| pinned.generation)
    }

    fn newest_pinned(&self) -> Result<VerifyingKey, FormatError> {
        let newest = self.pinned.last().map(|pinned| pinned.ed25519);
        newest.ok_or(FormatError::Inconsistent { what: WHAT, detail: "pins no key" })
    }
}

fn sign<T: Document>(issuer: &SigningKey, payload: T) -> Signed<T> {
    let json = to_json(&payload);
    let signature = issuer.sign(&signed_bytes(T::KIND, &json));
    let seal = Seal { digest: Digest::of(&json), certificate: None, signature: Some(signature) };
    Signed { payload, seal }
}
