//! How many lines of a kind reach the log: whoever is refused as fast as it can must not fill it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may come at once.
const BURST: u32 = 20;
/// After so long there may be one more.
const EVERY: Duration = Duration::from_secs(1);

/// A quota of lines.
#[derive(Debug, Default)]
pub(super) struct LineQuota(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    used: u32,
    /// Up to when what was used has been given back.
    since: Option<Instant>,
    left_out: u64,
}

impl LineQuota {
    /// Whether a line may be written at the moment `now`; if so, how many were left out before it.
    pub(super) fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *state.since.get_or_insert(now);
        let back = now.saturating_duration_since(since).as_secs() / EVERY.as_secs();
        if back > 0 {
            state.used = state.used.saturating_sub(u32::try_from(back).unwrap_or(u32::MAX));
            state.since = Some(since + EVERY * u32::try_from(back).unwrap_or(u32::MAX));
        }
        if state.used >= BURST {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.used += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_line_a_second_which_tells_how_many_were_left_out() {
        let quota = LineQuota::default();
        let begin = Instant::now();
        let written = (0..1_000).filter(|_| quota.take(begin).is_some()).count();
        assert_eq!(written, 20);
        assert_eq!(quota.take(begin + Duration::from_millis(999)), None);
        assert_eq!(quota.take(begin + Duration::from_millis(1_000)), Some(981));
        assert_eq!(quota.take(begin + Duration::from_millis(1_500)), None);
        assert_eq!(quota.take(begin + Duration::from_millis(2_000)), Some(1));
        // A day of rest gives a burst back, not a day's lines.
        let later = begin + Duration::from_secs(86_400);
        assert_eq!((0..1_000).filter(|_| quota.take(later).is_some()).count(), 20);
    }
}
