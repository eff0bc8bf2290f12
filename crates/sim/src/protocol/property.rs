//! What must hold in every state, and what must hold when everything has come to rest.
//!
//! Properties speak of the bucket and of what people were told, never of how an actor works.

use super::aftermath;
use super::holder::Holder;
use super::listing::Listing;
use super::names::{ObjectId, Objects, PointId, Points, Volumes};
pub use super::property_name::Property;
use super::reader::{Reader, Said};
use super::scenario::{Before, Scenario, WriterSpec};
use super::state::State;
use super::writer::{Phase, Writer};

type Holds = fn(&Scenario, &State) -> bool;

/// The first property that `state` breaks. `after` is [`Scenario::aftermath`] of `scenario`.
///
/// Where `only` is given, no other property is looked at.
pub fn broken(
    scenario: &Scenario,
    after: &Scenario,
    state: &State,
    only: Option<Property>,
) -> Option<Property> {
    // What a forger makes void counts for nothing; that it stays is all that can be asked.
    let only = only.or(scenario.forges.map(|_| Property::ReportedStands));
    let asked = |property: Property| only.is_none_or(|only| only == property);
    let always: [(Property, Holds); 13] = [
        (Property::ReportedStands, reported_stands),
        (Property::ReportedIsReadable, reported_is_readable),
        (Property::NamedIsKept, named_is_kept),
        (Property::SomethingStays, something_stays),
        (Property::FencedNeverReports, fenced_never_reports),
        (Property::FencedWithCause, fenced_with_cause),
        (Property::NeverDamaged, |_, state| state.readers.iter().all(|reader| reader.said != Said::Damaged)),
        (Property::SuccessIsWhole, |_, state| !state.readers.iter().any(is_hollow_success)),
        (Property::HoldIsHonoured, hold_is_honoured),
        (Property::PinIsHonoured, pin_is_honoured),
        (Property::ReportedCounts, reported_counts),
        (Property::NewestOpensReported, newest_opens_reported),
        (Property::NothingSealedToReplaced, nothing_sealed_to_replaced),
    ];
    let fails = |&&(property, holds): &&(Property, Holds)| asked(property) && !holds(scenario, state);
    let mut found = always.iter().find(fails).map(|&(property, _)| property);
    // A rotation that was interrupted is finished sooner or later.
    let finished =
        (scenario.rotates && state.is_quiet()).then(|| aftermath::finish_rotation(scenario, state));
    if let Some(state) = &finished {
        let fails = |&&(property, holds): &&(Property, Holds)| asked(property) && !holds(scenario, state);
        found = found.or_else(|| always.iter().find(fails).map(|&(property, _)| property));
    }
    let at_rest = asked(Property::GarbageGoes) || asked(Property::NextBackupWorks);
    match found {
        None if at_rest && state.is_quiet() => {
            aftermath::broken(after, finished.as_ref().unwrap_or(state)).filter(|&property| asked(property))
        }
        found => found,
    }
}

fn reported(scenario: &Scenario, state: &State) -> Points {
    let mut points = Points::NONE;
    for before in &scenario.before {
        if let Before::Complete { id, .. } = before {
            points.insert(*id);
        }
    }
    for (spec, writer) in runs(scenario, state) {
        if writer.reported {
            points.insert(spec.id);
        }
    }
    points
}

fn runs<'a>(scenario: &'a Scenario, state: &'a State) -> impl Iterator<Item = (&'a WriterSpec, &'a Writer)> {
    scenario.writers.iter().zip(&state.writers)
}

fn reported_is_readable(scenario: &Scenario, state: &State) -> bool {
    let kept = reported(scenario, state).without(state.store.forgotten);
    kept.iter().all(|point| state.store.readable(scenario.rules, point))
}

fn reported_stands(scenario: &Scenario, state: &State) -> bool {
    let store = &state.store;
    let kept = reported(scenario, state).without(store.forgotten);
    kept.iter().all(|point| store.manifests.has(point) && store.plan(point).needs.within(store.objects))
}

fn named_is_kept(scenario: &Scenario, state: &State) -> bool {
    let store = &state.store;
    let visible = |&point: &PointId| store.visible(scenario.rules, point);
    store.manifests.iter().filter(visible).all(|point| store.plan(point).names.within(store.objects))
}

fn reported_counts(scenario: &Scenario, state: &State) -> bool {
    let kept = reported(scenario, state).without(state.store.forgotten);
    kept.iter().all(|point| scenario.accepts(&state.store, point))
}

fn newest_opens_reported(scenario: &Scenario, state: &State) -> bool {
    let rotation = &state.store.rotation;
    let owed = |&point: &PointId| rotation.done || !scenario.is_by_old(point);
    let kept = reported(scenario, state).without(state.store.forgotten);
    kept.iter().filter(owed).all(|point| rotation.sealed.has(state.store.plan(point).chain))
}

/// What lies in a chain whose keys are gone is sealed to nobody.
fn nothing_sealed_to_replaced(_: &Scenario, state: &State) -> bool {
    let store = &state.store;
    let packs = store.objects.only(Objects::of_volumes(Volumes::Both));
    let chains = packs.owners().iter().map(|point| store.plan(point).chain);
    let mut opened = chains.filter(|&chain| store.objects.has(ObjectId::keys(chain)));
    !store.rotation.done || opened.all(|chain| store.rotation.sealed.has(chain))
}

fn something_stays(scenario: &Scenario, state: &State) -> bool {
    let store = &state.store;
    let good = |point| !store.plan(point).partial && store.readable(scenario.rules, point);
    store.confirmed.is_empty() || store.manifests.iter().any(good)
}

fn fenced_never_reports(scenario: &Scenario, state: &State) -> bool {
    !runs(scenario, state).any(|(_, run)| run.reported && matches!(run.phase, Phase::Fenced | Phase::Dead))
}

fn fenced_with_cause(scenario: &Scenario, state: &State) -> bool {
    let fenced = |(_, run): &(&WriterSpec, &Writer)| run.phase == Phase::Fenced;
    runs(scenario, state).filter(fenced).all(|(spec, _)| has_cause(scenario, state, spec.id))
}

fn has_cause(scenario: &Scenario, state: &State, id: PointId) -> bool {
    let store = &state.store;
    let plan = store.plan(id);
    let built_on = plan.taken.with(Points::one(id)).with(plan.parent.map_or(Points::NONE, Points::one));
    let named = scenario.pruners.iter().any(|ids| !ids.only(built_on).is_empty());
    let newest = store.confirmed.last();
    named
        || (store.rotation.statement && scenario.is_by_old(id))
        || newest.is_some_and(|newest| !built_on.only(Points::before(newest)).is_empty())
}

fn is_hollow_success(reader: &Reader) -> bool {
    reader.hollow && reader.said == Said::Success
}

fn hold_is_honoured(scenario: &Scenario, state: &State) -> bool {
    state.holder != Holder::Held || scenario.hold.is_none_or(|point| state.store.manifests.has(point))
}

/// Pins are found by a LIST, so that they bind only where a LIST shows what is there.
fn pin_is_honoured(scenario: &Scenario, state: &State) -> bool {
    let honoured = |reader: &Reader| !reader.relies_on_pin() || state.store.manifests.has(reader.point);
    scenario.listing != Listing::Exact || state.readers.iter().all(honoured)
}
