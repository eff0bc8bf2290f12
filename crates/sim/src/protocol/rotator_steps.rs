//! A person who rotates the team's recovery key: the statement, the list of the points that stand, then every chain's keys sealed anew.
//!
//! Whoever is interrupted finishes later. Must never delete, and never touch data.

use super::names::{ObjectId, PointId, Points};
use super::rotator::{Phase, Rotator, order};
use super::scenario::Scenario;
use super::state::State;
use super::step::{Key, Request, Turn};

/// Adds the steps that the rotation may take.
pub fn steps(turn: &mut Turn<'_>) {
    let rotator = turn.state.rotator;
    if rotator.is_over() {
        return;
    }
    turn.crash(|next| next.rotator = Rotator::OVER);
    match rotator.phase {
        Phase::PutStatement => put_statement(turn),
        Phase::ListPoints => list_points(turn),
        Phase::PutList => put_list(turn, rotator.seen),
        Phase::ListChains => list_chains(turn),
        Phase::Seal => seal(turn, rotator.seen),
        Phase::Over => {}
    }
}

fn go_on(scenario: &Scenario, next: &mut State, seen: Points) {
    let order = order(scenario.rules);
    let at = order.iter().position(|&phase| phase == next.rotator.phase).unwrap_or(order.len() - 1);
    let mut phase = order[(at + 1).min(order.len() - 1)];
    // A rotation that was interrupted between list and statement, in the broken order, put the statement already.
    if phase == Phase::PutStatement && next.store.rotation.statement {
        phase = Phase::PutList;
    }
    next.rotator = Rotator { phase, seen };
}

fn put_statement(turn: &mut Turn<'_>) {
    let scenario = turn.scenario;
    turn.put(
        Key::Statement,
        |store| store.rotation.statement = true,
        |next| go_on(scenario, next, next.rotator.seen),
    );
}

fn list_points(turn: &mut Turn<'_>) {
    let scenario = turn.scenario;
    for shown in scenario.listing.outside_prune().points(&turn.state.store) {
        turn.take(Request::ListPoints(shown), |next| go_on(scenario, next, shown));
    }
}

fn put_list(turn: &mut Turn<'_>, seen: Points) {
    let scenario = turn.scenario;
    let effect = |store: &mut super::store::Store| {
        store.rotation.list_stands = true;
        store.rotation.listed = seen;
    };
    turn.put(Key::PointsList, effect, |next| go_on(scenario, next, Points::NONE));
}

fn list_chains(turn: &mut Turn<'_>) {
    let scenario = turn.scenario;
    let objects = turn.state.store.objects;
    let opened = |id: &PointId| objects.has(ObjectId::keys(*id));
    let mut chains = Points::NONE;
    objects.owners().iter().filter(opened).for_each(|id| chains.insert(id));
    turn.take(Request::ListData(objects), |next| {
        go_on(scenario, next, chains.without(next.store.rotation.sealed));
        end_if_none_is_left(next);
    });
}

fn seal(turn: &mut Turn<'_>, seen: Points) {
    let Some(chain) = seen.first() else { return };
    turn.put(
        Key::Sealed(chain),
        |store| store.rotation.sealed.insert(chain),
        |next| {
            next.rotator.seen.remove(chain);
            end_if_none_is_left(next);
        },
    );
}

fn end_if_none_is_left(next: &mut State) {
    if next.rotator.seen.is_empty() {
        next.rotator = Rotator::OVER;
        next.store.rotation.done = true;
    }
}
