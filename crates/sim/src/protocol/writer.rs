//! A run of `backup`: where it stands.

use super::agent::Agent;
use super::names::Points;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// There is no such run.
    Absent,
    /// About to look at the points.
    ListPoints,
    /// About to read the newest candidate's manifest.
    GetCandidate,
    /// About to see whether the candidate is confirmed.
    AskConfirmed,
    /// About to see whether the candidate is ending.
    AskEnding,
    /// About to see whether the keys of the candidate's chain are sealed to the newest recovery key.
    AskSealed,
    /// About to see whether the leftover's id has a manifest.
    AskLeftover,
    /// About to see whether the leftover's id is ending.
    AskLeftoverEnding,
    /// About to list the leftover's packs.
    ListLeftovers,
    /// About to put the chain's keys.
    PutKeys,
    /// About to look for a newer recovery key, having put the chain's keys.
    LookForNewer,
    /// About to put the packs of volume A.
    PutPackA,
    /// About to put the packs of volume B.
    PutPackB,
    /// Waiting for the agents' volume records.
    Agents,
    /// About to put the manifest.
    PutManifest,
    /// About to look for an `ending` record of its own.
    CheckOwn,
    /// About to look whether the parent still stands.
    CheckParent,
    /// About to look for an `ending` record of the id whose packs it took over.
    CheckTaken,
    /// About to look for a newer recovery key, having put the manifest.
    CheckNewer,
    /// About to put the `confirmed` record.
    PutConfirmed,
    /// About to look once more for an `ending` record of its own.
    CheckOwnAgain,
    /// Reported success.
    Done,
    /// Reported that it was fenced.
    Fenced,
    /// Died, or gave up and reported failure.
    Dead,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Writer {
    /// Where it stands.
    pub phase: Phase,
    /// Points that may still turn out to be the parent.
    pub candidates: Points,
    /// Whether the leftover's packs may be taken over.
    pub may_take: bool,
    /// Whether the next PUT of a pack is a new encoding under the old name.
    pub reencodes: bool,
    /// Whether it told its caller of success.
    pub reported: bool,
    /// The agents of volumes A and B.
    pub agents: [Agent; 2],
}

impl Writer {
    /// A run that is about to start.
    pub const START: Self = Self {
        phase: Phase::ListPoints,
        candidates: Points::NONE,
        may_take: false,
        reencodes: false,
        reported: false,
        agents: [Agent::Idle; 2],
    };
    /// No run.
    pub const ABSENT: Self = Self { phase: Phase::Absent, ..Self::START };

    /// Whether the run and its agents have ended.
    pub fn is_over(&self) -> bool {
        self.has_ended() && !self.agents.iter().any(Agent::is_working)
    }

    /// Whether the run itself has ended, whatever its agents still do.
    pub const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Absent | Phase::Done | Phase::Fenced | Phase::Dead)
    }

    pub(super) fn end(&mut self, phase: Phase) {
        *self = Self {
            phase,
            reported: self.reported || phase == Phase::Done,
            agents: self.agents,
            ..Self::START
        };
    }
}
