//! The ports that hold a volume still.

use std::fs::File;
use std::path::Path;

use crate::changed_blocks::ChangedBlockSource;
use crate::error::SnapshotError;
use crate::facts::Facts;

/// What an engine says of a volume before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It can take a snapshot.
    Can,
    /// It cannot, and why.
    Cannot(String),
}

/// A snapshot to take.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotRequest<'a> {
    /// The volume.
    pub path: &'a Path,
    /// Snapshots of one owner never stand in the way of another's: the plan's full name.
    pub owner: &'a str,
    /// Whether the snapshot is to serve the next run as its base.
    pub keep_as_base: bool,
}

/// How the run ended that a snapshot was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The point exists: this snapshot alone is a base.
    Committed,
    /// The volume is stored, and somebody else commits: the base of this run may still be the next one's.
    Stored,
    /// There is no point.
    Failed,
}

/// Takes snapshots of one kind of volume.
pub trait SnapshotProvider: Send + Sync {
    /// Name of the engine.
    fn engine(&self) -> &'static str;

    /// Whether it can take a snapshot of what is at `path`. Changes nothing.
    fn probe(&self, path: &Path) -> Probe;

    /// Takes a snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`]: nothing is left behind, the next engine is to be asked.
    fn take(&self, request: &SnapshotRequest<'_>) -> Result<Box<dyn Snapshot>, SnapshotError>;
}

/// A volume that is held still, or is at least watched.
pub trait Snapshot: Send + Sync {
    /// What is to be read; `None`: the volume itself.
    fn file(&self) -> Option<&File>;

    /// What is recorded, asked for once all was read: what happened meanwhile counts.
    fn facts(&self) -> Facts;

    /// What can tell changes.
    fn changes(&self) -> Option<&dyn ChangedBlockSource>;

    /// Keeps what the next run needs and removes the rest. Not called, nothing is lost but space, which the next run's end gives back.
    ///
    /// # Errors
    /// [`SnapshotError`] where something cannot be removed.
    fn settle(&self, outcome: Outcome) -> Result<(), SnapshotError>;
}
