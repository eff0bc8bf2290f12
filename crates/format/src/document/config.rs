//! `coffer.json`: what makes a prefix a repository.

use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, check_format, with_digest, without_digest};
use crate::{FormatError, RepositoryId, Suite};

const WHAT: &str = "coffer.json";

/// The repository's configuration; written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of the format: 1.
    pub format: u32,
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Whether objects are sealed by suite 1; otherwise suite 0.
    pub encrypted: bool,
}

impl Config {
    /// The configuration of a new repository.
    #[must_use]
    pub const fn new(repository: RepositoryId, encrypted: bool) -> Self {
        Self { format: FORMAT_VERSION, repository, encrypted }
    }

    /// The suite of all objects that this repository writes.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        Suite::for_encrypted(self.encrypted)
    }

    /// The object's bytes: compact JSON and its digest, each a line.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        with_digest(self)
    }

    /// The configuration that the object `bytes` holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let config: Self = without_digest(WHAT, bytes)?;
        check_format(WHAT, config.format)?;
        Ok(config)
    }
}
