//! The order of what a run of `backup` does, with each rule and without it.

use super::agent::Agent;
use super::names::{Points, Volume};
use super::rule::Rule;
use super::scenario::Scenario;
use super::state::State;
use super::writer::{Phase, Writer};

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

/// Moves writer `i` to the first phase after `from` that applies to it; past the last it has reported success.
pub(super) fn advance(scenario: &Scenario, next: &mut State, i: usize, from: Option<Phase>) {
    let order = order(scenario);
    let start = from.and_then(|from| order.iter().position(|&phase| phase == from)).map_or(0, |at| at + 1);
    let applies = |&&phase: &&Phase| applies(scenario, next, i, phase);
    match order[start..].iter().find(applies) {
        Some(Phase::Agents) => start_agents(next, i),
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

/// Asks both agents of writer `i` to start.
pub(super) fn start_agents(next: &mut State, i: usize) {
    let first = if next.writers[i].may_take { Agent::List } else { Agent::Put };
    next.writers[i] =
        Writer { phase: Phase::Agents, candidates: Points::NONE, agents: [first; 2], ..next.writers[i] };
}
