//! How many requests may be under way: fewer while the server asks for it, slowly more again (additive increase,
//! multiplicative decrease).
//!
//! Callers wait here with nothing sent. It must never shut completely.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a waiting caller looks whether it should stop.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// The limit and who is inside.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    left: Condvar,
}

/// Pure state of the gate.
#[derive(Debug)]
struct State {
    limit: f64,
    limit_max: f64,
    inside: u32,
    /// Successes that must come before the next halving: answers to requests sent before the last one do not count twice.
    settle: u32,
}

/// A caller inside; leaves by drop.
pub(super) struct Inside<'a>(&'a Gate);

impl Gate {
    /// Lets `limit_max` requests in at once, at least one.
    pub(super) fn new(limit_max: u32) -> Self {
        let limit_max = f64::from(limit_max.max(1));
        let state = State { limit: limit_max, limit_max, inside: 0, settle: 0 };
        Gate { state: Mutex::new(state), left: Condvar::new() }
    }

    /// Waits for a place; `None` when `stop` says so.
    pub(super) fn enter(&self, stop: impl Fn() -> bool) -> Option<Inside<'_>> {
        let mut state = self.lock();
        while !state.has_room() {
            if stop() {
                return None;
            }
            state = self.left.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.inside += 1;
        Some(Inside(self))
    }

    /// The server answered a request well.
    pub(super) fn went_well(&self) {
        self.lock().went_well();
        self.left.notify_one();
    }

    /// The server asked for fewer requests. Returns the new limit if it was lowered.
    pub(super) fn throttled(&self) -> Option<u32> {
        self.lock().throttled()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.left.notify_one();
    }
}

impl State {
    fn has_room(&self) -> bool {
        f64::from(self.inside) + 1.0 <= self.limit
    }

    /// One more place for each round of successes that fills the gate.
    fn went_well(&mut self) {
        self.settle = self.settle.saturating_sub(1);
        self.limit = (self.limit + 1.0 / self.limit).min(self.limit_max);
    }

    fn throttled(&mut self) -> Option<u32> {
        if self.settle > 0 {
            self.settle -= 1;
            return None;
        }
        self.limit = (self.limit / 2.0).floor().max(1.0);
        self.settle = self.inside;
        Some(self.limit as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(limit: f64, inside: u32) -> State {
        State { limit, limit_max: 16.0, inside, settle: 0 }
    }

    #[test]
    fn a_burst_of_refusals_halves_once_per_round() {
        let mut state = state(16.0, 8);
        assert_eq!(state.throttled(), Some(8));
        assert!((0..8).all(|_| state.throttled().is_none()), "answers to requests under way count once");
        assert_eq!(state.throttled(), Some(4));
    }

    #[test]
    fn it_never_shuts_and_never_exceeds_its_most() {
        let mut state = state(16.0, 0);
        for _ in 0..20 {
            state.throttled();
        }
        assert_eq!(state.limit, 1.0);
        assert!(state.has_room());
        for _ in 0..10_000 {
            state.went_well();
        }
        assert_eq!(state.limit, 16.0);
    }

    #[test]
    fn a_place_that_is_left_is_given_on() {
        let gate = Gate::new(1);
        let first = gate.enter(|| false).expect("there is room");
        assert!(gate.enter(|| true).is_none(), "the only place is taken");
        drop(first);
        assert!(gate.enter(|| true).is_some());
    }
}
