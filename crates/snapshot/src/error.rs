//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What follows from a failed question for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The same source may answer if it is asked again.
    RetrySame,
    /// The next rung of the ladder.
    NextSource,
    /// Every byte is read, and no source is believed, holes included.
    FullBackup,
    /// The volume fails.
    Abort,
}

/// Why a source cannot tell what changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChangesError {
    /// The base is not there any more.
    #[error("the base snapshot {id} is gone")]
    BaseMissing {
        /// The snapshot.
        id: String,
    },
    /// What is there is not the base, or was changed since.
    #[error("the base snapshot {id} is not what the parent point was read from: {detail}")]
    BaseMismatch {
        /// The snapshot.
        id: String,
        /// What differs.
        detail: String,
    },
    /// The token is of another engine or version.
    #[error("the parent point's base is of {engine} version {version}, which this source does not know")]
    ForeignToken {
        /// Engine of the token.
        engine: String,
        /// Version of the token.
        version: u16,
    },
    /// Maps moved while they were compared.
    #[error("the extent maps changed while they were compared")]
    Moved,
    /// The file system's answer contradicts itself.
    #[error("the extent map is not plausible: {detail}")]
    Implausible {
        /// What is wrong.
        detail: String,
    },
    /// The snapshot itself is not valid any more.
    #[error("the snapshot is not valid any more: {detail}")]
    Invalidated {
        /// What happened.
        detail: String,
    },
    /// A call failed.
    #[error("cannot {step} {path}: {source}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ChangesError {
    /// What to do.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Moved => Disposition::RetrySame,
            Self::BaseMissing { .. }
            | Self::BaseMismatch { .. }
            | Self::ForeignToken { .. }
            | Self::Io { .. } => Disposition::NextSource,
            Self::Implausible { .. } => Disposition::FullBackup,
            Self::Invalidated { .. } => Disposition::Abort,
        }
    }
}

/// Why a snapshot cannot be taken or given up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A call failed.
    #[error("cannot {step} {path}: {source}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
