//! Chooses moments to kill at from what earlier runs of the same command took.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use coffer_tests::chance::Chance;
use coffer_tests::moment::Moment;
use coffer_tests::process::Outcome;

use crate::rounds::Verb;

/// Durations and numbers of events of whole runs, by command.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    seen: BTreeMap<Verb, (Duration, u64)>,
}

impl Timing {
    /// A moment of a run of `verb` that changes `places`; the first run is left alone and measured.
    pub(crate) fn moment<'a>(&self, chance: &mut Chance, verb: Verb, places: Vec<&'a Path>) -> Moment<'a> {
        let Some((duration, events)) = self.seen.get(&verb) else {
            return Moment::Event { places, number: None };
        };
        if *events > 0 && chance.happens(50) {
            return Moment::Event { places, number: Some(1 + chance.below(*events)) };
        }
        let longest = u64::try_from(duration.as_micros()).expect("a short time").max(1);
        // Often in the second half, where a run commits, and a little beyond.
        let first = if chance.happens(50) { longest / 2 } else { 0 };
        Moment::After(Duration::from_micros(first + chance.below(longest - first + longest / 8)))
    }

    /// Learns from a run that came to its end: recent runs count more.
    pub(crate) fn learn(&mut self, verb: Verb, outcome: &Outcome) {
        let (duration, events) = self.seen.entry(verb).or_insert((outcome.duration, outcome.events));
        *duration = (*duration * 3 + outcome.duration) / 4;
        *events = (*events).max(outcome.events);
    }
}
