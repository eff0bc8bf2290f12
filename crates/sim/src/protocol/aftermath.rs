//! What comes after a run has come to rest: a prune, the next backup, and a prune again, alone and undisturbed.
//!
//! Uses the same steps as the actors; must never change the state that it is asked about.

use super::listing::Listing;
use super::names::{Objects, PointId, Points};
use super::property_name::Property;
use super::pruner::Pruner;
use super::pruner_steps;
use super::rotator::Rotator;
use super::rotator_steps;
use super::rule::Rule;
use super::scenario::Scenario;
use super::state::State;
use super::step::{Actor, Step, Turn};
use super::store::Store;
use super::writer::{Phase, Writer};
use super::writer_steps;

/// More steps than any lone run takes.
const STEPS_MAX: usize = 200;

/// The property that the aftermath of `rest` breaks. `after` is [`Scenario::aftermath`].
pub fn broken(after: &Scenario, rest: &State) -> Option<Property> {
    let pruned = prune(after, rest);
    let Some(backed_up) = back_up(after, &pruned) else {
        return Some(Property::NextBackupWorks);
    };
    let clean = prune(after, &backed_up);
    let removable = nobodys(&pruned.store).owned_by(endable(after, &pruned.store));
    let gone = removable.is_empty() && nobodys(&clean.store).is_empty() && !has_void(after, &clean.store);
    if gone { None } else { Some(Property::GarbageGoes) }
}

/// The ids that prune may end: those that a person named, and those before the newest confirmed point that stands.
fn endable(after: &Scenario, store: &Store) -> Points {
    let newest = store.confirmed.iter().filter(|&point| store.visible(after.rules, point)).last();
    after.pruners[0].with(newest.map_or(Points::NONE, Points::before))
}

/// The objects that no manifest names.
fn nobodys(store: &Store) -> Objects {
    store.manifests.iter().fold(store.objects, |rest, point| rest.without(store.plan(point).names))
}

/// Whether a void manifest is left that prune may remove. One of a confirmed point of which nothing is gone is for a person to forget.
fn has_void(after: &Scenario, store: &Store) -> bool {
    let stays = |point: PointId| {
        let is_whole = store.confirmed.has(point) && store.plan(point).names.within(store.objects);
        is_whole && after.rules.obeys(Rule::WholeStays)
    };
    store.manifests.iter().any(|point| !store.visible(after.rules, point) && !stays(point))
}

fn prune(after: &Scenario, state: &State) -> State {
    let mut state = State { pruners: [Pruner::START, Pruner::OVER], ..*state };
    run(after, &mut state, Actor::Pruner(0), pruner_steps::steps);
    state
}

/// The rotation done to its end, alone and with nothing going wrong.
pub fn finish_rotation(scenario: &Scenario, rest: &State) -> State {
    let calm = Scenario { crashes: false, lost_answers: false, listing: Listing::Exact, ..scenario.clone() };
    let mut state = State { rotator: Rotator::start(calm.rules, &rest.store.rotation), ..*rest };
    run(&calm, &mut state, Actor::Rotator, |turn, _| rotator_steps::steps(turn));
    state
}

fn back_up(after: &Scenario, state: &State) -> Option<State> {
    let mut state = *state;
    state.writers = [Writer::START, Writer::ABSENT, Writer::ABSENT, Writer::ABSENT];
    run(after, &mut state, Actor::Writer(PointId::SPARE), writer_steps::steps);
    (state.writers[0].phase == Phase::Done && state.store.readable(after.rules, PointId::SPARE))
        .then_some(state)
}

fn run(after: &Scenario, state: &mut State, actor: Actor, steps: fn(&mut Turn<'_>, usize)) {
    let mut found: Vec<Step> = Vec::new();
    for _ in 0..STEPS_MAX {
        steps(&mut Turn { scenario: after, state, actor, steps: &mut found }, 0);
        let Some(step) = found.drain(..).next() else { return };
        *state = step.next;
    }
}
