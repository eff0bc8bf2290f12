//! What a run did, so that one that did nothing is noticed.

use std::collections::BTreeMap;
use std::fmt;

use crate::rounds::Verb;

/// Counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Runs and those killed, by command.
    pub(crate) kills: BTreeMap<Verb, (u64, u64)>,
    pub(crate) points: u64,
    pub(crate) points_of_killed: u64,
    pub(crate) forgotten: u64,
    pub(crate) volumes_compared: u64,
    pub(crate) restores_finished: u64,
    /// Backups that took packs of killed runs over, and the bytes of these packs.
    pub(crate) resumed: u64,
    pub(crate) resumed_bytes: u64,
}

impl Tally {
    /// Fails where a long enough run never hit some command while it ran.
    pub(crate) fn check_it_did_something(&self, rounds: u64) {
        if rounds < 100 {
            return;
        }
        for (verb, (runs, killed)) in &self.kills {
            assert!(*killed > 0, "none of {runs} runs of {verb:?} was killed");
        }
        assert_eq!(self.kills.len(), Verb::ALL.len(), "every command had its turn: {self}");
        assert!(self.points > 0 && self.volumes_compared > 0 && self.resumed_bytes > 0, "{self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (verb, (runs, killed)) in &self.kills {
            write!(formatter, "{verb:?} killed {killed} of {runs}, ")?;
        }
        write!(
            formatter,
            "{} points made ({} by killed runs), {} forgotten, {} volumes compared, {} killed restores finished, {} backups took \
             {} bytes over",
            self.points,
            self.points_of_killed,
            self.forgotten,
            self.volumes_compared,
            self.restores_finished,
            self.resumed,
            self.resumed_bytes
        )
    }
}
