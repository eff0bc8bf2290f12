//! The protocol holds in every scenario, and each rule is needed: without it some scenario breaks.
//!
//! Each search is single-threaded, so that the same search finds the same trace; the harness runs two at a time.
//! Run with `--nocapture` to read the state counts and traces.

use coffer_sim::protocol::explore::{Counterexample, explore, explore_for, reach};
use coffer_sim::protocol::holder::Holder;
use coffer_sim::protocol::listing::Listing;
use coffer_sim::protocol::names::PointId;
use coffer_sim::protocol::property::Property;
use coffer_sim::protocol::reader::Said;
use coffer_sim::protocol::rule::{Rule, Rules};
use coffer_sim::protocol::scenario::Scenario;
use coffer_sim::protocol::scenarios;
use coffer_sim::protocol::state::State;
use coffer_sim::protocol::writer::Phase;

const A: PointId = PointId::new(0);
const B: PointId = PointId::new(1);
const C: PointId = PointId::new(2);
const D: PointId = PointId::new(3);

fn done(state: &State, writer: usize) -> bool {
    state.writers[writer].phase == Phase::Done
}

fn fenced(state: &State, writer: usize) -> bool {
    state.writers[writer].phase == Phase::Fenced
}

fn said(state: &State, reader: usize, said: Said) -> bool {
    state.readers[reader].said == said
}

fn scenario(name: &str) -> Scenario {
    scenarios::named(name).unwrap_or_else(|| panic!("no scenario is called {name}"))
}

/// The full protocol holds in the scenario, which is at least `states_min` states large: a scenario that shrank by a
/// mistake must not pass as a proof.
fn holds(name: &str, states_min: usize) {
    let outcome = explore(&scenario(name), 1);
    if let Some(found) = outcome.counterexample {
        panic!("{name}: {found}");
    }
    println!("{name}: holds in {} states", outcome.states);
    assert!(outcome.states >= states_min, "{name} has only {} states", outcome.states);
}

fn broken_by(name: &str, rules: Rules, property: Property) -> Counterexample {
    let outcome = explore_for(&Scenario { rules, ..scenario(name) }, 1, property);
    outcome.counterexample.unwrap_or_else(|| panic!("not caught in {name} ({} states)", outcome.states))
}

/// Without the rule the scenario breaks the property.
fn needed(rule: Rule, name: &str, property: Property) {
    println!("without {rule}, {name}: {}", broken_by(name, Rules::FULL.without(rule), property));
}

macro_rules! scenarios_hold {
    ($($name:ident $states_min:literal;)+) => {
        mod full_protocol {
            $(#[test] fn $name() { super::holds(stringify!($name), $states_min); })+
        }
        const HELD: &[&str] = &[$(stringify!($name),)+];
    };
}

macro_rules! rules_needed {
    ($($name:ident $rule:ident $scenario:ident $property:ident;)+) => {
        mod without {
            $(#[test] fn $name() {
                super::needed(super::Rule::$rule, stringify!($scenario), super::Property::$property);
            })+
        }
        const NEEDED: &[Rule] = &[$(Rule::$rule,)+];
    };
}

scenarios_hold! {
    commit 51_000;
    clock_order 940_000;
    resume 14_000;
    two_resumers 210_000;
    take_over_alive 13_000;
    two_pruners 85_000;
    lost_answers 1_150_000;
    skipped_volume 2_300;
    agents 170_000;
    agents_resume 4_000;
    restore 150_000;
    restore_unconfirmed 6_000;
    hold 58_000;
    abandoned 90_000;
    two_forgetters 23_000;
    stale_list 220_000;
    stale_chain 260_000;
    vanishing 140_000;
    late_duplicate 380_000;
    rotation 100_000;
    rotation_resume 103_000;
    forged_ended 225_000;
}

rules_needed! {
    manifest_last ManifestLast commit NamedIsKept;
    check_own_ending CheckOwnEnding commit ReportedIsReadable;
    check_parent CheckParent commit ReportedIsReadable;
    parent_by_ending ParentByEnding late_duplicate ReportedIsReadable;
    check_taken_ending CheckTakenEnding resume ReportedIsReadable;
    confirm_after_checks ConfirmAfterChecks resume ReportedIsReadable;
    check_own_ending_again CheckOwnEndingAgain commit ReportedIsReadable;
    parent_confirmed ParentConfirmed resume ReportedIsReadable;
    parent_not_ending ParentNotEnding abandoned NextBackupWorks;
    report_last ReportLast commit FencedNeverReports;
    retry_same_bytes RetrySameBytes take_over_alive ReportedIsReadable;
    takeover_skips_ending TakeoverSkipsEnding resume NextBackupWorks;
    names_whole_lineage NamesWholeLineage skipped_volume NextBackupWorks;
    chain_keys_named ChainKeysNamed restore ReportedIsReadable;
    coordinator_waits_for_all_records CoordinatorWaits agents NamedIsKept;
    partial_never_counts PartialNeverCounts agents SomethingStays;
    chain_key_looks_for_newer ChainKeyLooksForNewer rotation NothingSealedToReplaced;
    continues_sealed_to_newest ContinuesSealedToNewest rotation NewestOpensReported;
    commit_looks_for_newer CommitLooksForNewer rotation ReportedCounts;
    lists_after_statement ListsAfterStatement rotation ReportedCounts;
    forget_keeps_newest ForgetKeepsNewest commit SomethingStays;
    newest_confirmed NewestConfirmed abandoned SomethingStays;
    forget_only_older ForgetOnlyOlder two_forgetters SomethingStays;
    forget_announces ForgetAnnounces hold HoldIsHonoured;
    forget_asks_confirmed_again ForgetAsksConfirmed commit ReportedIsReadable;
    pin_checked_by_forget PinChecked restore PinIsHonoured;
    hold_checked_by_forget HoldChecked hold HoldIsHonoured;
    hold_looks_at_ending HoldLooksAtEnding hold HoldIsHonoured;
    hold_own_record HoldOwnRecord hold HoldIsHonoured;
    pin_per_reader PinPerReader restore PinIsHonoured;
    reader_looks_at_ending ReaderLooksAtEnding restore PinIsHonoured;
    reader_rereads_manifest ReaderRereadsManifest restore NeverDamaged;
    reader_asks_confirmed ReaderAsksConfirmed restore_unconfirmed NeverDamaged;
    reader_reads_all ReaderReadsAll restore SuccessIsWhole;
    end_only_after_later EndOnlyAfterLater commit FencedWithCause;
    ending_before_reread EndingBeforeReread commit ReportedIsReadable;
    reread_after_ending RereadAfterEnding commit ReportedIsReadable;
    reread_until_still RereadUntilStill vanishing ReportedIsReadable;
    ended_before_delete EndedBeforeDelete commit NamedIsKept;
    void_by_ended VoidByEnded commit NamedIsKept;
    prune_deletes_only_void PruneDeletesOnlyVoid commit ReportedIsReadable;
    whole_stays WholeStays forged_ended ReportedStands;
    ending_stays EndingStays commit ReportedIsReadable;
    ended_stays EndedStays commit NamedIsKept;
    list_is_no_proof_of_absence ListIsNoProof stale_list ReportedIsReadable;
    reread_lists_data RereadListsData stale_list ReportedIsReadable;
}

#[test]
fn every_scenario_and_every_rule_has_its_test() {
    let names: Vec<&str> = scenarios::ordinary().iter().map(|scenario| scenario.name).collect();
    assert_eq!(names, HELD);
    assert_eq!(Rule::ALL, NEEDED);
}

type Goal = fn(&State) -> bool;

/// A model in which nothing happens holds too: each scenario gets to what it is about.
#[test]
fn every_scenario_gets_to_its_point() {
    let goals: &[(&str, Goal)] = &[
        ("commit", |s| done(s, 0) && done(s, 1) && !s.store.objects.owners().has(A) && s.is_quiet()),
        ("clock_order", |s| done(s, 0) && done(s, 1) && done(s, 2) && s.store.plan(D).parent == Some(C)),
        ("resume", |s| done(s, 0) && !s.store.plan(C).taken.is_empty() && s.store.plan(D).parent == Some(C)),
        ("two_resumers", |s| {
            done(s, 0) && done(s, 1) && !s.store.plan(C).taken.only(s.store.plan(D).taken).is_empty()
        }),
        ("take_over_alive", |s| done(s, 0) && done(s, 1) && !s.store.plan(C).taken.is_empty()),
        ("two_pruners", |s| fenced(s, 0) && s.store.ended.owners().has(B) && !s.store.manifests.has(B)),
        ("lost_answers", |s| fenced(s, 0) && s.store.forgotten.has(A) && s.is_quiet()),
        ("skipped_volume", |s| done(s, 0) && s.store.forgotten.has(A) && s.store.forgotten.has(B)),
        ("agents", |s| done(s, 0) && s.store.plan(B).partial && s.store.forgotten.has(B)),
        ("agents_resume", |s| done(s, 0) && !s.store.plan(C).taken.is_empty()),
        ("restore", |s| {
            said(s, 0, Said::Success) && said(s, 1, Said::Forgotten) && s.store.ended.owners().has(B)
        }),
        ("restore_unconfirmed", |s| said(s, 0, Said::Forgotten) && s.store.manifests.has(B)),
        ("hold", |s| s.holder == Holder::Held && s.store.ending.has(A)),
        ("abandoned", |s| fenced(s, 0) && done(s, 1)),
        ("two_forgetters", |s| done(s, 0) && done(s, 1) && s.store.forgotten.has(B)),
        ("stale_list", |s| done(s, 0) && s.store.plan(B).parent == Some(A) && s.store.forgotten.has(A)),
        ("stale_chain", |s| done(s, 1) && s.store.forgotten.has(A) && s.store.forgotten.has(B)),
        ("vanishing", |s| done(s, 1) && s.store.forgotten.has(C) && s.pruners[0].gone.has(C)),
        ("late_duplicate", |s| {
            s.store.forgotten.only(s.store.manifests).has(A) && !s.store.objects.owners().has(A)
        }),
        ("rotation", |s| {
            done(s, 0)
                && fenced(s, 1)
                && done(s, 2)
                && s.store.rotation.done
                && s.store.plan(D).parent == Some(B)
        }),
        ("rotation_resume", |s| {
            done(s, 1) && s.store.plan(D).chain == B && s.store.rotation.done && fenced(s, 0)
        }),
        ("forged_ended", |s| {
            done(s, 0)
                && done(s, 1)
                && s.is_quiet()
                && s.store.ended.owners().has(A)
                && s.store.plan(B).parent.is_none()
        }),
    ];
    assert_eq!(goals.iter().map(|goal| goal.0).collect::<Vec<_>>(), HELD);
    for (name, goal) in goals {
        assert!(reach(&scenario(name), *goal).is_some(), "{name} never gets to its point");
    }
}

#[test]
fn the_first_design_breaks() {
    for (name, property) in [
        ("clock_order", Property::ReportedIsReadable),
        ("resume", Property::ReportedIsReadable),
        ("abandoned", Property::SomethingStays),
        ("vanishing", Property::ReportedIsReadable),
        ("late_duplicate", Property::ReportedIsReadable),
        ("hold", Property::HoldIsHonoured),
        ("restore", Property::PinIsHonoured),
    ] {
        println!("first design, {name}: {}", broken_by(name, Rules::first_design(), property));
    }
}

/// What no rule mends: a LIST that hides every name of a point, its manifest and its data, twice.
#[test]
fn a_list_that_hides_a_whole_point_loses_it() {
    let blind = Scenario { listing: Listing::Blind, ..scenario("stale_list") };
    let found =
        explore(&blind, 1).counterexample.expect("nothing can tell prune of a point that no LIST shows");
    println!("blind LISTs: {found}");
    assert_eq!(found.property, Property::ReportedIsReadable);
}
