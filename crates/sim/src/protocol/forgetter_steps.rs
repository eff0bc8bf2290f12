//! A run of `forget`: finds the newest confirmed point, and may delete the manifest of any older one, in any order.
//!
//! The model's policy is the harshest: keep only the newest. Must never delete anything but manifests.

use super::forgetter::{Forgetter, Phase};
use super::names::{PointId, Points};
use super::rule::Rule;
use super::scenario::Scenario;
use super::state::State;
use super::step::{Key, Request, Turn};
use super::store::{Store, counts};

/// Adds the steps that forgetter `i` may take.
pub fn steps(turn: &mut Turn<'_>, i: usize) {
    let forgetter = turn.state.forgetters[i];
    let waits =
        turn.scenario.forgets_in_turn && turn.state.forgetters[..i].iter().any(|first| !first.is_over());
    if forgetter.is_over() || waits {
        return;
    }
    turn.crash(|next| next.forgetters[i] = Forgetter::OVER);
    match (forgetter.phase, forgetter.target) {
        (Phase::ListPoints, _) => list_points(turn, i),
        (Phase::GetManifest, _) => get_manifest(turn, i),
        (Phase::AskConfirmed, _) => ask_confirmed(turn, i),
        (Phase::Choose, _) => choose(turn, i),
        (Phase::Announce, Some(point)) => announce(turn, i, point),
        (Phase::LookForPins, Some(point)) => look_for_pins(turn, i, point),
        (Phase::LookForHold, Some(point)) => look_for_hold(turn, i, point),
        (Phase::AskAgain, Some(point)) => ask_again(turn, i, point),
        (Phase::Delete, Some(point)) => delete(turn, i, point),
        _ => {}
    }
}

fn list_points(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    for shown in scenario.listing.outside_prune().points(&turn.state.store) {
        turn.take(Request::ListPoints(shown), |next| {
            let forgetter = &mut next.forgetters[i];
            forgetter.seen = shown;
            if scenario.rules.obeys(Rule::ForgetKeepsNewest) {
                seek_newest(forgetter, shown);
            } else {
                go_through(forgetter, shown);
            }
        });
    }
}

fn seek_newest(forgetter: &mut Forgetter, candidates: Points) {
    *forgetter = match candidates.is_empty() {
        true => Forgetter::OVER,
        false => Forgetter { phase: Phase::GetManifest, candidates, ..*forgetter },
    };
}

fn newest(turn: &Turn<'_>, i: usize) -> PointId {
    turn.state.forgetters[i].candidates.last().expect("a run without candidates ends")
}

fn get_manifest(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let store = &turn.state.store;
    let point = newest(turn, i);
    let found = store.manifests.has(point);
    for ended in scenario.listing.outside_prune().ended(store) {
        let counts = found && counts(scenario.rules, store.plan(point), ended);
        turn.take(Request::Get(Key::Manifest(point), found), |next| {
            let forgetter = &mut next.forgetters[i];
            match counts {
                false => pass_over(forgetter, point),
                true if scenario.rules.obeys(Rule::NewestConfirmed) => forgetter.phase = Phase::AskConfirmed,
                true => keep(scenario, forgetter, point),
            }
        });
    }
}

fn ask_confirmed(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let point = newest(turn, i);
    let found = turn.state.store.confirmed.has(point);
    turn.take(Request::Get(Key::Confirmed(point), found), |next| {
        let forgetter = &mut next.forgetters[i];
        match found {
            true => keep(scenario, forgetter, point),
            false => pass_over(forgetter, point),
        }
    });
}

fn pass_over(forgetter: &mut Forgetter, point: PointId) {
    let mut candidates = forgetter.candidates;
    candidates.remove(point);
    seek_newest(forgetter, candidates);
}

/// Keeps `newest` and what the policy does not reach.
fn keep(scenario: &Scenario, forgetter: &mut Forgetter, newest: PointId) {
    let expired = match scenario.rules.obeys(Rule::ForgetOnlyOlder) {
        true => forgetter.seen.only(Points::before(newest)),
        false => forgetter.seen.without(Points::one(newest)),
    };
    go_through(forgetter, expired);
}

fn go_through(forgetter: &mut Forgetter, expired: Points) {
    *forgetter = match expired.is_empty() {
        true => Forgetter::OVER,
        false => Forgetter { phase: Phase::Choose, seen: expired, ..Forgetter::START },
    };
}

fn choose(turn: &mut Turn<'_>, i: usize) {
    let announces = turn.scenario.rules.obeys(Rule::ForgetAnnounces);
    for point in turn.state.forgetters[i].seen.iter() {
        let sure = turn.state.store.confirmed.has(point);
        let phase = if announces { Phase::Announce } else { next_to_announced(turn.scenario, sure) };
        turn.take(Request::Decide(CHOICE[point.index()]), |next| {
            let forgetter = &mut next.forgetters[i];
            *forgetter = Forgetter { phase, target: Some(point), sure, ..*forgetter };
        });
    }
}

const CHOICE: [&str; PointId::COUNT] = ["takes a", "takes b", "takes c", "takes d", "takes e", "takes f"];

/// Where nobody pins or holds, looking finds nothing, so the model leaves it out.
fn next_to_announced(scenario: &Scenario, sure: bool) -> Phase {
    match scenario.readers.is_empty() && scenario.hold.is_none() {
        true => next_to_looked(scenario, sure),
        false => Phase::LookForPins,
    }
}

fn next_to_looked(scenario: &Scenario, sure: bool) -> Phase {
    let asks = !sure && scenario.rules.obeys(Rule::ForgetAsksConfirmed);
    if asks { Phase::AskAgain } else { Phase::Delete }
}

fn announce(turn: &mut Turn<'_>, i: usize, point: PointId) {
    let phase = next_to_announced(turn.scenario, turn.state.forgetters[i].sure);
    turn.put(Key::Ending(point), |store| store.ending.insert(point), |next| next.forgetters[i].phase = phase);
}

fn look_for_pins(turn: &mut Turn<'_>, i: usize, point: PointId) {
    let scenario = turn.scenario;
    let found = turn.state.store.pins.iter().any(|pins| pins.has(point));
    turn.take(Request::Get(Key::Pin(point), found), |next| {
        match found && scenario.rules.obeys(Rule::PinChecked) {
            true => leave(&mut next.forgetters[i], point),
            false => next.forgetters[i].phase = Phase::LookForHold,
        }
    });
}

fn look_for_hold(turn: &mut Turn<'_>, i: usize, point: PointId) {
    let scenario = turn.scenario;
    let found = turn.state.store.holds.has(point);
    let phase = next_to_looked(scenario, turn.state.forgetters[i].sure);
    turn.take(Request::Get(Key::Hold(point), found), |next| {
        match found && scenario.rules.obeys(Rule::HoldChecked) {
            true => leave(&mut next.forgetters[i], point),
            false => next.forgetters[i].phase = phase,
        }
    });
}

fn ask_again(turn: &mut Turn<'_>, i: usize, point: PointId) {
    let found = turn.state.store.confirmed.has(point);
    turn.take(Request::Get(Key::Confirmed(point), found), |next| match found {
        true => leave(&mut next.forgetters[i], point),
        false => next.forgetters[i].phase = Phase::Delete,
    });
}

fn leave(forgetter: &mut Forgetter, point: PointId) {
    go_through(forgetter, forgetter.seen.without(Points::one(point)));
}

fn delete(turn: &mut Turn<'_>, i: usize, point: PointId) {
    let sure = turn.state.forgetters[i].sure;
    let effect = |store: &mut Store| {
        store.manifests.remove(point);
        if sure {
            store.forgotten.insert(point);
        }
    };
    turn.delete(Key::Manifest(point), effect, |next: &mut State| leave(&mut next.forgetters[i], point));
}
