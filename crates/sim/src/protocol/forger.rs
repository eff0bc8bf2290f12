//! Somebody who can write to the bucket, perhaps with a stolen writer key, and wants a point gone: puts a made-up list under `ended/`.

use super::names::PointId;
use super::step::{Key, Turn};

/// Where the forger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forger {
    /// About to put the list.
    Put,
    /// Nobody, or done.
    Over,
}

impl Forger {
    /// Whether nothing more comes.
    pub fn is_over(self) -> bool {
        self == Forger::Over
    }
}

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
