//! A run of `prune`: where it stands, and what it knows.

use super::names::{Objects, Points};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// About to list the manifests and the `ended` lists.
    ListPoints,
    /// About to list the data.
    ListData,
    /// Reading manifests.
    GetManifests,
    /// Looking for the newest confirmed point.
    AskConfirmed,
    /// Putting `ending` records.
    PutEnding,
    /// About to list the manifests again.
    ListPointsAgain,
    /// About to list the data again.
    ListDataAgain,
    /// Reading manifests again.
    GetManifestsAgain,
    /// Putting the lists of what will go.
    PutEnded,
    /// Deleting.
    Delete,
    /// Deleting void manifests.
    DeleteVoid,
    /// Without the rules `EndingStays` or `EndedStays`: deleting its records.
    TidyUp,
    /// Ended, or died.
    Over,
}

/// What is known of the id that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// Nothing yet.
    None,
    /// Its manifest was not found.
    NoManifest,
    /// Its manifest was not found, and then an `ending` record was.
    Ending,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pruner {
    /// Where it stands.
    pub phase: Phase,
    /// Ids that the phase still has to deal with.
    pub todo: Points,
    /// Ids that any name has mentioned.
    pub known: Points,
    /// Ids that are gone for good: no manifest stood after their `ending` record did.
    pub gone: Points,
    /// How much is known of an id whose manifest was not found.
    pub doubt: Doubt,
    /// Whether an id turned out to be gone during this reading, so that it has to be repeated.
    pub moved: bool,
    /// Points whose manifest was found standing and not void.
    pub standing: Points,
    /// Points whose manifest was found void.
    pub voided: Points,
    /// Objects found, and from the second reading on those still to delete.
    pub objects: Objects,
    /// Objects that a manifest names.
    pub named: Objects,
    /// Objects that are to go.
    pub free: Objects,
    /// What is known of the `ended` lists.
    pub ended: Objects,
}

impl Pruner {
    /// A run that is about to start.
    pub const START: Self = Self {
        phase: Phase::ListPoints,
        todo: Points::NONE,
        known: Points::NONE,
        gone: Points::NONE,
        doubt: Doubt::None,
        moved: false,
        standing: Points::NONE,
        voided: Points::NONE,
        objects: Objects::NONE,
        named: Objects::NONE,
        free: Objects::NONE,
        ended: Objects::NONE,
    };
    /// No run, or one that has ended.
    pub const OVER: Self = Self { phase: Phase::Over, ..Self::START };

    /// Whether the run has ended.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}
