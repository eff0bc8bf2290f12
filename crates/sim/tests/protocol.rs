//! The protocol holds in every scenario, and each rule is needed: without it some scenario breaks.
//!
//! Each search is single-threaded, so that the same search finds the same trace; the harness runs two at a time.
//! Run with `--nocapture` to read the state counts and traces.

use coffer_sim::protocol::explore::{Counterexample, explore, explore_for};
use coffer_sim::protocol::listing::Listing;
use coffer_sim::protocol::property::Property;
use coffer_sim::protocol::rule::{Rule, Rules};
use coffer_sim::protocol::scenario::Scenario;
use coffer_sim::protocol::scenarios;

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
    commit 50_000;
    clock_order 1_000_000;
    resume 14_000;
    two_resumers 230_000;
    take_over_alive 13_000;
    two_pruners 85_000;
    lost_answers 1_300_000;
    skipped_volume 2_800;
    agents 200_000;
    agents_resume 4_000;
    restore 150_000;
    restore_unconfirmed 6_000;
    hold 58_000;
    abandoned 98_000;
    two_forgetters 30_000;
    stale_list 290_000;
    stale_chain 400_000;
    vanishing 1_000;
    late_duplicate 450_000;
}

rules_needed! {
    manifest_last ManifestLast commit NamedIsKept;
    check_own_ending CheckOwnEnding commit ReportedIsReadable;
    check_parent CheckParent commit ReportedIsReadable;
    parent_by_ending ParentByEnding late_duplicate ReportedIsReadable;
    check_taken_ending CheckTakenEnding resume ReportedIsReadable;
    confirm_after_checks ConfirmAfterChecks resume ReportedIsReadable;
    parent_confirmed ParentConfirmed resume ReportedIsReadable;
    parent_not_ending ParentNotEnding abandoned NextBackupWorks;
    report_last ReportLast commit FencedNeverReports;
    retry_same_bytes RetrySameBytes take_over_alive ReportedIsReadable;
    takeover_skips_ending TakeoverSkipsEnding resume NextBackupWorks;
    names_whole_lineage NamesWholeLineage skipped_volume NextBackupWorks;
    chain_keys_named ChainKeysNamed restore ReportedIsReadable;
    coordinator_waits_for_all_records CoordinatorWaits agents NamedIsKept;
    partial_never_counts PartialNeverCounts agents SomethingStays;
    forget_keeps_newest ForgetKeepsNewest commit SomethingStays;
    newest_confirmed NewestConfirmed abandoned SomethingStays;
    forget_only_older ForgetOnlyOlder two_forgetters SomethingStays;
    forget_announces ForgetAnnounces hold HoldIsHonoured;
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
