//! A run of `forget`: where it stands.

use super::names::{PointId, Points};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// About to list the manifests.
    ListPoints,
    /// About to read the manifest of the newest point that is left.
    GetManifest,
    /// About to see whether it is confirmed.
    AskConfirmed,
    /// About to choose a point to delete.
    Choose,
    /// About to put `ending/<point>`.
    Announce,
    /// About to look for pins.
    LookForPins,
    /// About to look for a hold.
    LookForHold,
    /// About to see once more whether the point is confirmed.
    AskAgain,
    /// About to delete the manifest.
    Delete,
    /// Ended, or died.
    Over,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Forgetter {
    /// Where it stands.
    pub phase: Phase,
    /// Points that may still turn out to be the newest.
    pub candidates: Points,
    /// Points seen, then those that may be deleted.
    pub seen: Points,
    /// The point that is being dealt with.
    pub target: Option<PointId>,
    /// Whether that point was confirmed when it was chosen: only then is it given up on purpose.
    pub sure: bool,
}

impl Forgetter {
    /// A run that is about to start.
    pub const START: Self = Self {
        phase: Phase::ListPoints,
        candidates: Points::NONE,
        seen: Points::NONE,
        target: None,
        sure: false,
    };
    /// No run, or one that has ended.
    pub const OVER: Self = Self { phase: Phase::Over, ..Self::START };

    /// Whether the run has ended.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}
