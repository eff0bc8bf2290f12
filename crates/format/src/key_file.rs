//! Key files (`docs/format.md` section 9). A decoded key file is consistent: its halves fit, its certificate verifies.
//! The text holds secrets: it is wiped when dropped and goes nowhere but to the file.

mod text;

use crate::crypto::generate_recovery_pair;
use crate::document::{FORMAT_VERSION, to_json};
use crate::error::check;
use crate::{
    Certificate, Digest, FormatError, Id, Label, RecoveryPrivateKey, RecoveryPublicKey, RepositoryId, Seal,
    Secret32, Signed, Signer, SigningKey, TeamSecrets, TeamStatement, Verifier, VerifyingKey,
};

const WHAT: &str = "key file";

/// Fills a buffer with entropy that is used for nothing else.
pub type EntropySource<'a> = &'a mut dyn FnMut(&mut [u8]);

/// What a key file can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Everything: also reads data and makes keys.
    Recovery,
    /// Everything but reading data.
    Writer,
}

/// The Ed25519 public key of a team's recovery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedKey {
    /// Generation, from 1.
    pub generation: u32,
    /// The key.
    pub ed25519: VerifyingKey,
}

/// The private half of a team's recovery key.
#[derive(Clone, Debug)]
pub struct RecoverySecrets {
    /// Opens chain keys.
    pub x25519: RecoveryPrivateKey,
    /// Signs certificates and team statements.
    pub ed25519: SigningKey,
}

/// The keys of a team, as one file holds them.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// Recovery or writer key.
    pub kind: KeyKind,
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Generation of the recovery key.
    pub generation: u32,
    /// Recovery public keys of all generations up to this one, ascending from 1.
    pub pinned: Vec<PinnedKey>,
    /// The recovery key's public half: chain keys are sealed to it.
    pub x25519_public: RecoveryPublicKey,
    /// Secrets for maps, trailers and hashes; the same in all generations.
    pub secrets: TeamSecrets,
    /// The writer key of this file.
    pub writer: SigningKey,
    /// Its certificate.
    pub certificate: Certificate,
    /// The private half of the recovery key, in a recovery key only.
    pub recovery: Option<RecoverySecrets>,
}

impl KeyFile {
    /// The recovery key, generation 1, of a new team.
    #[must_use]
    pub fn generate_team(repository: RepositoryId, team: Label, entropy: EntropySource<'_>) -> Self {
        let secrets =
            TeamSecrets { metadata: Secret32::new(draw(entropy)), hash: Secret32::new(draw(entropy)) };
        Self::generate(repository, team, 1, Vec::new(), secrets, entropy)
    }

    fn generate(
        repository: RepositoryId,
        team: Label,
        generation: u32,
        mut pinned: Vec<PinnedKey>,
        secrets: TeamSecrets,
        entropy: EntropySource<'_>,
    ) -> Self {
        let (x25519, x25519_public) = generate_recovery_pair(draw(entropy));
        let ed25519 = SigningKey::from_seed(Secret32::new(draw(entropy)));
        pinned.push(PinnedKey { generation, ed25519: ed25519.verifying_key() });
        let writer = SigningKey::from_seed(Secret32::new(draw(entropy)));
        let serial = Id::from_parts(0, draw(entropy));
        let public = writer.verifying_key();
        let certificate = Certificate::issue(&ed25519, generation, serial, repository, team.clone(), public);
        let recovery = Some(RecoverySecrets { x25519, ed25519 });
        let kind = KeyKind::Recovery;
        Self {
            kind,
            repository,
            team,
            generation,
            pinned,
            x25519_public,
            secrets,
            writer,
            certificate,
            recovery,
        }
    }

    /// A writer key with a signing key and certificate of its own.
    pub fn writer_key(&self, serial: Id, entropy: EntropySource<'_>) -> Result<Self, FormatError> {
        let recovery = self.recovery("making a writer key")?;
        let writer = SigningKey::from_seed(Secret32::new(draw(entropy)));
        let public = writer.verifying_key();
        let (generation, team) = (self.generation, self.team.clone());
        let certificate =
            Certificate::issue(&recovery.ed25519, generation, serial, self.repository, team, public);
        Ok(Self { kind: KeyKind::Writer, writer, certificate, recovery: None, ..self.clone() })
    }

    /// The recovery key of the next generation, and the statement that makes it known, signed by this one. Secrets for
    /// metadata stay, so that old points stay readable.
    pub fn rotate(&self, entropy: EntropySource<'_>) -> Result<(Self, Signed<TeamStatement>), FormatError> {
        let recovery = self.recovery("rotation")?;
        let generation = self.generation.checked_add(1).ok_or(FormatError::Range {
            what: WHAT,
            field: "generation",
            actual: self.generation.into(),
            min: 1,
            max: u64::from(u32::MAX) - 1,
        })?;
        let (pinned, secrets) = (self.pinned.clone(), self.secrets.clone());
        let new = Self::generate(self.repository, self.team.clone(), generation, pinned, secrets, entropy);
        let statement = new.signed_statement(&recovery.ed25519)?;
        Ok((new, statement))
    }

    /// The statement of generation 1, signed by its own key. Later ones come from `rotate`, since the generation before
    /// signs them.
    pub fn team_statement(&self) -> Result<Signed<TeamStatement>, FormatError> {
        let recovery = self.recovery("signing the team's statement")?;
        check(self.generation == 1, WHAT, "a later generation's statement is signed by the one before")?;
        self.signed_statement(&recovery.ed25519)
    }

    fn signed_statement(&self, issuer: &SigningKey) -> Result<Signed<TeamStatement>, FormatError> {
        let payload = TeamStatement {
            format: FORMAT_VERSION,
            repository: self.repository,
            team: self.team.clone(),
            generation: self.generation,
            x25519: self.x25519_public,
            ed25519: self.recovery("signing the team's statement")?.ed25519.verifying_key(),
        };
        let json = to_json(&payload);
        let signature = issuer.sign(&crate::document::signed_bytes("team", &json));
        let seal = Seal { digest: Digest::of(&json), certificate: None, signature: Some(signature) };
        Ok(Signed { payload, seal })
    }

    /// The private half of the recovery key, for `operation`.
    pub fn recovery(&self, operation: &'static str) -> Result<&RecoverySecrets, FormatError> {
        self.recovery.as_ref().ok_or(FormatError::RecoveryKeyNeeded { operation })
    }

    /// Signs with this file's writer key.
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer::Key { key: self.writer.clone(), certificate: self.certificate.clone() }
    }

    /// Verifies by the keys that this file pins.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        let pinned = self.pinned.iter().map(|pinned| (pinned.generation, pinned.ed25519));
        Verifier::new(self.repository, self.team.clone(), pinned)
    }

    fn check(&self) -> Result<(), FormatError> {
        let generations = self.pinned.iter().map(|pinned| pinned.generation);
        check(generations.eq(1..=self.generation), WHAT, "pinned keys are not those of all generations")?;
        let certificate = &self.certificate;
        check(
            certificate.public == self.writer.verifying_key(),
            WHAT,
            "certificate is for another writer key",
        )?;
        check(certificate.generation == self.generation, WHAT, "certificate is of another generation")?;
        self.verifier().verify_certificate(certificate)?;
        check(
            self.recovery.is_some() == (self.kind == KeyKind::Recovery),
            WHAT,
            "kind and recovery keys disagree",
        )?;
        let Some(recovery) = &self.recovery else { return Ok(()) };
        check(recovery.x25519.public() == self.x25519_public, WHAT, "X25519 halves do not fit")?;
        let pinned = self.pinned.last().map(|pinned| pinned.ed25519);
        check(pinned == Some(recovery.ed25519.verifying_key()), WHAT, "Ed25519 halves do not fit")
    }
}

fn draw<const N: usize>(entropy: EntropySource<'_>) -> [u8; N] {
    let mut bytes = [0; N];
    entropy(&mut bytes);
    bytes
}
