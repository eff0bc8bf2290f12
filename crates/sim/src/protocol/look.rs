//! What a run of `backup` looks at before it writes: a parent, and packs of an unfinished id to take over.
//!
//! Must never take a LIST for proof: what a LIST shows is a candidate, each read by exact key.

use super::names::{ObjectId, Objects, PointId, Points, Volumes};
use super::rule::Rule;
use super::scenario::{Scenario, WriterSpec, complete_plan};
use super::state::State;
use super::step::{Key, Request, Turn};
use super::store::{Manifest, Store, counts};
use super::writer::Phase;
use super::writer_order::{advance, start_agents};

/// Adds the steps of writer `i` while it looks.
pub fn steps(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec) {
    match turn.state.writers[i].phase {
        Phase::ListPoints => list_points(turn, i, spec),
        Phase::GetCandidate => get_candidate(turn, i),
        Phase::AskConfirmed => ask_confirmed(turn, i),
        Phase::AskEnding => ask_ending(turn, i),
        Phase::AskSealed => ask_sealed(turn, i),
        Phase::AskLeftover => ask_leftover(turn, i, spec),
        Phase::AskLeftoverEnding => ask_leftover_ending(turn, i, spec),
        Phase::ListLeftovers => list_leftovers(turn, i, spec),
        _ => {}
    }
}

fn list_points(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec) {
    let scenario = turn.scenario;
    if spec.full {
        turn.take(Request::Decide("opens a chain"), |next| choose(scenario, next, i, None));
        return;
    }
    if let Some(parent) = spec.began_on {
        turn.take(Request::Decide("had chosen its parent"), |next| choose(scenario, next, i, Some(parent)));
        return;
    }
    for shown in scenario.listing.outside_prune().points(&turn.state.store) {
        turn.take(Request::ListPoints(shown), |next| consider(scenario, next, i, shown));
    }
}

/// Goes on with the newest of `candidates`; without any, opens a chain.
fn consider(scenario: &Scenario, next: &mut State, i: usize, candidates: Points) {
    let writer = &mut next.writers[i];
    writer.candidates = candidates;
    writer.phase = Phase::GetCandidate;
    if candidates.is_empty() {
        choose(scenario, next, i, None);
    }
}

fn candidate(turn: &Turn<'_>, i: usize) -> PointId {
    turn.state.writers[i].candidates.last().expect("a run without candidates opens a chain")
}

fn get_candidate(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let store = &turn.state.store;
    let point = candidate(turn, i);
    let found = store.manifests.has(point);
    for ended in scenario.listing.outside_prune().ended(store) {
        let usable =
            found && scenario.accepts(store, point) && counts(scenario.rules, store.plan(point), ended);
        turn.take(Request::Get(Key::Manifest(point), found), |next| match usable {
            false => drop_candidate(scenario, next, i, point),
            true if scenario.rules.obeys(Rule::ParentConfirmed) => {
                next.writers[i].phase = Phase::AskConfirmed
            }
            true => found_good(scenario, next, i, point),
        });
    }
}

fn ask_confirmed(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let point = candidate(turn, i);
    let found = turn.state.store.confirmed.has(point);
    turn.take(Request::Get(Key::Confirmed(point), found), |next| match found {
        true => found_good(scenario, next, i, point),
        false => drop_candidate(scenario, next, i, point),
    });
}

fn found_good(scenario: &Scenario, next: &mut State, i: usize, point: PointId) {
    match scenario.rules.obeys(Rule::ParentNotEnding) {
        true => next.writers[i].phase = Phase::AskEnding,
        false => choose(scenario, next, i, Some(point)),
    }
}

fn ask_ending(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let point = candidate(turn, i);
    let found = turn.state.store.ending.has(point);
    turn.take(Request::Get(Key::Ending(point), found), |next| match found {
        true => drop_candidate(scenario, next, i, point),
        false if asks_sealed(scenario, i) => next.writers[i].phase = Phase::AskSealed,
        false => choose(scenario, next, i, Some(point)),
    });
}

/// The old key opens every chain that it has to do with.
fn asks_sealed(scenario: &Scenario, i: usize) -> bool {
    scenario.writers[i].new_key && scenario.rules.obeys(Rule::ContinuesSealedToNewest)
}

fn ask_sealed(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let point = candidate(turn, i);
    let chain = turn.state.store.plan(point).chain;
    let found = turn.state.store.rotation.sealed.has(chain);
    turn.take(Request::Get(Key::Sealed(chain), found), |next| match found {
        true => choose(scenario, next, i, Some(point)),
        false => choose(scenario, next, i, None),
    });
}

fn drop_candidate(scenario: &Scenario, next: &mut State, i: usize, point: PointId) {
    let mut candidates = next.writers[i].candidates;
    candidates.remove(point);
    consider(scenario, next, i, candidates);
}

/// Draws up the plan on `parent`, and goes on to the leftovers or to writing.
fn choose(scenario: &Scenario, next: &mut State, i: usize, parent: Option<PointId>) {
    let spec = &scenario.writers[i];
    let inherited = parent.map_or(Manifest::BLANK, |parent| *next.store.plan(parent));
    let plan = Manifest {
        chain: if parent.is_some() { inherited.chain } else { spec.id },
        parent,
        volumes: spec.volumes,
        second: inherited.second.only(inherited.lineage),
        ..Manifest::BLANK
    };
    let lineage = inherited.lineage.with(packs(spec.id, spec.volumes));
    next.store.plans[spec.id.index()] = complete_plan(scenario.rules, plan, lineage);
    match spec.resumes {
        Some(_) => {
            next.writers[i].candidates = Points::NONE;
            next.writers[i].phase = Phase::AskLeftover;
        }
        None => advance(scenario, next, i, None),
    }
}

/// The packs that `point` writes for `volumes`.
pub(super) fn packs(point: PointId, volumes: Volumes) -> Objects {
    Objects::of(point).only(Objects::of_volumes(volumes))
}

fn leftover(spec: &WriterSpec) -> PointId {
    spec.resumes.expect("only a run that resumes looks for leftovers")
}

fn ask_leftover(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec) {
    let scenario = turn.scenario;
    let point = leftover(spec);
    let found = turn.state.store.manifests.has(point);
    turn.take(Request::Get(Key::Manifest(point), found), |next| match found {
        true => advance(scenario, next, i, None),
        false if scenario.rules.obeys(Rule::TakeoverSkipsEnding) => {
            next.writers[i].phase = Phase::AskLeftoverEnding
        }
        false => go_and_take(scenario, next, i),
    });
}

fn ask_leftover_ending(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec) {
    let scenario = turn.scenario;
    let point = leftover(spec);
    let found = turn.state.store.ending.has(point);
    turn.take(Request::Get(Key::Ending(point), found), |next| match found {
        true => advance(scenario, next, i, None),
        false => go_and_take(scenario, next, i),
    });
}

/// A run alone lists the leftovers now; with agents each lists those of its volume.
fn go_and_take(scenario: &Scenario, next: &mut State, i: usize) {
    if !scenario.writers[i].agents {
        next.writers[i].phase = Phase::ListLeftovers;
        return;
    }
    advance(scenario, next, i, None);
    next.writers[i].may_take = true;
    if next.writers[i].phase == Phase::Agents {
        start_agents(next, i);
    }
}

fn list_leftovers(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec) {
    let scenario = turn.scenario;
    for seen in scenario.listing.outside_prune().leftovers(&turn.state.store, leftover(spec)) {
        turn.take(Request::ListData(seen), |next| {
            take_over(scenario, &mut next.store, i, seen, spec.volumes);
            advance(scenario, next, i, None);
        });
    }
}

/// Takes the packs for `volumes` among `seen` into the plan of writer `i`, where their chain is its own or, of a run
/// that opens one alone, becomes it.
pub(super) fn take_over(scenario: &Scenario, store: &mut Store, i: usize, seen: Objects, volumes: Volumes) {
    let spec = &scenario.writers[i];
    let from = leftover(spec);
    let chain = store.plan(from).chain;
    let plan = *store.plan(spec.id);
    let taken = seen.only(packs(from, volumes));
    let opens = !spec.agents && plan.chain == spec.id && chain == from && seen.has(ObjectId::keys(from));
    let is_sealed = !asks_sealed(scenario, i) || store.rotation.sealed.has(chain);
    if taken.is_empty() || !(opens && is_sealed || plan.chain == chain) {
        return;
    }
    let mut next = Manifest { chain, second: plan.second.with(store.second.only(taken)), ..plan };
    next.taken.insert(from);
    store.plans[spec.id.index()] = complete_plan(scenario.rules, next, plan.lineage.with(taken));
}
