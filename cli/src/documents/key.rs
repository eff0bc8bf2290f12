//! The results of `key`: names, places and public parts; never a secret.

use coffer_format::{Certificate, Id, KeyFile, KeyKind, Label, PinnedKey, PlanId, RepositoryId};
use serde::{Serialize, Serializer};

use crate::human;
use crate::output::Document;
use crate::text::Text;

/// New key files.
#[derive(Debug, Serialize)]
pub(crate) struct NewKeyDocument {
    pub(crate) repository: RepositoryId,
    pub(crate) team: Label,
    pub(crate) generation: u32,
    pub(crate) key_file: Option<String>,
    pub(crate) writer_key_file: Option<String>,
    /// Chains sealed to the new key, by a rotation.
    pub(crate) chains: u64,
    /// Points that a rotation found, which go on counting.
    pub(crate) points: u64,
    /// Chains of which a rotation could open no key.
    pub(crate) chains_unopened: u64,
}

impl Document for NewKeyDocument {
    fn text(&self) -> Text {
        let mut text = Text::of(format_args!("team {}, generation {}", self.team, self.generation));
        for (kind, path) in [("recovery", &self.key_file), ("writer", &self.writer_key_file)] {
            if let Some(path) = path {
                text.line(format_args!("{kind} key: {}", path));
            }
        }
        if self.chains > 0 {
            text.line(format_args!("{} can be read with the new key", human::count(self.chains, "chain")));
        }
        if self.chains_unopened > 0 {
            let chains = human::count(self.chains_unopened, "chain");
            text.line(format_args!(
                "{chains} had no key that opens: neither key reads them; see `coffer verify`"
            ));
        }
        text
    }
}

/// The public parts of a key file.
#[derive(Debug, Serialize)]
pub(crate) struct ShowKeyDocument {
    #[serde(serialize_with = "kind_word")]
    kind: KeyKind,
    repository: RepositoryId,
    team: Label,
    generation: u32,
    pinned: Vec<PinnedKey>,
    /// Generations of the metadata secrets in the file.
    secrets: Vec<u32>,
    x25519_public: String,
    certificate: Certificate,
}

impl From<&KeyFile> for ShowKeyDocument {
    fn from(key: &KeyFile) -> Self {
        ShowKeyDocument {
            kind: key.kind,
            repository: key.repository,
            team: key.team.clone(),
            generation: key.generation,
            pinned: key.pinned.clone(),
            secrets: key.secrets.iter().map(|secrets| secrets.generation).collect(),
            x25519_public: key.x25519_public.to_string(),
            certificate: key.certificate.clone(),
        }
    }
}

impl Document for ShowKeyDocument {
    fn text(&self) -> Text {
        let mut text = Text::of(format_args!("kind         {} key", kind_name(self.kind)));
        text.line(format_args!("repository   {}", self.repository));
        text.line(format_args!("team         {}", self.team));
        text.line(format_args!("generation   {}", self.generation));
        text.line(format_args!("X25519       {}", self.x25519_public));
        for pinned in &self.pinned {
            text.line(format_args!("Ed25519 {:<4} {}", pinned.generation, pinned.ed25519));
        }
        let secrets: Vec<String> = self.secrets.iter().map(u32::to_string).collect();
        text.line(format_args!("secrets of   {}", secrets.join(", ")));
        text.line(format_args!("certificate  {} for {}", self.certificate.serial, self.certificate.public));
        text
    }
}

/// Whether a key fits a repository.
#[derive(Debug, Serialize)]
pub(crate) struct CheckKeyDocument {
    #[serde(serialize_with = "kind_word")]
    pub(crate) kind: KeyKind,
    pub(crate) repository: RepositoryId,
    pub(crate) team: Label,
    pub(crate) generation: u32,
    /// Newest generation that the repository knows.
    pub(crate) newest_generation: u32,
    /// Generation of the secrets that new chains get.
    pub(crate) secrets_generation: u32,
    /// Chains that points use.
    pub(crate) chains: u64,
    /// Those whose key was opened; 0 with a writer key, which opens none.
    pub(crate) chains_opened: u64,
    pub(crate) problems: Vec<KeyProblem>,
}

/// A chain that the key does not open.
#[derive(Debug, Serialize)]
pub(crate) struct KeyProblem {
    #[serde(serialize_with = "plan_text")]
    pub(crate) plan: PlanId,
    pub(crate) chain: Id,
    pub(crate) detail: String,
}

impl CheckKeyDocument {
    /// Whether it is a writer key whose generation was replaced, so that it makes no more points.
    pub(crate) fn is_replaced_writer(&self) -> bool {
        self.kind != KeyKind::Recovery && self.generation < self.newest_generation
    }
}

impl Document for CheckKeyDocument {
    fn text(&self) -> Text {
        let mut text = Text::of(format_args!(
            "{} key of team {}, generation {} (newest: {})",
            kind_name(self.kind),
            self.team,
            self.generation,
            self.newest_generation
        ));
        for problem in &self.problems {
            text.line(format_args!("plan {} chain {}: {}", problem.plan, problem.chain, problem.detail));
        }
        text.line(match self.kind {
            KeyKind::Recovery => {
                format!("{} of {} opened", self.chains_opened, human::count(self.chains, "chain"))
            }
            KeyKind::Writer | KeyKind::Chain if self.is_replaced_writer() => {
                format!("replaced by generation {}: it makes no more backups", self.newest_generation)
            }
            KeyKind::Chain => "a chain key makes backups and opens one chain".into(),
            KeyKind::Writer => "a writer key makes backups and opens no chain".into(),
        });
        text
    }
}

/// `recovery` or `writer`.
pub(crate) fn kind_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Recovery => "recovery",
        KeyKind::Writer => "writer",
        KeyKind::Chain => "chain",
    }
}

fn kind_word<S: Serializer>(kind: &KeyKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind_name(*kind))
}

fn plan_text<S: Serializer>(plan: &PlanId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(plan)
}
