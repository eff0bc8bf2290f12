//! How many requests are in flight at once: the least number that gets about all that the device can give.
//!
//! Pure: time comes in as an argument. It must never stop all requests, and never ask for more than the ring holds.

/// Enough for a disk behind a network, whatever it is; the search begins here.
const START: u32 = 32;
/// Below this even a single fast disk starves.
const LEAST: u32 = 8;
/// The most requests that are ever in flight.
pub(super) const MOST: u32 = 128;
/// A window ends after this many completions, and four times the depth.
const COMPLETIONS_MIN: u32 = 64;
/// Windows to wait after the search before the next one, since devices and their other users change.
const REST_WINDOWS: u32 = 64;

/// A search for the right depth by trying: twice as many while that pays, then half as many while that costs nothing.
#[derive(Debug)]
pub(super) struct Depth {
    limit: u32,
    search: Search,
    window: Window,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Search {
    /// The rate at the present depth is wanted first.
    Begin,
    /// The present depth is twice the one that gave `best`, in bytes per second.
    Up { best: f64 },
    /// The present depth is below the one that gave `best`.
    Down { best: f64 },
    /// Found; windows left until the next search.
    Rest { windows: u32 },
}

#[derive(Debug, Default)]
struct Window {
    start_ns: Option<u64>,
    bytes: u64,
    completions: u32,
    held_back: bool,
}

impl Depth {
    pub(super) fn new() -> Self {
        Self { limit: START, search: Search::Begin, window: Window::default() }
    }

    /// How many requests may be in flight now.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Requests waited because the limit was reached. Where that never happens there is nothing to learn.
    pub(super) fn held_back(&mut self) {
        self.window.held_back = true;
    }

    /// A request for `bytes` bytes completed at `now_ns`, a time from any start that never goes back.
    pub(super) fn completed(&mut self, bytes: u64, now_ns: u64) {
        // The first completion only starts the clock: its bytes were on their way before.
        let Some(start_ns) = self.window.start_ns else {
            self.window.start_ns = Some(now_ns);
            return;
        };
        self.window.bytes += bytes;
        self.window.completions += 1;
        if self.window.completions < COMPLETIONS_MIN.max(4 * self.limit) {
            return;
        }
        let rate = self.window.bytes as f64 / now_ns.saturating_sub(start_ns).max(1) as f64;
        if self.window.held_back {
            (self.search, self.limit) = next(self.search, self.limit, rate);
        }
        self.window = Window { start_ns: Some(now_ns), ..Window::default() };
    }
}

/// What a window at depth `limit` that moved `rate` bytes per unit of time leads to.
fn next(search: Search, limit: u32, rate: f64) -> (Search, u32) {
    let up =
        |best| if limit < MOST { (Search::Up { best }, (limit * 2).min(MOST)) } else { down(best, limit) };
    match search {
        Search::Begin => up(rate),
        Search::Up { best } if rate >= best * 1.10 => up(rate),
        Search::Up { best } => down(best, limit / 2),
        // Against the best rate, not the last one: small losses must not add up.
        Search::Down { best } if rate >= best * 0.97 => down(best, limit),
        Search::Down { .. } => (Search::Rest { windows: REST_WINDOWS }, (limit * 2).min(MOST)),
        Search::Rest { windows: 0 } => (Search::Begin, limit),
        Search::Rest { windows } => (Search::Rest { windows: windows - 1 }, limit),
    }
}

fn down(best: f64, limit: u32) -> (Search, u32) {
    if limit > LEAST {
        return (Search::Down { best }, (limit / 2).max(LEAST));
    }
    (Search::Rest { windows: REST_WINDOWS }, limit)
}

#[cfg(test)]
mod tests {
    use super::{Depth, LEAST, MOST, START};

    /// Runs a device that serves `rate(depth)` requests a second, with a backlog always or never.
    fn settle(rate: impl Fn(u32) -> f64, held_back: bool) -> Vec<u32> {
        let mut depth = Depth::new();
        let mut now_ns = 0.0;
        let mut limits = Vec::new();
        for _ in 0..100_000 {
            now_ns += 1e9 / rate(depth.limit());
            if held_back {
                depth.held_back();
            }
            depth.completed(65536, now_ns as u64);
            limits.push(depth.limit());
        }
        limits
    }

    fn usual(limits: &[u32]) -> u32 {
        let mut sorted = limits[limits.len() / 10..].to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }

    #[test]
    fn it_finds_the_least_depth_that_saturates_the_device() {
        for (saturated_at, expected) in [(1, 8), (8, 8), (16, 16), (64, 64), (128, 128), (1000, MOST)] {
            let limits = settle(|depth| 1000.0 * f64::from(depth.min(saturated_at)), true);
            assert_eq!(usual(&limits), expected, "saturated at {saturated_at}");
            assert!(limits.iter().all(|limit| (LEAST..=MOST).contains(limit)));
        }
    }

    #[test]
    fn it_follows_a_device_that_changes() {
        let served = std::cell::Cell::new(0);
        let limits = settle(
            |depth| {
                served.set(served.get() + 1);
                1000.0 * f64::from(depth.min(if served.get() < 50_000 { 128 } else { 8 }))
            },
            true,
        );
        assert_eq!((usual(&limits[..50_000]), usual(&limits[50_000..])), (128, 8));
    }

    #[test]
    fn without_a_backlog_nothing_is_learnt() {
        assert!(settle(|_| 1000.0, false).iter().all(|limit| *limit == START));
    }

    #[test]
    fn a_clock_that_stands_still_is_survived() {
        let mut depth = Depth::new();
        for _ in 0..10_000 {
            depth.held_back();
            depth.completed(u64::from(u32::MAX), 5);
        }
        assert!((LEAST..=MOST).contains(&depth.limit()));
    }
}
