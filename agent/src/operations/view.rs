//! Who starts and sees operations, and what is told of them.

use coffer_format::{Id, Label};

use super::record::Record;
use crate::shares::Holder;

/// A page of operations ends with the one that makes it larger, bytes.
pub const PAGE_BYTES_MAX: u64 = 256 << 10;

/// Who starts an operation.
#[derive(Debug, Clone)]
pub struct Caller {
    /// As it is shown.
    pub name: String,
    /// Whether it is the team itself, and not the controller for it.
    pub is_team: bool,
}

impl Caller {
    /// On whose account an operation of `team` waits that this caller starts.
    pub(super) fn holder(&self, team: &Label) -> Holder {
        if self.is_team { Holder::Team(team.clone()) } else { Holder::Controller }
    }
}

/// Whose operations are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// All.
    All,
    /// Those of one team.
    Team(Label),
}

impl Viewer {
    pub(super) fn sees(&self, team: &Label) -> bool {
        match self {
            Viewer::All => true,
            Viewer::Team(own) => own == team,
        }
    }
}

/// An operation as it is now.
#[derive(Debug, Clone)]
pub struct View {
    /// What is known of it, with its present progress.
    pub record: Record,
    /// What it waits for, if it does.
    pub waiting_for: String,
}

/// A page of operations.
#[derive(Debug, Clone)]
pub struct Page {
    /// Newest first; without results.
    pub views: Vec<View>,
    /// The last one, if more follow.
    pub next: Option<Id>,
}

/// Operations that have not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wait.
    pub waiting: usize,
    /// Backups that run.
    pub backups: usize,
    /// Restores that run.
    pub restores: usize,
    /// Verifications that run.
    pub verifications: usize,
}
