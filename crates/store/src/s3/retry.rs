//! How long a request is tried again, and how long is waited in between. Pure: time and chance are given.
//!
//! Before a server has answered as S3 does for the first time, a person waits for the outcome of a command, and a wrong address is the
//! likeliest cause: seconds. Afterwards work would be lost by giving up: minutes.

use std::time::Duration;

use super::failure::Kind;

/// Wait before the second try.
const DELAY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between two tries.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// Tries where a failure passes soon or never: bytes that arrive changed (a faulty line passes, faulty memory does not), requests in
/// each other's way, credentials that are read again.
const BRIEF_TRIES_MAX: u32 = 5;

/// For how long failures are borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// While nothing has answered as S3 does yet.
    pub fresh: Duration,
    /// Once it has.
    pub established: Duration,
}

/// What to do after a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again after this wait.
    Wait(Duration),
    /// Give up.
    GiveUp,
}

/// One request's tries.
#[derive(Debug, Default)]
pub(super) struct Tries {
    failed: u32,
}

impl Tries {
    /// Failed tries so far.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// After a try failed with `kind`, `elapsed` since the first try began. `chance` is a random number.
    pub(super) fn failed_with(
        &mut self,
        kind: Kind,
        elapsed: Duration,
        patience: Duration,
        chance: u32,
    ) -> Next {
        self.failed = self.failed.saturating_add(1);
        if !kind.passes() || (kind.is_brief() && self.failed >= BRIEF_TRIES_MAX) {
            return Next::GiveUp;
        }
        let delay = self.delay(chance);
        if elapsed + delay > patience { Next::GiveUp } else { Next::Wait(delay) }
    }

    /// Doubles from try to try; a random half of it keeps many clients from coming back at once.
    fn delay(&self, chance: u32) -> Duration {
        let doublings = (self.failed - 1).min(16);
        let full = DELAY_FIRST.saturating_mul(1 << doublings).min(DELAY_MAX);
        full / 2 + (full / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn waits_double_up_to_the_longest_and_stay_within_half_of_it() {
        for (chance, part) in [(0, 0.5), (u32::MAX, 1.0)] {
            let mut tries = Tries::default();
            for full in [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0] {
                let next = tries.failed_with(Kind::Unreachable, Duration::ZERO, LONG, chance);
                let Next::Wait(delay) = next else { panic!("gave up before {full}") };
                assert!((delay.as_secs_f64() - full * part).abs() < 1e-6, "{delay:?} for {full} x {part}");
            }
        }
    }

    #[test]
    fn it_gives_up_when_the_next_try_would_come_too_late() {
        let mut tries = Tries::default();
        let patience = Duration::from_secs(1);
        assert_ne!(
            tries.failed_with(Kind::Broken, Duration::from_millis(900), patience, u32::MAX),
            Next::GiveUp
        );
        assert_eq!(
            tries.failed_with(Kind::Broken, Duration::from_millis(901), patience, u32::MAX),
            Next::GiveUp
        );
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again() {
        for kind in
            [Kind::Denied, Kind::NotFound, Kind::Refused, Kind::Precondition, Kind::Setup, Kind::NoSpace]
        {
            assert_eq!(Tries::default().failed_with(kind, Duration::ZERO, LONG, 0), Next::GiveUp);
        }
    }

    #[test]
    fn garbled_bytes_are_tried_five_times() {
        let mut tries = Tries::default();
        let mut next = || tries.failed_with(Kind::Garbled, Duration::ZERO, LONG, 0);
        assert!((0..4).all(|_| next() != Next::GiveUp));
        assert_eq!(next(), Next::GiveUp);
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut tries = Tries::default();
        for _ in 0..1_000 {
            let Next::Wait(delay) = tries.failed_with(Kind::Throttled, Duration::ZERO, LONG, u32::MAX) else {
                panic!("gave up within the patience")
            };
            assert!(delay <= DELAY_MAX);
        }
    }
}
