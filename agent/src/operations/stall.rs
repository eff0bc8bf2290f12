//! Tells operations that stand still from slow ones. Pure: whoever looks says when.
//!
//! Anything that was completed counts as progress: a block, a part, a range, a request to the store, a log line. Time alone does not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use coffer_format::Id;

use super::record::Progress;

/// How far a running operation is: it has moved if this has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its counters.
    pub progress: Progress,
    /// Requests that it has made of its store.
    pub requests: u64,
    /// Its newest log line.
    pub log_sequence: u64,
}

/// Watches all running operations.
#[derive(Debug)]
pub struct StallWatch {
    limit: Duration,
    seen: HashMap<Id, (Mark, Instant)>,
}

impl StallWatch {
    /// Calls an operation stalled that has not moved for `limit`.
    pub fn new(limit: Duration) -> StallWatch {
        StallWatch { limit, seen: HashMap::new() }
    }

    /// Looks at all that run; returns those that stand still for too long.
    pub fn look(&mut self, now: Instant, running: Vec<(Id, Mark)>) -> Vec<Id> {
        let mut seen = HashMap::new();
        let mut stalled = Vec::new();
        for (id, mark) in running {
            let since = match self.seen.remove(&id) {
                Some((before, since)) if before == mark => since,
                _ => now,
            };
            if now.saturating_duration_since(since) >= self.limit {
                stalled.push(id);
            }
            seen.insert(id, (mark, since));
        }
        self.seen = seen;
        stalled
    }

    /// How often to look, so that nobody stands still much longer than allowed.
    pub fn pause(&self) -> Duration {
        (self.limit / 8).max(Duration::from_millis(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_moves_a_byte_in_time_is_slow_and_who_moves_none_is_stalled() {
        let (slow, stalled) = (Id::from_parts(1, [0; 10]), Id::from_parts(2, [0; 10]));
        let mark = |moved, requests| Mark {
            progress: Progress { moved, ..Progress::default() },
            requests,
            log_sequence: 3,
        };
        let mut watch = StallWatch::new(Duration::from_secs(60));
        let begin = Instant::now();
        let mut found = Vec::new();
        for minute in 0..10_u64 {
            let now = begin + Duration::from_secs(minute * 59);
            found = watch.look(now, vec![(slow, mark(minute, 1)), (stalled, mark(7, 2))]);
            assert_eq!(found.is_empty(), minute < 2, "minute {minute}: {found:?}");
        }
        assert_eq!(found, [stalled]);
        let now = begin + Duration::from_secs(10 * 59);
        assert_eq!(watch.look(now, vec![(stalled, mark(7, 3))]), [], "it went on with a request");
        assert_eq!(watch.look(now + Duration::from_secs(600), vec![]), []);
        assert!(watch.seen.is_empty(), "who has ended is forgotten");
    }
}
