//! A run of `backup`: puts what it plans to name, then the manifest, then checks, confirms and reports.
//!
//! How it chooses a parent and what it takes over is in `look`, how agents write for it in `agents`. Must never delete.

use super::agents;
use super::look;
use super::names::{ObjectId, Objects, PointId, Volume};
use super::rule::Rule;
use super::scenario::WriterSpec;
use super::step::{Actor, Key, Request, Turn};
use super::writer::Phase;
use super::writer_order::advance;

/// Adds the steps that writer `i` and its agents may take.
pub fn steps(turn: &mut Turn<'_>, i: usize) {
    let spec = turn.scenario.writers[i];
    if spec.after.is_some_and(|first| !turn.state.writers[first].has_ended()) {
        return;
    }
    // The new key is used only once its statement stands.
    if spec.new_key && !turn.state.store.rotation.statement {
        return;
    }
    agents::steps(turn, i, &spec);
    turn.actor = Actor::Writer(spec.id);
    let writer = &turn.state.writers[i];
    if writer.has_ended() {
        return;
    }
    turn.crash(|next| next.writers[i].end(Phase::Dead));
    match writer.phase {
        Phase::PutKeys => put_data(turn, i, ObjectId::keys(spec.id)),
        Phase::LookForNewer | Phase::CheckNewer => look_for_newer(turn, i),
        Phase::PutPackA => put_data(turn, i, ObjectId::pack(spec.id, Volume::A)),
        Phase::PutPackB => put_data(turn, i, ObjectId::pack(spec.id, Volume::B)),
        Phase::Agents => agents::coordinate(turn, i),
        Phase::PutManifest => put_manifest(turn, i, spec.id),
        Phase::CheckOwn | Phase::CheckOwnAgain => check_ending(turn, i, spec.id),
        Phase::CheckParent => check_parent(turn, i, &spec),
        Phase::CheckTaken => check_taken(turn, i, &spec),
        Phase::PutConfirmed => put_confirmed(turn, i, spec.id),
        _ => look::steps(turn, i, &spec),
    }
}

fn put_data(turn: &mut Turn<'_>, i: usize, object: ObjectId) {
    let scenario = turn.scenario;
    let writer = turn.state.writers[i];
    let spec = scenario.writers[i];
    let effect = |store: &mut super::store::Store| {
        store.objects.insert(object);
        if spec.new_key && object == ObjectId::keys(spec.id) {
            store.rotation.sealed.insert(spec.id);
        }
        if writer.reencodes {
            store.second.insert(object);
            store.plans[object.owner().index()].second.insert(object);
        }
    };
    turn.put(Key::Data(object), effect, |next| {
        next.writers[i].reencodes = false;
        advance(scenario, next, i, Some(writer.phase));
    });
    let is_pack = Objects::one(object).within(Objects::of_volumes(super::names::Volumes::Both));
    if scenario.lost_answers && is_pack && !scenario.rules.obeys(Rule::RetrySameBytes) {
        turn.take(Request::PutLost(Key::Data(object)), |next| {
            effect(&mut next.store);
            next.writers[i].reencodes = true;
        });
    }
}

fn put_manifest(turn: &mut Turn<'_>, i: usize, id: PointId) {
    let scenario = turn.scenario;
    let effect = |store: &mut super::store::Store| {
        store.manifests.insert(id);
        store.forgotten.remove(id);
        if scenario.late_duplicates {
            store.in_flight.insert(id);
        }
    };
    turn.put(Key::Manifest(id), effect, |next| {
        next.writers[i].reported |= !scenario.rules.obeys(Rule::ReportLast);
        advance(scenario, next, i, Some(Phase::PutManifest));
    });
}

fn put_confirmed(turn: &mut Turn<'_>, i: usize, id: PointId) {
    let scenario = turn.scenario;
    turn.put(
        Key::Confirmed(id),
        |store| store.confirmed.insert(id),
        |next| advance(scenario, next, i, Some(Phase::PutConfirmed)),
    );
}

fn check_ending(turn: &mut Turn<'_>, i: usize, id: PointId) {
    let found = turn.state.store.ending.has(id);
    settle(turn, i, Request::Get(Key::Ending(id), found), found);
}

fn check_parent(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec) {
    let parent =
        turn.state.store.plan(spec.id).parent.expect("the phase applies only where there is a parent");
    if turn.scenario.rules.obeys(Rule::ParentByEnding) {
        check_ending(turn, i, parent);
    } else {
        let found = turn.state.store.manifests.has(parent);
        settle(turn, i, Request::Get(Key::Manifest(parent), found), !found);
    }
}

fn check_taken(turn: &mut Turn<'_>, i: usize, spec: &WriterSpec) {
    let taken = turn.state.store.plan(spec.id).taken;
    check_ending(turn, i, taken.first().expect("the phase applies only where packs were taken over"));
}

fn look_for_newer(turn: &mut Turn<'_>, i: usize) {
    let found = turn.state.store.rotation.statement;
    settle(turn, i, Request::Get(Key::Statement, found), found);
}

fn settle(turn: &mut Turn<'_>, i: usize, request: Request, fenced: bool) {
    let scenario = turn.scenario;
    let phase = turn.state.writers[i].phase;
    turn.take(request, |next| match fenced {
        true => next.writers[i].end(Phase::Fenced),
        false => advance(scenario, next, i, Some(phase)),
    });
}
