//! Points with any times, right and wrong ones, against the keep rules.

use coffer_format::{PointState, PointType, Reason, Summary};

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A confirmed complete point; `number` is its place in the order and its id.
pub(crate) fn point(number: u64, time_ms: i64) -> PointEntry {
    let time = Timestamp::from_unix_ms(time_ms);
    let label = |text: &str| text.parse().unwrap();
    let plan = coffer_format::PlanId {
        team: label("default"),
        cluster: label("c"),
        namespace: label("n"),
        plan: label("p"),
    };
    let id = Id::from_parts(number, [0; 10]);
    let summary = Summary {
        kind: PointType::Full,
        state: PointState::Available,
        reason: Reason::NoParent,
        time,
        completed: time,
        sequence: number,
        size: 1,
        changed: 1,
        stored: 1,
        chain: id,
        parent: None,
        volumes: None,
    };
    PointEntry {
        key: format!("t/default/points/c/n/p/{id}"),
        confirmed: true,
        ..PointEntry::new(plan, id, summary)
    }
}

fn unconfirmed(number: u64, time_ms: i64) -> PointEntry {
    PointEntry { confirmed: false, ..point(number, time_ms) }
}

fn kept(points: &[PointEntry], rules: &KeepRules, now_ms: i64, zone: &TimeZone) -> Vec<u64> {
    let verdict = decide(points, &BTreeSet::new(), rules, Timestamp::from_unix_ms(now_ms), zone);
    let mut kept: Vec<u64> = verdict.kept.iter().map(|(id, _)| id.unix_ms()).collect();
    kept.sort_unstable();
    kept
}

fn daily(count: u32) -> KeepRules {
    KeepRules { daily: Some(count), ..KeepRules::default() }
}

/// A day each, but for one run whose clock was years ahead: it takes no other day's place.
#[test]
fn one_wrong_time_costs_no_other_day() {
    let mut points: Vec<PointEntry> = (0..8).map(|day| point(day as u64 + 1, (100 + day) * DAY_MS)).collect();
    points[3] = point(4, 5_000 * DAY_MS);
    assert_eq!(kept(&points, &daily(30), 108 * DAY_MS, &TimeZone::UTC), [1, 2, 3, 4, 5, 6, 7, 8]);
    // Of four days, one is the wrong one.
    assert_eq!(kept(&points, &daily(4), 108 * DAY_MS, &TimeZone::UTC), [4, 6, 7, 8]);
}

/// Days that are not beside each other in the order are still one day, and both its newest by order and its newest by time stay.
#[test]
fn a_clock_that_went_back_makes_no_second_day_of_one() {
    let points = [
        point(1, 100 * DAY_MS),
        point(2, 101 * DAY_MS + 10 * HOUR),
        point(3, 102 * DAY_MS),
        point(4, 101 * DAY_MS + 9 * HOUR),
        point(5, 103 * DAY_MS),
    ];
    assert_eq!(kept(&points, &daily(3), 104 * DAY_MS, &TimeZone::UTC), [2, 3, 4, 5]);
    assert_eq!(kept(&points, &daily(4), 104 * DAY_MS, &TimeZone::UTC), [1, 2, 3, 4, 5]);
}

#[test]
fn keep_last_goes_by_the_order() {
    let rules = KeepRules { last: Some(2), ..KeepRules::default() };
    let points = [point(1, 100 * DAY_MS), point(2, 5_000 * DAY_MS), point(3, 101 * DAY_MS), point(4, 5)];
    assert_eq!(kept(&points, &rules, 102 * DAY_MS, &TimeZone::UTC), [3, 4]);
}

/// 25 October 2026 in Berlin: 02:30 at +02:00, and an hour later 02:30 at +01:00.
#[test]
fn the_hour_that_comes_twice_is_two_hours() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let at = |text: &str| Timestamp::parse_lenient(text).unwrap().unix_ms();
    let points = [
        point(1, at("2026-10-25T01:30:00+02:00")),
        point(2, at("2026-10-25T02:30:00+02:00")),
        point(3, at("2026-10-25T02:30:00+01:00")),
        point(4, at("2026-10-25T03:30:00+01:00")),
    ];
    let rules = KeepRules { hourly: Some(4), ..KeepRules::default() };
    assert_eq!(kept(&points, &rules, at("2026-10-25T04:00:00+01:00"), &zone), [1, 2, 3, 4]);
    let three = KeepRules { hourly: Some(3), ..KeepRules::default() };
    assert_eq!(kept(&points, &three, at("2026-10-25T04:00:00+01:00"), &zone), [2, 3, 4]);
}

/// Half hours of an offset count: 00:20 and 00:50 in India are one hour.
#[test]
fn hours_are_those_of_the_clock_on_the_wall() {
    let zone = TimeZone::fixed(Offset::from_seconds(5 * 3_600 + 1_800).unwrap());
    let at = |text: &str| Timestamp::parse_lenient(text).unwrap().unix_ms();
    let points = [
        point(1, at("2026-10-25T00:20:00+05:30")),
        point(2, at("2026-10-25T00:50:00+05:30")),
        point(3, at("2026-10-25T01:10:00+05:30")),
    ];
    let rules = KeepRules { hourly: Some(9), ..KeepRules::default() };
    assert_eq!(kept(&points, &rules, at("2026-10-25T04:00:00+05:30"), &zone), [2, 3]);
}

/// A copy that lost its records, and one backup after it: nothing is taken for rubbish, and nothing counts that is not proven.
#[test]
fn what_is_not_confirmed_is_judged_as_if_it_were_and_counts_for_no_other() {
    let points = [unconfirmed(1, 1), unconfirmed(2, 2), unconfirmed(3, 3), point(4, 4), point(5, 5)];
    let last = |count| KeepRules { last: Some(count), ..KeepRules::default() };
    assert_eq!(kept(&points, &last(10), 6, &TimeZone::UTC), [1, 2, 3, 4, 5]);
    assert_eq!(kept(&points, &last(3), 6, &TimeZone::UTC), [3, 4, 5]);
    assert_eq!(kept(&points, &last(1), 6, &TimeZone::UTC), [5]);
    let mixed = [point(1, 1), unconfirmed(2, 2), point(3, 3)];
    assert_eq!(kept(&mixed, &last(2), 6, &TimeZone::UTC), [1, 2, 3], "2 takes no place of 1");
}

#[test]
fn a_point_in_the_future_is_found_beyond_five_minutes() {
    let points = [point(1, 100 * DAY_MS), point(2, 100 * DAY_MS + 6 * MINUTE), point(3, 99 * DAY_MS)];
    let found =
        |now| first_in_future(&points, Timestamp::from_unix_ms(now)).map(|point| point.summary.sequence);
    assert_eq!(found(100 * DAY_MS), Some(2));
    assert_eq!(found(100 * DAY_MS + MINUTE), None);
}
