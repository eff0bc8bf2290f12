//! Which points the keep rules keep, and why. Pure: the points, the rules and the time go in, the verdict comes out.
//!
//! Never the newest complete point, never a pinned one, is given up.

use std::collections::BTreeSet;

use coffer_format::{Id, Timestamp};
use jiff::tz::TimeZone;

use crate::EngineError;
use crate::catalog::PointEntry;

const DAY_MS: i64 = 24 * 3_600 * 1_000;

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
            return Err(EngineError::Usage(
                "say what to keep: --keep-days, --keep-last, --keep-hourly, --keep-daily, --keep-weekly or --keep-monthly"
                    .into(),
            ));
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

/// Decides about all points of one plan, given oldest first.
///
/// Rules count in `(T - N x 24 h, T]` with T = the lesser of `now` and the newest complete point's time, so that a clock that runs ahead
/// gives nothing up early. Partial points count for no rule and go when a later complete point stands.
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
    let mut verdict = Verdict::default();
    let by_period = period_keepers(&complete, rules, zone);
    for point in points {
        let mut reasons = Vec::new();
        if point.is_complete() {
            reasons.extend(rule_reasons(point, &complete, rules, reference));
            reasons
                .extend(by_period.iter().filter(|(id, _)| *id == point.id).map(|(_, reason)| reason.clone()));
            if point.id == newest.id && reasons.is_empty() {
                reasons.push("newest complete point".to_owned());
            }
        } else if point.order() > newest.order() {
            reasons.push("no later complete point".to_owned());
        } else if !point.confirmed && within_days(point, rules, reference) {
            // Its run may be about to confirm it.
            reasons.push("not confirmed yet".to_owned());
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

fn rule_reasons(
    point: &PointEntry,
    complete: &[&PointEntry],
    rules: &KeepRules,
    reference: Timestamp,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(days) = rules.days
        && within_days(point, rules, reference)
    {
        reasons.push(format!("within {days} days"));
    }
    if let Some(last) = rules.last {
        let newer = complete.iter().filter(|other| other.order() > point.order()).count();
        if newer < last as usize {
            reasons.push(format!("among the last {last}"));
        }
    }
    reasons
}

/// A point later than the reference is newer than the rule looks: it is within.
fn within_days(point: &PointEntry, rules: &KeepRules, reference: Timestamp) -> bool {
    rules.days.is_some_and(|days| {
        let oldest = reference.unix_ms().saturating_sub(i64::from(days).saturating_mul(DAY_MS));
        point.summary.time.unix_ms() > oldest
    })
}

fn period_keepers(complete: &[&PointEntry], rules: &KeepRules, zone: &TimeZone) -> Vec<(Id, String)> {
    let mut keepers = Vec::new();
    for (count, period) in
        [(rules.hourly, "hour"), (rules.daily, "day"), (rules.weekly, "week"), (rules.monthly, "month")]
    {
        let Some(count) = count else { continue };
        let mut seen = Vec::new();
        for point in complete.iter().rev() {
            let name = period_name(point.summary.time, period, zone);
            if seen.last() == Some(&name) {
                continue;
            }
            if seen.len() == count as usize {
                break;
            }
            keepers.push((point.id, format!("newest of {period} {name}")));
            seen.push(name);
        }
    }
    keepers
}

fn period_name(time: Timestamp, period: &str, zone: &TimeZone) -> String {
    let instant = jiff::Timestamp::from_millisecond(time.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
    let local = zone.to_datetime(instant);
    match period {
        "hour" => format!("{} {:02}h", local.date(), local.hour()),
        "day" => local.date().to_string(),
        "week" => {
            let week = local.date().iso_week_date();
            format!("{}-W{:02}", week.year(), week.week())
        }
        _ => format!("{}-{:02}", local.year(), local.month()),
    }
}
