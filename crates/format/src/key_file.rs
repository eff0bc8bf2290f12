//! Key files (`docs/format.md` section 9). A decoded key file is consistent: its halves fit, its certificate verifies.
//! The text holds secrets: it is wiped when dropped and goes nowhere but to the file.

mod rotation;
mod text;

pub use rotation::SecretsWish;

use crate::crypto::generate_recovery_pair;
use crate::error::{check, check_range};
use crate::{
    Certificate, ChainPrivateKey, FormatError, Id, Label, RecoveryPrivateKey, RecoveryPublicKey,
    RepositoryId, Secret32, Signer, SigningKey, TeamSecrets, Verifier, VerifyingKey,
};

const WHAT: &str = "key file";
/// Most generations that a key file pins: as many team statements as are ever looked at.
const GENERATIONS_MAX: u64 = 1_024;

/// Fills a buffer with entropy that is used for nothing else.
pub type EntropySource<'a> = &'a mut dyn FnMut(&mut [u8]);

/// What a key file can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Everything: also reads data and makes keys.
    Recovery,
    /// Everything but reading data.
    Writer,
    /// As a writer key, and reading the data of one chain: what a restore is lent instead of the recovery key.
    Chain,
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

/// Secrets for maps, trailers and hashes of the chains that name this generation.
#[derive(Clone, Debug)]
pub struct GenerationSecrets {
    /// The generation that brought them.
    pub generation: u32,
    /// The secrets.
    pub secrets: TeamSecrets,
}

/// The private half of a team's recovery key.
#[derive(Clone, Debug)]
pub struct RecoverySecrets {
    /// Opens chain keys.
    pub x25519: RecoveryPrivateKey,
    /// Signs certificates and team statements.
    pub ed25519: SigningKey,
}

/// A chain that a chain key opens.
#[derive(Clone, Debug)]
pub struct OpenedChain {
    /// Its id.
    pub chain: Id,
    /// Opens its packs.
    pub private: ChainPrivateKey,
}

/// The keys of a team, as one file holds them.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// Recovery, writer or chain key.
    pub kind: KeyKind,
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Generation of the recovery key.
    pub generation: u32,
    /// Recovery public keys of the generations up to this one that were believed when it was made: ascending, the first
    /// is 1, the last this one. A generation whose number a stranger's object had taken is left out.
    pub pinned: Vec<PinnedKey>,
    /// The recovery key's public half: chain keys are sealed to it.
    pub x25519_public: RecoveryPublicKey,
    /// Secrets for maps, trailers and hashes, ascending by the generation that brought them; the first is 1. New chains
    /// use the last.
    pub secrets: Vec<GenerationSecrets>,
    /// The writer key of this file.
    pub writer: SigningKey,
    /// Its certificate.
    pub certificate: Certificate,
    /// The private half of the recovery key, in a recovery key only.
    pub recovery: Option<RecoverySecrets>,
    /// The chain that it opens, in a chain key only.
    pub chain: Option<OpenedChain>,
}

impl KeyFile {
    /// The recovery key, generation 1, of a new team.
    #[must_use]
    pub fn generate_team(repository: RepositoryId, team: Label, entropy: EntropySource<'_>) -> Self {
        let secrets = vec![GenerationSecrets::draw(1, entropy)];
        Self::generate(repository, team, 1, Vec::new(), secrets, entropy)
    }

    fn generate(
        repository: RepositoryId,
        team: Label,
        generation: u32,
        mut pinned: Vec<PinnedKey>,
        secrets: Vec<GenerationSecrets>,
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
            chain: None,
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

    /// A key that does what a writer key does and opens one chain, with a signing key and certificate of its own.
    pub fn chain_key(
        &self,
        chain: Id,
        private: ChainPrivateKey,
        serial: Id,
        entropy: EntropySource<'_>,
    ) -> Result<Self, FormatError> {
        let writer = self.writer_key(serial, entropy)?;
        Ok(Self { kind: KeyKind::Chain, chain: Some(OpenedChain { chain, private }), ..writer })
    }

    /// The private half of the recovery key, for `operation`.
    pub fn recovery(&self, operation: &'static str) -> Result<&RecoverySecrets, FormatError> {
        self.recovery.as_ref().ok_or(FormatError::RecoveryKeyNeeded { operation })
    }

    /// The secrets of `generation`.
    pub fn secrets_of(&self, generation: u32) -> Result<&TeamSecrets, FormatError> {
        let mut all = self.secrets.iter();
        let found = all.find(|secrets| secrets.generation == generation).map(|found| &found.secrets);
        found.ok_or(FormatError::SecretsUnknown { generation, held: self.newest_secrets().generation })
    }

    /// The secrets of new chains.
    ///
    /// # Panics
    /// Where the key file has none: one that was made or decoded here has those of generation 1 at least.
    #[must_use]
    pub fn newest_secrets(&self) -> &GenerationSecrets {
        self.secrets.last().expect("a key file has the secrets of generation 1 at least")
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
        self.check_generations()?;
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
        check(self.chain.is_some() == (self.kind == KeyKind::Chain), WHAT, "kind and chain disagree")?;
        let Some(recovery) = &self.recovery else { return Ok(()) };
        check(recovery.x25519.public() == self.x25519_public, WHAT, "X25519 halves do not fit")?;
        let pinned = self.pinned.last().map(|pinned| pinned.ed25519);
        check(pinned == Some(recovery.ed25519.verifying_key()), WHAT, "Ed25519 halves do not fit")
    }

    fn check_generations(&self) -> Result<(), FormatError> {
        let pinned: Vec<u32> = self.pinned.iter().map(|pinned| pinned.generation).collect();
        check_range(WHAT, "pinned generations", pinned.len() as u64, 1, GENERATIONS_MAX)?;
        let ends = pinned.first() == Some(&1) && pinned.last() == Some(&self.generation);
        check(ends, WHAT, "pinned keys do not begin with generation 1 and end with the key's own")?;
        check(ascends(&pinned), WHAT, "generations of pinned keys do not ascend")?;
        let secrets: Vec<u32> = self.secrets.iter().map(|secrets| secrets.generation).collect();
        check(secrets.first() == Some(&1), WHAT, "the secrets of generation 1 are missing")?;
        check(ascends(&secrets), WHAT, "generations of secrets do not ascend")?;
        let known = secrets.iter().all(|generation| pinned.contains(generation));
        check(known, WHAT, "secrets of a generation that is not pinned")
    }
}

fn ascends(generations: &[u32]) -> bool {
    generations.is_sorted_by(|before, after| before < after)
}

impl GenerationSecrets {
    fn draw(generation: u32, entropy: EntropySource<'_>) -> Self {
        let secrets =
            TeamSecrets { metadata: Secret32::new(draw(entropy)), hash: Secret32::new(draw(entropy)) };
        Self { generation, secrets }
    }
}

fn draw<const N: usize>(entropy: EntropySource<'_>) -> [u8; N] {
    let mut bytes = [0; N];
    entropy(&mut bytes);
    bytes
}
