//! A run of `prune`: finds what no manifest names, ends its ids, reads again, says what will go, and deletes it.
//!
//! How it reads is in `survey`. Must never delete an object that it has not put on an `ended` list.

use super::names::{Objects, PointId};
use super::pruner::{Phase, Pruner};
use super::pruner_order::advance;
use super::rule::Rule;
use super::scenario::Scenario;
use super::state::State;
use super::step::{Key, Request, Turn};
use super::survey;

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
