//! A point whose parts come from two writers: an agent for each volume, and the run that coordinates them.
//!
//! An agent puts packs and returns a volume record; it never reads or writes a manifest, and it goes on when its
//! coordinator is gone.

use super::agent::Agent;
use super::look;
use super::names::{ObjectId, Objects, PointId, Volume, Volumes};
use super::rule::Rule;
use super::scenario::{Scenario, WriterSpec, complete_plan};
use super::state::State;
use super::step::{Actor, Key, Request, Turn};
use super::store::Manifest;
use super::writer::Phase;
use super::writer_order::advance;

/// Adds the steps that the agents of writer `i` may take.
pub(super) fn steps(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec) {
    for volume in [Volume::A, Volume::B] {
        let agent = turn.state.writers[i].agents[volume as usize];
        turn.actor = Actor::Agent(spec.id, volume);
        if agent.is_working() {
            turn.crash(|next| next.writers[i].agents[volume as usize] = Agent::Dead);
        }
        match agent {
            Agent::List => list(turn, i, spec, volume),
            Agent::Put => put(turn, i, spec, volume),
            _ => {}
        }
    }
}

fn list(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec, volume: Volume) {
    let scenario = turn.scenario;
    let from = spec.resumes.expect("only agents of a run that resumes list leftovers");
    for seen in scenario.listing.outside_prune().leftovers(&turn.state.store, from) {
        let mine =
            seen.only(Objects::one(ObjectId::pack(from, volume)).with(Objects::one(ObjectId::keys(from))));
        turn.take(Request::ListData(mine), |next| {
            if next.writers[i].phase == Phase::Agents {
                look::take_over(scenario, &mut next.store, i, mine, Volumes::Both);
            }
            next.writers[i].agents[volume as usize] = Agent::Put;
        });
    }
}

fn put(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec, volume: Volume) {
    let object = ObjectId::pack(spec.id, volume);
    turn.put(
        Key::Data(object),
        |store| store.objects.insert(object),
        |next| next.writers[i].agents[volume as usize] = Agent::Recorded,
    );
}

/// Adds the steps of the coordinator, writer `i`, while its agents work.
pub(super) fn coordinate(turn: &mut Turn<'_>, i: usize) {
    let scenario = turn.scenario;
    let done = |next: &mut State| advance(scenario, next, i, Some(Phase::Agents));
    match turn.state.writers[i].agents {
        [Agent::Recorded, Agent::Recorded] => turn.take(Request::Decide("has both records"), done),
        [Agent::Recorded, Agent::Dead] => turn.take(Request::Decide("goes on without volume B"), |next| {
            leave_out_volume_b(scenario, next, scenario.writers[i].id);
            done(next);
        }),
        [Agent::Dead, _] => turn.take(Request::Decide("gives up"), |next| next.writers[i].end(Phase::Dead)),
        _ if !scenario.rules.obeys(Rule::CoordinatorWaits) => {
            turn.take(Request::Decide("does not wait"), done)
        }
        _ => {}
    }
}

fn leave_out_volume_b(scenario: &Scenario, next: &mut State, id: PointId) {
    let plan = *next.store.plan(id);
    let mut lineage = plan.lineage;
    lineage.remove(ObjectId::pack(id, Volume::B));
    let partial = Manifest { volumes: Volumes::A, partial: true, ..plan };
    next.store.plans[id.index()] = complete_plan(scenario.rules, partial, lineage);
}
