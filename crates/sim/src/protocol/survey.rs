//! How `prune` reads, once before the `ending` records and once after: two LISTs, then each manifest by exact key.
//!
//! Must never take for free what a manifest names that any name has mentioned.

use super::listing::Listing;
use super::names::{Objects, PointId, Points};
use super::pruner::{Doubt, Phase, Pruner};
use super::pruner_order::advance;
use super::rule::Rule;
use super::scenario::Scenario;
use super::state::State;
use super::step::{Key, Request, Turn};
use super::store::{Manifest, counts, void};

/// Adds the steps of pruner `i` while it reads.
pub fn steps(turn: &mut Turn<'_>, i: usize) {
    match turn.state.pruners[i].phase {
        Phase::ListPoints | Phase::ListPointsAgain => list_points(turn, i),
        Phase::ListData | Phase::ListDataAgain => list_data(turn, i),
        Phase::GetManifests | Phase::GetManifestsAgain => get_manifest(turn, i),
        Phase::AskConfirmed => ask_confirmed(turn, i),
        _ => {}
    }
}

fn list_points(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let again = turn.state.pruners[i].phase == Phase::ListPointsAgain;
    let store = &turn.state.store;
    for shown in scenario.listing.points(store) {
        for ended in scenario.listing.ended(store) {
            turn.take(Request::ListPoints(shown), |next| {
                let pruner = &mut next.pruners[i];
                pruner.known = pruner.known.with(shown);
                pruner.ended = pruner.ended.with(ended);
                if !again {
                    pruner.phase = Phase::ListData;
                    return;
                }
                pruner.named = Objects::NONE;
                pruner.todo = if looks_up(scenario) { pruner.known } else { shown };
                pruner.phase =
                    if lists_data_again(scenario) { Phase::ListDataAgain } else { Phase::GetManifestsAgain };
                if pruner.phase == Phase::GetManifestsAgain {
                    pruner.todo = pruner.todo.without(pruner.gone);
                    have_read_if_all(scenario, next, i);
                }
            });
        }
    }
}

fn looks_up(scenario: &Scenario) -> bool {
    scenario.rules.obeys(Rule::ListIsNoProof)
}

/// Where LISTs are exact the second LIST of data can add no id, so the model leaves it out.
fn lists_data_again(scenario: &Scenario) -> bool {
    scenario.rules.obeys(Rule::RereadListsData) && scenario.listing != Listing::Exact
}

fn list_data(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let pruner = turn.state.pruners[i];
    let again = pruner.phase == Phase::ListDataAgain;
    let shown_points = if again { pruner.todo } else { pruner.known };
    for shown in scenario.listing.data(&turn.state.store, shown_points) {
        turn.take(Request::ListData(shown), |next| {
            let pruner = &mut next.pruners[i];
            if !again {
                pruner.objects = shown;
                pruner.todo = pruner.known;
            }
            if looks_up(scenario) {
                pruner.known = pruner.known.with(shown.owners());
                pruner.todo = pruner.known;
            }
            pruner.phase = if again { Phase::GetManifestsAgain } else { Phase::GetManifests };
            pruner.todo = pruner.todo.without(pruner.gone);
            have_read_if_all(scenario, next, i);
        });
    }
}

fn get_manifest(turn: &mut Turn<'_>, i: usize) {
    let pruner = &turn.state.pruners[i];
    let point = pruner.todo.first().expect("reading ends when nothing is left to read");
    if pruner.doubt == Doubt::NoManifest {
        return ask_ending(turn, i, point);
    }
    let scenario = turn.scenario;
    let plan = turn.state.store.plan(point);
    let found = turn.state.store.manifests.has(point);
    let store = &turn.state.store;
    let is_whole = store.confirmed.has(point) && plan.names.within(store.objects);
    let stays = is_whole && scenario.rules.obeys(Rule::WholeStays);
    let is_void = void(scenario.rules, plan, pruner.ended) && !stays;
    turn.take(Request::Get(Key::Manifest(point), found), |next| {
        let pruner = &mut next.pruners[i];
        match (found, pruner.doubt) {
            (true, _) if is_void => pruner.voided.insert(point),
            (true, _) => note_names(scenario, pruner, point, plan),
            (false, Doubt::Ending) => {
                pruner.gone.insert(point);
                pruner.moved = true;
            }
            (false, _) if scenario.rules.obeys(Rule::RereadUntilStill) => {
                pruner.doubt = Doubt::NoManifest;
                return;
            }
            (false, _) => {}
        }
        have_read_one(scenario, next, i, point);
    });
}

fn note_names(scenario: &Scenario, pruner: &mut Pruner, point: PointId, plan: &Manifest) {
    pruner.named = pruner.named.with(plan.names);
    if pruner.phase == Phase::GetManifests && counts(scenario.rules, plan, pruner.ended) {
        pruner.standing.insert(point);
    }
}

/// Only forget deletes a manifest that counts, and puts the `ending` record first: without one there never was any.
fn ask_ending(turn: &mut Turn<'_>, i: usize, point: PointId) {
    let scenario = turn.scenario;
    let found = turn.state.store.ending.has(point);
    turn.take(Request::Get(Key::Ending(point), found), |next| match found {
        true => next.pruners[i].doubt = Doubt::Ending,
        false => have_read_one(scenario, next, i, point),
    });
}

fn have_read_one(scenario: &Scenario, next: &mut State, i: usize, point: PointId) {
    next.pruners[i].doubt = Doubt::None;
    next.pruners[i].todo.remove(point);
    have_read_if_all(scenario, next, i);
}

fn have_read_if_all(scenario: &Scenario, next: &mut State, i: usize) {
    if next.pruners[i].todo.is_empty() {
        match next.pruners[i].phase {
            Phase::GetManifests => have_read(scenario, next, i),
            _ => have_read_again(scenario, next, i),
        }
    }
}

/// After the first reading: what is free as far as manifests go, and the points that may allow its ids to be ended.
fn have_read(scenario: &Scenario, next: &mut State, i: usize) {
    let pruner = &mut next.pruners[i];
    pruner.moved = false;
    pruner.free = pruner.objects.without(pruner.named);
    pruner.objects = Objects::NONE;
    pruner.named = Objects::NONE;
    if pruner.free.is_empty() || !scenario.rules.obeys(Rule::EndOnlyAfterLater) {
        advance(scenario, next, i, None);
        forget_first_reading(scenario, next, i);
        return;
    }
    let asks = scenario.rules.obeys(Rule::NewestConfirmed);
    match pruner.standing.last() {
        None => keep_from(scenario, next, i, Points::NONE),
        Some(newest) if !asks => keep_from(scenario, next, i, Points::before(newest)),
        Some(_) => {
            pruner.todo = pruner.standing;
            pruner.phase = Phase::AskConfirmed;
        }
    }
}

fn ask_confirmed(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let point = turn.state.pruners[i].todo.last().expect("asking ends when nobody is left to ask");
    let found = turn.state.store.confirmed.has(point);
    turn.take(Request::Get(Key::Confirmed(point), found), |next| {
        next.pruners[i].todo.remove(point);
        if found {
            keep_from(scenario, next, i, Points::before(point));
        } else if next.pruners[i].todo.is_empty() {
            keep_from(scenario, next, i, Points::NONE);
        }
    });
}

/// Leaves alone what belongs to ids that are not `overtaken` and that no person named.
fn keep_from(scenario: &Scenario, next: &mut State, i: usize, overtaken: Points) {
    let pruner = &mut next.pruners[i];
    pruner.free = pruner.free.owned_by(overtaken.with(scenario.pruners[i]));
    advance(scenario, next, i, None);
    forget_first_reading(scenario, next, i);
}

fn forget_first_reading(scenario: &Scenario, next: &mut State, i: usize) {
    if scenario.rules.obeys(Rule::PruneDeletesOnlyVoid) {
        next.pruners[i].standing = Points::NONE;
    }
}

/// After the second reading: takes back what a manifest names; or reads once more, if the reading was not still.
fn have_read_again(scenario: &Scenario, next: &mut State, i: usize) {
    let pruner = &mut next.pruners[i];
    if pruner.moved {
        pruner.moved = false;
        pruner.phase = Phase::ListPointsAgain;
        return;
    }
    pruner.free = pruner.free.without(pruner.named);
    pruner.named = Objects::NONE;
    pruner.known = Points::NONE;
    pruner.gone = Points::NONE;
    pruner.ended = Objects::NONE;
    advance(scenario, next, i, Some(Phase::ListDataAgain));
}
