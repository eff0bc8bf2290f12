//! From an intent (`latest`, `oldest-day`, `as-of=…`) to one point. Pure.

use std::collections::BTreeSet;
use std::str::FromStr;

use coffer_format::{Id, Timestamp};
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

/// Picks from `points`, which are those of one plan in their order. Days are calendar days in `zone`.
///
/// Newest and oldest go by the order of the points; days and moments by the times that they show, which a clock that was wrong may have put
/// anywhere.
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
            days(&complete, zone).first().and_then(|day| of_that_day(&complete, *day, *which, zone))
        }
        Intent::Day(back, which) => {
            let day = days(&complete, zone).into_iter().rev().nth(*back);
            day.and_then(|day| of_that_day(&complete, day, *which, zone))
        }
        Intent::AsOf(time) => {
            let until = complete.iter().copied().filter(|point| point.summary.time <= *time);
            until.max_by_key(|point| by_time(point))
        }
    };
    found.ok_or_else(|| {
        EngineError::NotFound(format!(
            "no complete point fits the intent {intent:?}: the plan has {} complete points; `coffer points` lists them",
            complete.len()
        ))
    })
}

fn by_time(point: &PointEntry) -> (Timestamp, (u64, Id)) {
    (point.summary.time, point.order())
}

fn day_of(point: &PointEntry, zone: &TimeZone) -> Date {
    let instant =
        jiff::Timestamp::from_millisecond(point.summary.time.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
    zone.to_datetime(instant).date()
}

/// Days that have a point, oldest first.
fn days(points: &[&PointEntry], zone: &TimeZone) -> BTreeSet<Date> {
    points.iter().map(|point| day_of(point, zone)).collect()
}

fn of_that_day<'a>(
    points: &[&'a PointEntry],
    day: Date,
    which: OfDay,
    zone: &TimeZone,
) -> Option<&'a PointEntry> {
    let of_day = points.iter().copied().filter(|point| day_of(point, zone) == day);
    match which {
        OfDay::First => of_day.min_by_key(|point| by_time(point)),
        OfDay::Last => of_day.max_by_key(|point| by_time(point)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::tests::point;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn picked(points: &[PointEntry], intent: &str) -> u64 {
        pick(points, &intent.parse().unwrap(), &TimeZone::UTC).unwrap().summary.sequence
    }

    /// Rule of order: a clock that was years ahead or at 1970 moves no point before or behind another.
    #[test]
    fn the_latest_is_the_last_that_was_made_whatever_its_clock_said() {
        let points = [point(1, 100 * DAY), point(2, 5_000 * DAY), point(3, 101 * DAY), point(4, 5)];
        assert_eq!(picked(&points, "latest"), 4);
        assert_eq!(picked(&points, "previous"), 3);
        assert_eq!(picked(&points, "oldest"), 1);
    }

    #[test]
    fn days_and_moments_go_by_the_times_that_points_show() {
        let points = [
            point(1, 100 * DAY),
            point(2, 5_000 * DAY),
            point(3, 100 * DAY + HOUR),
            point(4, 102 * DAY),
            point(5, 101 * DAY),
        ];
        assert_eq!(picked(&points, "as-of=1970-04-12T12:00:00Z"), 5, "day 101, and not the last before it");
        assert_eq!(picked(&points, "day=-0"), 2);
        assert_eq!(picked(&points, "day=-1"), 4);
        assert_eq!(picked(&points, "day=-2"), 5);
        assert_eq!(picked(&points, "oldest-day:first"), 1);
        assert_eq!(picked(&points, "oldest-day"), 3);
    }
}
