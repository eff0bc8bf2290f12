//! Which points the keep rules keep, and why. Pure: the points, the rules and the time go in, the verdict comes out.
//!
//! Never the newest complete point, never a pinned one, is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use coffer_format::{Id, Timestamp};
use jiff::tz::{Offset, TimeZone};

use crate::EngineError;
use crate::catalog::PointEntry;
use crate::request_error::RequestError;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Clocks of two machines, and of the store, may differ by this much.
pub(crate) const CLOCK_DIFFERENCE_MAX_MS: i64 = 5 * 60 * 1_000;

/// What a plan keeps. A point stays if any rule keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// All points of the last N times 24 hours.
    pub days: Option<u32>,
    /// The N newest.
    pub last: Option<u32>,
    /// The newest of each of the N newest hours that have a point.
    pub hourly: Option<u32>,
    /// The newest of each of the N newest days that have a point.
    pub daily: Option<u32>,
    /// The newest of each of the N newest ISO weeks that have a point.
    pub weekly: Option<u32>,
    /// The newest of each of the N newest months that have a point.
    pub monthly: Option<u32>,
}

impl KeepRules {
    /// Refuses an empty set of rules, which would give up all but one point.
    pub fn check(&self) -> Result<(), EngineError> {
        if *self == KeepRules::default() {
            return Err(RequestError::NoKeepRule.into());
        }
        Ok(())
    }
}

/// A verdict on every point of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Points that stay, with the reasons.
    pub kept: Vec<(Id, String)>,
    /// Points that go, oldest first.
    pub forgotten: Vec<Id>,
}

/// The first of `points` that lies in the future, if there is one: rules that go by time cannot be trusted beside it.
pub(crate) fn first_in_future(points: &[PointEntry], now: Timestamp) -> Option<&PointEntry> {
    let latest = now.unix_ms().saturating_add(CLOCK_DIFFERENCE_MAX_MS);
    points.iter().find(|point| point.summary.time.unix_ms() > latest)
}

/// Decides about all points of one plan, given oldest first.
///
/// Newest is the last in the order of the points; periods are those of the times that they show. Rules count in `(T - N x 24 h, T]` with T =
/// the lesser of `now` and the newest complete point's time, so that a clock that runs ahead gives nothing up early. Partial points count for
/// no rule and go when a later complete point stands. A point that is not confirmed counts for no other: it stays where it would stay if it
/// were, as its run may be about to confirm it, or its record may have been lost.
pub fn decide(
    points: &[PointEntry],
    pinned: &BTreeSet<Id>,
    rules: &KeepRules,
    now: Timestamp,
    zone: &TimeZone,
) -> Verdict {
    let complete: Vec<&PointEntry> = points.iter().filter(|point| point.is_complete()).collect();
    let Some(newest) = complete.last() else {
        let kept = points.iter().map(|point| (point.id, "no complete point is there".to_owned())).collect();
        return Verdict { kept, forgotten: Vec::new() };
    };
    let reference = now.min(newest.summary.time);
    let counted = Rules::new(&complete, rules, reference, zone);
    let whole: Vec<&PointEntry> = points.iter().filter(|point| point.is_whole()).collect();
    let as_if_confirmed = Rules::new(&whole, rules, reference, zone);
    let mut verdict = Verdict::default();
    for point in points {
        let mut reasons = Vec::new();
        if point.is_complete() {
            reasons = counted.reasons(point);
            if point.id == newest.id && reasons.is_empty() {
                reasons.push("newest complete point".to_owned());
            }
        } else if point.order() > newest.order() {
            reasons.push("no later complete point".to_owned());
        } else if !point.confirmed && within_days(point, rules, reference) {
            // Its run may be about to confirm it.
            reasons.push("not confirmed yet".to_owned());
        } else if point.is_whole() {
            let of_rules = as_if_confirmed.reasons(point);
            reasons.extend(of_rules.iter().map(|reason| format!("not confirmed, else {reason}")));
        }
        if pinned.contains(&point.id) {
            reasons.push("held or being restored".to_owned());
        }
        if reasons.is_empty() {
            verdict.forgotten.push(point.id);
        } else {
            verdict.kept.push((point.id, reasons.join(", ")));
        }
    }
    verdict
}

/// The keep rules, and the points that they count.
struct Rules<'a> {
    points: &'a [&'a PointEntry],
    rules: &'a KeepRules,
    reference: Timestamp,
    by_period: Vec<(Id, String)>,
}

impl<'a> Rules<'a> {
    fn new(
        points: &'a [&'a PointEntry],
        rules: &'a KeepRules,
        reference: Timestamp,
        zone: &TimeZone,
    ) -> Rules<'a> {
        Rules { points, rules, reference, by_period: period_keepers(points, rules, zone) }
    }

    /// Why `point` stays.
    fn reasons(&self, point: &PointEntry) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(days) = self.rules.days
            && within_days(point, self.rules, self.reference)
        {
            reasons.push(format!("within {days} days"));
        }
        if let Some(last) = self.rules.last {
            let newer = self.points.iter().filter(|other| other.order() > point.order()).count();
            if newer < last as usize {
                reasons.push(format!("among the last {last}"));
            }
        }
        let of_periods = self.by_period.iter().filter(|(id, _)| *id == point.id);
        reasons.extend(of_periods.map(|(_, reason)| reason.clone()));
        reasons
    }
}

/// A point later than the reference is newer than the rule looks: it is within.
fn within_days(point: &PointEntry, rules: &KeepRules, reference: Timestamp) -> bool {
    rules.days.is_some_and(|days| {
        let oldest = reference.unix_ms().saturating_sub(i64::from(days).saturating_mul(DAY_MS));
        point.summary.time.unix_ms() > oldest
    })
}

fn period_keepers(points: &[&PointEntry], rules: &KeepRules, zone: &TimeZone) -> Vec<(Id, String)> {
    let mut keepers = Vec::new();
    for (count, period) in [
        (rules.hourly, Period::Hour),
        (rules.daily, Period::Day),
        (rules.weekly, Period::Week),
        (rules.monthly, Period::Month),
    ] {
        let Some(count) = count else { continue };
        let mut of_periods: BTreeMap<PeriodKey, Vec<&PointEntry>> = BTreeMap::new();
        for point in points {
            of_periods.entry(period.key(point.summary.time, zone)).or_default().push(point);
        }
        for (key, of_period) in of_periods.into_iter().rev().take(count as usize) {
            keepers.extend(newest_of(&of_period).map(|id| (id, format!("newest of {key}"))));
        }
    }
    keepers
}

/// The newest of a period: the last that was made, and the last by its time where a clock that was wrong makes that another one.
fn newest_of(points: &[&PointEntry]) -> impl Iterator<Item = Id> {
    let made = points.iter().map(|point| (point.order(), point.id)).max();
    let shown = points.iter().map(|point| (point.summary.time, point.order(), point.id)).max();
    let ids = [made.map(|(_, id)| id), shown.map(|(_, _, id)| id)];
    ids.into_iter().flatten().collect::<BTreeSet<Id>>().into_iter()
}

#[derive(Clone, Copy)]
enum Period {
    Hour,
    Day,
    Week,
    Month,
}

/// A period in order of time, with its name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PeriodKey {
    /// When it began, as far as its order among periods of its kind needs it.
    begin: (i64, i64),
    name: String,
}

impl fmt::Display for PeriodKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Period {
    fn key(self, time: Timestamp, zone: &TimeZone) -> PeriodKey {
        let instant = jiff::Timestamp::from_millisecond(time.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
        let (offset, local) = (zone.to_offset(instant), zone.to_datetime(instant));
        let (year, month) = (i64::from(local.year()), i64::from(local.month()));
        match self {
            // The hour that comes twice in autumn is two hours: they have one name on the clock and two offsets.
            Period::Hour => {
                let begin = instant.as_second() + i64::from(offset.seconds());
                let hour_begin = begin.div_euclid(3_600) * 3_600 - i64::from(offset.seconds());
                let name = format!("hour {} {:02}h{}", local.date(), local.hour(), offset_name(offset));
                PeriodKey { begin: (hour_begin, 0), name }
            }
            Period::Day => PeriodKey {
                begin: (year, month * 100 + i64::from(local.day())),
                name: format!("day {}", local.date()),
            },
            Period::Week => {
                let week = local.date().iso_week_date();
                let name = format!("week {}-W{:02}", week.year(), week.week());
                PeriodKey { begin: (i64::from(week.year()), i64::from(week.week())), name }
            }
            Period::Month => PeriodKey { begin: (year, month), name: format!("month {year}-{month:02}") },
        }
    }
}

/// Nothing in UTC, else what tells the two hours of one name apart.
fn offset_name(offset: Offset) -> String {
    if offset == Offset::UTC { String::new() } else { offset.to_string() }
}

#[cfg(test)]
pub(crate) mod tests;
