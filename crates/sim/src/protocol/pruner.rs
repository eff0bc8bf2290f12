//! A run of `prune`: finds what no manifest names, ends its ids, reads again, says what will go, and deletes it.
//!
//! How it reads is in `survey`. Must never delete an object that it has not put on an `ended` list.

use super::names::{Objects, PointId, Points};
use super::rule::Rule;
use super::scenario::Scenario;
use super::state::State;
use super::step::{Key, Request, Turn};
use super::survey;

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
    /// Without [`Rule::EndingStays`] or [`Rule::EndedStays`]: deleting its records.
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

/// Adds the steps that pruner `i` may take.
pub fn steps(turn: &mut Turn<'_>, i: usize) {
    let pruner = turn.state.pruners[i];
    if pruner.is_over() {
        return;
    }
    turn.crash(|next| next.pruners[i] = Pruner::OVER);
    match pruner.phase {
        Phase::PutEnding => put_ending(turn, i),
        Phase::PutEnded => put_ended(turn, i),
        Phase::Delete => delete(turn, i),
        Phase::DeleteVoid => delete_void(turn, i),
        Phase::TidyUp => tidy_up(turn, i),
        _ => survey::steps(turn, i),
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

fn first(turn: &Turn<'_>, i: usize) -> PointId {
    turn.state.pruners[i].todo.first().expect("a phase ends when nothing is left to do")
}

/// Takes `id` off what is to do, and goes on when that was the last.
fn did(scenario: &Scenario, next: &mut State, i: usize, id: PointId) {
    next.pruners[i].todo.remove(id);
    if next.pruners[i].todo.is_empty() {
        let phase = next.pruners[i].phase;
        advance(scenario, next, i, Some(phase));
    }
}

fn put_ending(turn: &mut Turn<'_>, i: usize) {
    let (scenario, id) = (turn.scenario, first(turn, i));
    turn.put(Key::Ending(id), |store| store.ending.insert(id), |next| did(scenario, next, i, id));
}

fn put_ended(turn: &mut Turn<'_>, i: usize) {
    let (scenario, id) = (turn.scenario, first(turn, i));
    let list = turn.state.pruners[i].free.only(Objects::of(id));
    turn.put(Key::Ended(id), |store| store.ended = store.ended.with(list), |next| did(scenario, next, i, id));
}

fn delete(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let object = turn.state.pruners[i].objects.first().expect("a phase ends when nothing is left to do");
    turn.delete(
        Key::Data(object),
        |store| store.objects.remove(object),
        |next| {
            next.pruners[i].objects.remove(object);
            if next.pruners[i].objects.is_empty() {
                advance(scenario, next, i, Some(Phase::Delete));
            }
        },
    );
}

fn delete_void(turn: &mut Turn<'_>, i: usize) {
    let (scenario, id) = (turn.scenario, first(turn, i));
    let store = &turn.state.store;
    if !turn.state.pruners[i].voided.has(id) && store.confirmed.has(id) {
        turn.take(Request::Get(Key::Confirmed(id), true), |next| did(scenario, next, i, id));
        return;
    }
    let is_whole = turn.state.pruners[i].voided.has(id) && store.plan(id).names.within(store.objects);
    if is_whole && scenario.rules.obeys(Rule::WholeStays) {
        turn.take(Request::Decide("leaves a manifest of which nothing is gone"), |next| {
            did(scenario, next, i, id)
        });
        return;
    }
    turn.delete(Key::Manifest(id), |store| store.manifests.remove(id), |next| did(scenario, next, i, id));
}

fn tidy_up(turn: &mut Turn<'_>, i: usize) {
    let (scenario, id) = (turn.scenario, first(turn, i));
    let list = turn.state.pruners[i].free.only(Objects::of(id));
    if scenario.rules.obeys(Rule::EndingStays) {
        let effect = |store: &mut super::store::Store| store.ended = store.ended.without(list);
        turn.delete(Key::Ended(id), effect, |next| did(scenario, next, i, id));
    } else {
        turn.delete(Key::Ending(id), |store| store.ending.remove(id), |next| did(scenario, next, i, id));
    }
}
