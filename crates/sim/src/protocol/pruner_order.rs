//! The order of what a run of `prune` does, with each rule and without it.

use super::names::{Objects, Points};
use super::pruner::{Phase, Pruner};
use super::rule::Rule;
use super::scenario::Scenario;
use super::state::State;

const ORDER: [Phase; 7] = [
    Phase::PutEnding,
    Phase::ListPointsAgain,
    Phase::ListDataAgain,
    Phase::PutEnded,
    Phase::Delete,
    Phase::DeleteVoid,
    Phase::TidyUp,
];

/// Without [`Rule::EndingBeforeReread`].
const ENDING_LATE: [Phase; 7] = [
    Phase::ListPointsAgain,
    Phase::ListDataAgain,
    Phase::PutEnding,
    Phase::PutEnded,
    Phase::Delete,
    Phase::DeleteVoid,
    Phase::TidyUp,
];

/// Without [`Rule::EndedBeforeDelete`].
const ENDED_LATE: [Phase; 7] = [
    Phase::PutEnding,
    Phase::ListPointsAgain,
    Phase::ListDataAgain,
    Phase::Delete,
    Phase::PutEnded,
    Phase::DeleteVoid,
    Phase::TidyUp,
];

fn order(scenario: &Scenario) -> &'static [Phase; 7] {
    if !scenario.rules.obeys(Rule::EndingBeforeReread) {
        &ENDING_LATE
    } else if !scenario.rules.obeys(Rule::EndedBeforeDelete) {
        &ENDED_LATE
    } else {
        &ORDER
    }
}

/// Moves pruner `i` to the first phase after `from` that has something to do; past the last it is over.
pub(super) fn advance(scenario: &Scenario, next: &mut State, i: usize, from: Option<Phase>) {
    let order = order(scenario);
    let start = from.and_then(|from| order.iter().position(|&phase| phase == from)).map_or(0, |at| at + 1);
    let pruner = &mut next.pruners[i];
    for &phase in &order[start..] {
        pruner.todo = todo(scenario, pruner, phase);
        let applies = match phase {
            Phase::ListPointsAgain => {
                !pruner.free.is_empty() && scenario.rules.obeys(Rule::RereadAfterEnding)
            }
            Phase::ListDataAgain => false,
            Phase::Delete => !pruner.free.is_empty(),
            _ => !pruner.todo.is_empty(),
        };
        if applies {
            pruner.phase = phase;
            pruner.objects = if phase == Phase::Delete { pruner.free } else { Objects::NONE };
            return;
        }
    }
    *pruner = Pruner::OVER;
}

fn todo(scenario: &Scenario, pruner: &Pruner, phase: Phase) -> Points {
    let obeys = |rule| scenario.rules.obeys(rule);
    match phase {
        Phase::PutEnding | Phase::PutEnded => pruner.free.owners(),
        Phase::DeleteVoid if obeys(Rule::PruneDeletesOnlyVoid) => pruner.voided,
        Phase::DeleteVoid => pruner.voided.with(pruner.standing),
        Phase::TidyUp if !obeys(Rule::EndingStays) || !obeys(Rule::EndedStays) => pruner.free.owners(),
        _ => Points::NONE,
    }
}
