//! A run of `backup`: puts what it plans to name, then the manifest, then checks, confirms and reports.
//!
//! How it chooses a parent and what it takes over is in `look`, how agents write for it in `agents`. Must never delete.

use super::agents::{self, Agent};
use super::look;
use super::names::{ObjectId, Objects, PointId, Points, Volume};
use super::rule::Rule;
use super::scenario::{Scenario, WriterSpec};
use super::state::State;
use super::step::{Actor, Key, Request, Turn};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// There is no such run.
    Absent,
    /// About to look at the points.
    ListPoints,
    /// About to read the newest candidate's manifest.
    GetCandidate,
    /// About to see whether the candidate is confirmed.
    AskConfirmed,
    /// About to see whether the candidate is ending.
    AskEnding,
    /// About to see whether the keys of the candidate's chain are sealed to the newest recovery key.
    AskSealed,
    /// About to see whether the leftover's id has a manifest.
    AskLeftover,
    /// About to see whether the leftover's id is ending.
    AskLeftoverEnding,
    /// About to list the leftover's packs.
    ListLeftovers,
    /// About to put the chain's keys.
    PutKeys,
    /// About to look for a newer recovery key, having put the chain's keys.
    LookForNewer,
    /// About to put the packs of volume A.
    PutPackA,
    /// About to put the packs of volume B.
    PutPackB,
    /// Waiting for the agents' volume records.
    Agents,
    /// About to put the manifest.
    PutManifest,
    /// About to look for an `ending` record of its own.
    CheckOwn,
    /// About to look whether the parent still stands.
    CheckParent,
    /// About to look for an `ending` record of the id whose packs it took over.
    CheckTaken,
    /// About to look for a newer recovery key, having put the manifest.
    CheckNewer,
    /// About to put the `confirmed` record.
    PutConfirmed,
    /// About to look once more for an `ending` record of its own.
    CheckOwnAgain,
    /// Reported success.
    Done,
    /// Reported that it was fenced.
    Fenced,
    /// Died, or gave up and reported failure.
    Dead,
}

const ORDER: [Phase; 12] = [
    Phase::PutKeys,
    Phase::LookForNewer,
    Phase::PutPackA,
    Phase::PutPackB,
    Phase::Agents,
    Phase::PutManifest,
    Phase::CheckOwn,
    Phase::CheckParent,
    Phase::CheckTaken,
    Phase::CheckNewer,
    Phase::PutConfirmed,
    Phase::CheckOwnAgain,
];

/// Without [`Rule::ManifestLast`].
const MANIFEST_FIRST: [Phase; 12] = [
    Phase::PutManifest,
    Phase::PutKeys,
    Phase::LookForNewer,
    Phase::PutPackA,
    Phase::PutPackB,
    Phase::Agents,
    Phase::CheckOwn,
    Phase::CheckParent,
    Phase::CheckTaken,
    Phase::CheckNewer,
    Phase::PutConfirmed,
    Phase::CheckOwnAgain,
];

/// Without [`Rule::ConfirmAfterChecks`].
const CONFIRMED_FIRST: [Phase; 12] = [
    Phase::PutKeys,
    Phase::LookForNewer,
    Phase::PutPackA,
    Phase::PutPackB,
    Phase::Agents,
    Phase::PutManifest,
    Phase::PutConfirmed,
    Phase::CheckOwnAgain,
    Phase::CheckOwn,
    Phase::CheckParent,
    Phase::CheckTaken,
    Phase::CheckNewer,
];

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Writer {
    /// Where it stands.
    pub phase: Phase,
    /// Points that may still turn out to be the parent.
    pub candidates: Points,
    /// Whether the leftover's packs may be taken over.
    pub may_take: bool,
    /// Whether the next PUT of a pack is a new encoding under the old name.
    pub reencodes: bool,
    /// Whether it told its caller of success.
    pub reported: bool,
    /// The agents of volumes A and B.
    pub agents: [Agent; 2],
}

impl Writer {
    /// A run that is about to start.
    pub const START: Self = Self {
        phase: Phase::ListPoints,
        candidates: Points::NONE,
        may_take: false,
        reencodes: false,
        reported: false,
        agents: [Agent::Idle; 2],
    };
    /// No run.
    pub const ABSENT: Self = Self { phase: Phase::Absent, ..Self::START };

    /// Whether the run and its agents have ended.
    pub fn is_over(&self) -> bool {
        self.has_ended() && !self.agents.iter().any(Agent::is_working)
    }

    /// Whether the run itself has ended, whatever its agents still do.
    pub const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Absent | Phase::Done | Phase::Fenced | Phase::Dead)
    }

    pub(super) fn end(&mut self, phase: Phase) {
        *self = Self {
            phase,
            reported: self.reported || phase == Phase::Done,
            agents: self.agents,
            ..Self::START
        };
    }
}

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

/// Moves writer `i` to the first phase after `from` that applies to it; past the last it has reported success.
pub(super) fn advance(scenario: &Scenario, next: &mut State, i: usize, from: Option<Phase>) {
    let order = order(scenario);
    let start = from.and_then(|from| order.iter().position(|&phase| phase == from)).map_or(0, |at| at + 1);
    let applies = |&&phase: &&Phase| applies(scenario, next, i, phase);
    match order[start..].iter().find(applies) {
        Some(Phase::Agents) => agents::start(next, i),
        Some(&phase) => {
            next.writers[i] = Writer { phase, candidates: Points::NONE, may_take: false, ..next.writers[i] };
        }
        None => next.writers[i].end(Phase::Done),
    }
}

fn order(scenario: &Scenario) -> &'static [Phase; 12] {
    if !scenario.rules.obeys(Rule::ManifestLast) {
        &MANIFEST_FIRST
    } else if !scenario.rules.obeys(Rule::ConfirmAfterChecks) {
        &CONFIRMED_FIRST
    } else {
        &ORDER
    }
}

fn applies(scenario: &Scenario, state: &State, i: usize, phase: Phase) -> bool {
    let spec = &scenario.writers[i];
    let plan = state.store.plan(spec.id);
    let obeys = |rule| scenario.rules.obeys(rule);
    // There is no third key in the model.
    let looks = scenario.rotates && !spec.new_key;
    match phase {
        Phase::PutKeys => plan.chain == spec.id,
        Phase::LookForNewer => looks && obeys(Rule::ChainKeyLooksForNewer) && plan.chain == spec.id,
        Phase::CheckNewer => looks && obeys(Rule::CommitLooksForNewer),
        Phase::PutPackA => !spec.agents,
        Phase::PutPackB => !spec.agents && spec.volumes.has(Volume::B),
        Phase::Agents => spec.agents,
        Phase::CheckOwn => obeys(Rule::CheckOwnEnding),
        // What the first look would have found is not asked twice where that look is left out.
        Phase::CheckOwnAgain => obeys(Rule::CheckOwnEndingAgain) && obeys(Rule::CheckOwnEnding),
        Phase::CheckParent => obeys(Rule::CheckParent) && plan.parent.is_some(),
        Phase::CheckTaken => obeys(Rule::CheckTakenEnding) && !plan.taken.is_empty(),
        _ => true,
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
