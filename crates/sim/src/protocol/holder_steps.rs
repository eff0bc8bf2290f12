//! A person with `hold`: exempts a point from forget, and releases it later.
//!
//! Must never report a hold that forget may already have looked past.

use super::holder::Holder;
use super::names::PointId;
use super::rule::{Rule, Rules};
use super::step::{Key, Request, Turn};
use super::store::Store;

/// Adds the steps that the person may take.
pub fn steps(turn: &mut Turn<'_>) {
    let Some(point) = turn.scenario.hold else { return };
    match turn.state.holder {
        Holder::Put => put(turn, point),
        Holder::LookForEnding => look_for_ending(turn, point),
        Holder::GetManifest => get_manifest(turn, point),
        Holder::Held => {
            turn.take(Request::Decide("decides to release"), |next| next.holder = Holder::Release)
        }
        Holder::Release => release(turn, point),
        Holder::Over => {}
    }
}

fn put(turn: &mut Turn<'_>, point: PointId) {
    let rules = turn.scenario.rules;
    let looks = rules.obeys(Rule::HoldLooksAtEnding);
    turn.put(
        Key::Hold(point),
        |store| record(rules, store, point, true),
        |next| next.holder = if looks { Holder::LookForEnding } else { Holder::GetManifest },
    );
}

fn look_for_ending(turn: &mut Turn<'_>, point: PointId) {
    let found = turn.state.store.ending.has(point);
    turn.take(Request::Get(Key::Ending(point), found), |next| {
        next.holder = if found { Holder::Release } else { Holder::GetManifest };
    });
}

fn get_manifest(turn: &mut Turn<'_>, point: PointId) {
    let found = turn.state.store.manifests.has(point);
    turn.take(Request::Get(Key::Manifest(point), found), |next| {
        next.holder = if found { Holder::Held } else { Holder::Release };
    });
}

fn release(turn: &mut Turn<'_>, point: PointId) {
    let rules = turn.scenario.rules;
    turn.delete(
        Key::Hold(point),
        |store| record(rules, store, point, false),
        |next| next.holder = Holder::Over,
    );
}

/// Without [`Rule::HoldOwnRecord`] the hold lies where a restore puts its pin.
fn record(rules: Rules, store: &mut Store, point: PointId, held: bool) {
    let place = if rules.obeys(Rule::HoldOwnRecord) { &mut store.holds } else { &mut store.pins[0] };
    if held {
        place.insert(point);
    } else {
        place.remove(point);
    }
}
