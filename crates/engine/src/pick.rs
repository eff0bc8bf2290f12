//! From an intent (`latest`, `oldest-day`, `as-of=…`) to one point. Pure.

use std::str::FromStr;

use coffer_format::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::EngineError;
use crate::catalog::PointEntry;

/// Which point of one plan a person means. Only complete points are picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// The newest.
    Latest,
    /// The N-th before the newest.
    Previous(usize),
    /// The oldest.
    Oldest,
    /// A point of the oldest day that has one.
    OldestDay(OfDay),
    /// A point of the N-th day with points before the newest such day.
    Day(usize, OfDay),
    /// The newest at or before a time.
    AsOf(Timestamp),
}

/// Which point of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OfDay {
    /// The first.
    First,
    /// The last; the default.
    #[default]
    Last,
}

impl FromStr for Intent {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        let bad = || {
            EngineError::Usage(format!(
                "`{text}` is no intent; write latest, previous, previous:N, oldest, oldest-day[:first|last], \
                 day=-N[:first|last] or as-of=RFC3339"
            ))
        };
        if let Some(time) = text.strip_prefix("as-of=") {
            return Timestamp::parse_lenient(time).map(Intent::AsOf).map_err(|_| bad());
        }
        let (head, tail) = text.split_once(':').map_or((text, None), |(head, tail)| (head, Some(tail)));
        match (head, tail) {
            ("latest", None) => Ok(Intent::Latest),
            ("oldest", None) => Ok(Intent::Oldest),
            ("previous", None) => Ok(Intent::Previous(1)),
            ("previous", Some(count)) => count.parse().map(Intent::Previous).map_err(|_| bad()),
            ("oldest-day", which) => Ok(Intent::OldestDay(of_day(which).ok_or_else(bad)?)),
            (day, which) => {
                let number = day.strip_prefix("day=-").ok_or_else(bad)?;
                let number = number.parse().map_err(|_| bad())?;
                Ok(Intent::Day(number, of_day(which).ok_or_else(bad)?))
            }
        }
    }
}

fn of_day(text: Option<&str>) -> Option<OfDay> {
    match text {
        None | Some("last") => Some(OfDay::Last),
        Some("first") => Some(OfDay::First),
        Some(_) => None,
    }
}

/// Picks from `points`, which are those of one plan, oldest first. Days are calendar days in `zone`.
pub fn pick<'a>(
    points: &'a [PointEntry],
    intent: &Intent,
    zone: &TimeZone,
) -> Result<&'a PointEntry, EngineError> {
    let complete: Vec<&PointEntry> = points.iter().filter(|point| point.is_complete()).collect();
    let found = match intent {
        Intent::Latest => complete.last().copied(),
        Intent::Previous(back) => complete.iter().rev().nth(*back).copied(),
        Intent::Oldest => complete.first().copied(),
        Intent::OldestDay(which) => {
            let first = complete.first().map(|point| day_of(point, zone));
            first.and_then(|day| of_that_day(&complete, day, *which, zone))
        }
        Intent::Day(back, which) => {
            let day = days(&complete, zone).into_iter().rev().nth(*back);
            day.and_then(|day| of_that_day(&complete, day, *which, zone))
        }
        Intent::AsOf(time) => complete.iter().rev().find(|point| point.summary.time <= *time).copied(),
    };
    found.ok_or_else(|| {
        EngineError::NotFound(format!(
            "no complete point fits the intent {intent:?}: the plan has {} complete points; `coffer points` lists them",
            complete.len()
        ))
    })
}

fn day_of(point: &PointEntry, zone: &TimeZone) -> Date {
    let instant =
        jiff::Timestamp::from_millisecond(point.summary.time.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
    zone.to_datetime(instant).date()
}

fn days(points: &[&PointEntry], zone: &TimeZone) -> Vec<Date> {
    let mut days: Vec<Date> = points.iter().map(|point| day_of(point, zone)).collect();
    days.dedup();
    days
}

fn of_that_day<'a>(
    points: &[&'a PointEntry],
    day: Date,
    which: OfDay,
    zone: &TimeZone,
) -> Option<&'a PointEntry> {
    let mut of_day = points.iter().filter(|point| day_of(point, zone) == day);
    match which {
        OfDay::First => of_day.next().copied(),
        OfDay::Last => of_day.next_back().copied(),
    }
}
