//! The step that a forger may take.

use super::forger::Forger;
use super::names::PointId;
use super::step::{Key, Turn};

/// Adds the step that the forger may take, at any moment.
pub fn steps(turn: &mut Turn<'_>) {
    let Some(point) = turn.scenario.forges.filter(|_| turn.state.forger == Forger::Put) else { return };
    put(turn, point);
}

fn put(turn: &mut Turn<'_>, point: PointId) {
    let names = turn.state.store.plan(point).names;
    turn.put(
        Key::Ended(point),
        |store| store.ended = store.ended.with(names),
        |next| next.forger = Forger::Over,
    );
}
