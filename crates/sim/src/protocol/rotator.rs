//! A person who rotates the recovery key: where they stand, and the order of what they do.

use super::names::Points;
use super::rule::{Rule, Rules};
use super::store::Rotation;

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// About to put the new key's statement.
    PutStatement,
    /// About to list the manifests.
    ListPoints,
    /// About to put the list of points.
    PutList,
    /// About to list the chains.
    ListChains,
    /// About to seal the keys of a chain anew.
    Seal,
    /// Ended, or died.
    Over,
}

const ORDER: [Phase; 6] =
    [Phase::PutStatement, Phase::ListPoints, Phase::PutList, Phase::ListChains, Phase::Seal, Phase::Over];

/// Without [`Rule::ListsAfterStatement`].
const LISTED_FIRST: [Phase; 6] =
    [Phase::ListPoints, Phase::PutStatement, Phase::PutList, Phase::ListChains, Phase::Seal, Phase::Over];

/// One rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rotator {
    /// Where it stands.
    pub phase: Phase,
    /// The points that it found, then the chains that are still to be sealed.
    pub seen: Points,
}

impl Rotator {
    /// No rotation, or one that has ended.
    pub const OVER: Self = Self { phase: Phase::Over, seen: Points::NONE };

    /// A rotation that begins, or goes on where an earlier one was interrupted.
    pub fn start(rules: Rules, rotation: &Rotation) -> Self {
        let phase = match rotation {
            Rotation { done: true, .. } => Phase::Over,
            Rotation { list_stands: true, .. } => Phase::ListChains,
            Rotation { statement: true, .. } => Phase::ListPoints,
            _ => order(rules)[0],
        };
        Self { phase, seen: Points::NONE }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}

pub(super) fn order(rules: Rules) -> &'static [Phase; 6] {
    if rules.obeys(Rule::ListsAfterStatement) { &ORDER } else { &LISTED_FIRST }
}
