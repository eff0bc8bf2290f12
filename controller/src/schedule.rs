//! When a plan's points are due. Pure: time comes as an argument.

use coffer_api::Schedule;
use cronexpr::{Crontab, ParseOptions};
use jiff::{SignedDuration, Timestamp, Zoned};

/// Slots that are counted at most when many were missed.
const MISSED_MAX: usize = 10_000;

/// How far back the newest of many slots is looked for, shortest first: minutely plans have one in the last hour, yearly ones in the last years.
const LOOK_BACK: [SignedDuration; 4] = [
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(24 * 8),
    SignedDuration::from_hours(24 * 32),
    SignedDuration::from_hours(24 * 366 * 9),
];

/// What keeps a schedule from being followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "cron `{0}` has not five fields: write minute, hour, day of month, month, day of week, such as 0 * * * *"
    )]
    Fields(String),
    /// Unknown to the time zone database.
    #[error("time zone `{0}` is not known: write a name of the IANA database, such as Europe/Berlin or UTC")]
    Zone(String),
    /// Fields that mean nothing.
    #[error("cron `{cron}` means nothing: {detail}")]
    Cron {
        /// As written.
        cron: String,
        /// Why.
        detail: String,
    },
    /// No date is ever meant.
    #[error("cron `{0}` names no date that ever comes")]
    Never(String),
}

/// The slots of one plan.
#[derive(Debug, Clone)]
pub struct Slots {
    crontab: Crontab,
    jitter: SignedDuration,
    /// The hour field names hours: when clocks go back, an hour that comes twice is meant once.
    names_hours: bool,
}

/// Slots that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The newest.
    pub newest: Timestamp,
    /// How many are due, the newest among them; of very many 10,000.
    pub count: usize,
}

impl Slots {
    /// Parses a schedule. `seed` (a plan's UID) decides how much of the jitter is its own.
    ///
    /// # Errors
    /// What is wrong, in words for the plan's status.
    pub fn parse(schedule: &Schedule, seed: &str) -> Result<Slots, ScheduleError> {
        let cron = schedule.cron.trim();
        if cron.split_whitespace().count() != 5 {
            return Err(ScheduleError::Fields(cron.to_owned()));
        }
        let zone = &schedule.time_zone;
        jiff::tz::TimeZone::get(zone).map_err(|_| ScheduleError::Zone(zone.clone()))?;
        let options = ParseOptions::default();
        let crontab = cronexpr::parse_crontab_with(&format!("{cron} {zone}"), options).map_err(|error| {
            // Its text draws a picture of several lines.
            let detail =
                error.to_string().lines().last().unwrap_or_default().trim_matches(['^', ' ']).to_owned();
            ScheduleError::Cron { cron: cron.to_owned(), detail }
        })?;
        let names_hours = cron.split_whitespace().nth(1).is_some_and(|hours| !hours.starts_with('*'));
        let slots = Slots { crontab, jitter: jitter(schedule.jitter_seconds, seed), names_hours };
        slots.after(Timestamp::UNIX_EPOCH).ok_or_else(|| ScheduleError::Never(cron.to_owned()))?;
        Ok(slots)
    }

    /// How long after each slot its run begins.
    pub fn jitter(&self) -> SignedDuration {
        self.jitter
    }

    /// The first slot after a moment; `None` where the calendar ends before.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let mut next: Zoned = self.crontab.find_next(cronexpr::MakeTimestamp(moment)).ok()?;
        while self.names_hours && is_repeated(&next) {
            next = self.crontab.find_next(cronexpr::MakeTimestamp(next.timestamp())).ok()?;
        }
        Some(next.timestamp())
    }

    /// Slots in `(after, now]` whose runs may begin, jitter counted in.
    pub fn due(&self, after: Timestamp, now: Timestamp) -> Option<Due> {
        let now = now.checked_sub(self.jitter).ok()?;
        let first = self.after(after).filter(|slot| *slot <= now)?;
        let (mut newest, mut count) = (first, 1);
        while count < MISSED_MAX {
            match self.after(newest).filter(|slot| *slot <= now) {
                Some(slot) => (newest, count) = (slot, count + 1),
                None => return Some(Due { newest, count }),
            }
        }
        Some(Due { newest: self.newest_until(now).unwrap_or(newest), count })
    }

    /// The newest slot at or before a moment.
    fn newest_until(&self, now: Timestamp) -> Option<Timestamp> {
        LOOK_BACK.iter().find_map(|back| {
            let mut slot = self.after(now.checked_sub(*back).ok()?).filter(|slot| *slot <= now)?;
            while let Some(next) = self.after(slot).filter(|next| *next <= now) {
                slot = next;
            }
            Some(slot)
        })
    }

    /// When the next run may begin, seen from `now`; `served` is the newest slot that was served or left out.
    pub fn next_begin(&self, served: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let slot = self.after(served.max(now.checked_sub(self.jitter).unwrap_or(now)))?;
        slot.checked_add(self.jitter).ok()
    }
}

/// Whether the clocks of the zone showed this time before, an hour ago.
fn is_repeated(time: &Zoned) -> bool {
    let first = time.time_zone().to_ambiguous_zoned(time.datetime()).earlier();
    first.is_ok_and(|first| first.timestamp() < time.timestamp())
}

/// A plan's own part of `max_seconds`, the same at each run (FNV-1a of its seed).
fn jitter(max_seconds: u32, seed: &str) -> SignedDuration {
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    SignedDuration::from_secs((hash % (u64::from(max_seconds) + 1)).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule {
            cron: cron.into(),
            time_zone: zone.into(),
            jitter_seconds: 0,
            starting_deadline_seconds: None,
        }
    }

    fn slots(cron: &str, zone: &str) -> Slots {
        Slots::parse(&schedule(cron, zone), "seed").unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check_next(cron: &str, zone: &str, from: &str, expected: &[&str]) {
        let slots = slots(cron, zone);
        let mut at = time(from);
        for expected in expected {
            at = slots.after(at).unwrap();
            assert_eq!(at, time(expected), "{cron} {zone}");
        }
    }

    #[test]
    fn every_hour_is_every_hour_when_clocks_change() {
        let zone = "Europe/Berlin";
        let autumn = ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"];
        check_next("0 * * * *", zone, "2026-10-24T23:00:00Z", &autumn);
        let spring = ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"];
        check_next("0 * * * *", zone, "2026-03-29T00:00:00Z", &spring);
    }

    #[test]
    fn a_daily_slot_comes_once_a_day_whatever_clocks_do() {
        let check = |cron, from: &str, days: usize| {
            let slots = slots(cron, "Europe/Berlin");
            let mut at = time(from);
            let mut dates = std::collections::BTreeSet::new();
            for _ in 0..days {
                at = slots.after(at).unwrap();
                let zoned = at.in_tz("Europe/Berlin").unwrap();
                assert!(dates.insert(zoned.date()), "{cron}: twice on {}", zoned.date());
            }
        };
        check("30 2 * * *", "2026-10-20T00:00:00Z", 10);
        check("30 2 * * *", "2026-03-25T00:00:00Z", 10);
    }

    #[test]
    fn many_missed_slots_are_one_run_of_the_newest() {
        let hourly = slots("0 * * * *", "UTC");
        let due = hourly.due(time("2026-01-01T00:00:00Z"), time("2026-01-01T05:59:59Z")).unwrap();
        assert_eq!(due, Due { newest: time("2026-01-01T05:00:00Z"), count: 5 });
        assert_eq!(hourly.due(time("2026-01-01T05:00:00Z"), time("2026-01-01T05:59:59Z")), None);
        let minutely = slots("* * * * *", "UTC");
        let due = minutely.due(time("2020-01-01T00:00:00Z"), time("2026-01-01T05:59:59Z")).unwrap();
        assert_eq!(due, Due { newest: time("2026-01-01T05:59:00Z"), count: MISSED_MAX });
    }

    #[test]
    fn jitter_delays_and_stays_the_same() {
        let schedule = Schedule { jitter_seconds: 600, ..schedule("0 * * * *", "UTC") };
        let slots = Slots::parse(&schedule, "some-uid").unwrap();
        let jitter = slots.jitter();
        assert_eq!(jitter, Slots::parse(&schedule, "some-uid").unwrap().jitter());
        assert!(jitter > SignedDuration::ZERO && jitter <= SignedDuration::from_secs(600));
        let slot = time("2026-01-01T01:00:00Z");
        let before = slot + jitter - SignedDuration::from_secs(1);
        assert_eq!(slots.due(time("2026-01-01T00:00:00Z"), before), None);
        assert_eq!(slots.due(time("2026-01-01T00:00:00Z"), slot + jitter).unwrap().newest, slot);
        assert_eq!(slots.next_begin(time("2026-01-01T00:00:00Z"), before), Some(slot + jitter));
    }

    #[test]
    fn what_means_nothing_is_told_in_words() {
        let error = |cron: &str, zone: &str| Slots::parse(&schedule(cron, zone), "").unwrap_err().to_string();
        assert!(error("0 * * *", "UTC").contains("five fields"));
        assert!(error("0 * * * *", "Mars/Olympus").contains("Mars/Olympus"));
        assert!(error("61 * * * *", "UTC").contains("61 * * * *"));
        assert!(error("0 0 30 2 *", "UTC").contains("0 0 30 2 *"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_newest_due_slot_is_what_stepping_finds(minutes in 1_i64..3_000, step in 1_u32..59, any in any::<u16>()) {
            let slots = slots(&format!("*/{step} * * * *"), "UTC");
            let after = time("2026-03-01T00:00:00Z") + SignedDuration::from_secs(i64::from(any));
            let now = after + SignedDuration::from_mins(minutes);
            let mut all = Vec::new();
            let mut at = after;
            while let Some(next) = slots.after(at).filter(|next| *next <= now) {
                all.push(next);
                at = next;
            }
            let due = slots.due(after, now);
            prop_assert_eq!(due.map(|due| due.newest), all.last().copied());
            prop_assert_eq!(due.map_or(0, |due| due.count), all.len());
            if let Some(newest) = all.last() {
                prop_assert_eq!(slots.newest_until(now), Some(*newest));
            }
            prop_assert!(slots.next_begin(after, now).unwrap() > now);
        }
    }
}
