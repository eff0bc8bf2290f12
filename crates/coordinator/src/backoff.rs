//! When to call an agent again that is away. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that grow while an agent is away, up to the caller's patience.
#[derive(Debug)]
pub(crate) struct Backoff {
    patience: Duration,
    away: Duration,
    next: Duration,
}

impl Backoff {
    /// Gives up when an agent was away for `patience`.
    pub(crate) fn new(patience: Duration) -> Backoff {
        Backoff { patience, away: Duration::ZERO, next: FIRST }
    }

    /// How long an agent may be away.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The agent answered.
    pub(crate) fn reset(&mut self) {
        *self = Backoff::new(self.patience);
    }

    /// How long to wait before the next call; `None` when patience is over.
    pub(crate) fn wait(&mut self) -> Option<Duration> {
        let left = self.patience.checked_sub(self.away).filter(|left| !left.is_zero())?;
        let wait = self.next.min(left);
        self.away += wait;
        self.next = (self.next * 2).min(LONGEST);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut backoff = Backoff::new(Duration::from_secs(8));
        let waits: Vec<u128> = std::iter::from_fn(|| backoff.wait()).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 1800]);
        backoff.reset();
        assert_eq!(backoff.wait(), Some(FIRST));
        assert_eq!(Backoff::new(Duration::ZERO).wait(), None);
        let mut long = Backoff::new(Duration::from_secs(300));
        assert!(std::iter::from_fn(|| long.wait()).all(|wait| wait <= LONGEST));
    }
}
