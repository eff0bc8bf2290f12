//! A run of `restore`: pins a point, reads its manifest again, then reads its objects one at a time.
//!
//! Must never say damaged of a point that was forgotten or never completed, and never report success with data missing.

use super::names::{ObjectId, PointId};
use super::reader::{Phase, Reader, Said};
use super::rule::{Rule, Rules};
use super::step::{Key, Request, Turn};
use super::store::void;

/// Adds the steps that reader `i` may take.
pub fn steps(turn: &mut Turn<'_>, i: usize) {
    let reader = turn.state.readers[i];
    if reader.is_over() {
        return;
    }
    turn.crash(|next| next.readers[i] = Reader { phase: Phase::Over, said: reader.said, ..Reader::START });
    match reader.phase {
        Phase::Pick => pick(turn, i),
        Phase::PutPin => put_pin(turn, i),
        Phase::LookForEnding => look_for_ending(turn, i),
        Phase::AskConfirmed => ask_confirmed(turn, i),
        Phase::GetManifest => get_manifest(turn, i),
        Phase::Read => read(turn, i),
        Phase::MissedGetManifest => missed_get_manifest(turn, i),
        Phase::MissedAskConfirmed => missed_ask_confirmed(turn, i),
        Phase::MissedListEnded => missed_list_ended(turn, i),
        Phase::Unpin => unpin(turn, i),
        Phase::Absent | Phase::Over => {}
    }
}

fn pick(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let store = &turn.state.store;
    for point in scenario.readers[i].only(store.manifests).iter() {
        for ended in scenario.listing.outside_prune().ended(store) {
            if !void(scenario.rules, store.plan(point), ended) {
                turn.take(Request::Get(Key::Manifest(point), true), |next| {
                    next.readers[i] = Reader { phase: Phase::PutPin, point, ..Reader::START };
                });
            }
        }
    }
    if !scenario.crashes || scenario.readers[i].only(store.manifests).is_empty() {
        turn.take(Request::Decide("finds no such point"), |next| {
            next.readers[i] = Reader { phase: Phase::Over, said: Said::Forgotten, ..Reader::START };
        });
    }
}

/// Without [`Rule::PinPerReader`] every restore uses the first name.
fn pin(rules: Rules, i: usize) -> usize {
    if rules.obeys(Rule::PinPerReader) { i } else { 0 }
}

fn put_pin(turn: &mut Turn<'_>, i: usize) {
    let point = turn.state.readers[i].point;
    let slot = pin(turn.scenario.rules, i);
    let looks = turn.scenario.rules.obeys(Rule::ReaderLooksAtEnding);
    turn.put(
        Key::Pin(point),
        |store| store.pins[slot].insert(point),
        |next| {
            next.readers[i].protected = true;
            next.readers[i].phase = if looks { Phase::LookForEnding } else { Phase::GetManifest };
        },
    );
}

fn look_for_ending(turn: &mut Turn<'_>, i: usize) {
    let point = turn.state.readers[i].point;
    let found = turn.state.store.ending.has(point);
    turn.take(Request::Get(Key::Ending(point), found), |next| {
        next.readers[i].protected = !found;
        next.readers[i].phase = Phase::AskConfirmed;
    });
}

fn ask_confirmed(turn: &mut Turn<'_>, i: usize) {
    let point = turn.state.readers[i].point;
    let found = turn.state.store.confirmed.has(point);
    turn.take(Request::Get(Key::Confirmed(point), found), |next| {
        next.readers[i].protected &= found;
        next.readers[i].phase = Phase::GetManifest;
    });
}

fn get_manifest(turn: &mut Turn<'_>, i: usize) {
    let point = turn.state.readers[i].point;
    let found = turn.state.store.manifests.has(point);
    let needs = turn.state.store.plan(point).needs;
    turn.take(Request::Get(Key::Manifest(point), found), |next| match found {
        true => {
            next.readers[i].phase = Phase::Read;
            next.readers[i].left = needs;
        }
        false => next.readers[i].end(Said::Forgotten),
    });
}

fn read(turn: &mut Turn<'_>, i: usize) {
    let rules = turn.scenario.rules;
    let reader = turn.state.readers[i];
    let object = reader.left.first().expect("reading ends when nothing is left to read");
    let found = turn.state.store.intact(reader.point, object);
    let request = Request::Get(Key::Data(object), found);
    let again = rules.obeys(Rule::ReaderRereadsManifest);
    if found {
        turn.take(request, |next| got(&mut next.readers[i], object));
        return;
    }
    turn.take(request, |next| match again {
        true => next.readers[i].phase = Phase::MissedGetManifest,
        false => next.readers[i].end(Said::Damaged),
    });
    if !rules.obeys(Rule::ReaderReadsAll) {
        turn.take(request, |next| {
            next.readers[i].hollow = true;
            got(&mut next.readers[i], object);
        });
    }
}

fn got(reader: &mut Reader, object: ObjectId) {
    reader.left.remove(object);
    if reader.left.is_empty() {
        reader.end(Said::Success);
    }
}

fn missed_get_manifest(turn: &mut Turn<'_>, i: usize) {
    let point = turn.state.readers[i].point;
    let found = turn.state.store.manifests.has(point);
    let asks = turn.scenario.rules.obeys(Rule::ReaderAsksConfirmed);
    turn.take(Request::Get(Key::Manifest(point), found), |next| match (found, asks) {
        (false, _) => next.readers[i].end(Said::Forgotten),
        (true, true) => next.readers[i].phase = Phase::MissedAskConfirmed,
        (true, false) => next.readers[i].phase = Phase::MissedListEnded,
    });
}

fn missed_ask_confirmed(turn: &mut Turn<'_>, i: usize) {
    let point = turn.state.readers[i].point;
    let found = turn.state.store.confirmed.has(point);
    turn.take(Request::Get(Key::Confirmed(point), found), |next| match found {
        true => next.readers[i].phase = Phase::MissedListEnded,
        false => next.readers[i].end(Said::Forgotten),
    });
}

fn missed_list_ended(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let store = &turn.state.store;
    let point = turn.state.readers[i].point;
    for ended in scenario.listing.outside_prune().ended(store) {
        let is_void = void(scenario.rules, store.plan(point), ended);
        turn.take(Request::Get(Key::Ended(point), is_void), |next| {
            next.readers[i].end(if is_void { Said::Forgotten } else { Said::Damaged });
        });
    }
}

fn unpin(turn: &mut Turn<'_>, i: usize) {
    let reader = turn.state.readers[i];
    let slot = pin(turn.scenario.rules, i);
    turn.delete(
        Key::Pin(reader.point),
        |store| store.pins[slot].remove(reader.point),
        |next| next.readers[i] = Reader { phase: Phase::Over, point: PointId::new(0), ..reader },
    );
}
