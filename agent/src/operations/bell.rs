//! Wakes the dispatcher.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wakes one thread, also if it is rung before that thread waits.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Default)]
struct BellState {
    rung: bool,
    hung_up: bool,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.state().rung = true;
        self.rung.notify_all();
    }

    /// Ends the thread that waits.
    pub(super) fn hang_up(&self) {
        self.state().hung_up = true;
        self.rung.notify_all();
    }

    /// Waits for a ring, or so long; false once it was hung up.
    pub(super) fn wait(&self, at_most: Option<Duration>) -> bool {
        let mut state = self.state();
        let until = at_most.map(|wait| Instant::now() + wait);
        while !state.rung && !state.hung_up {
            let Some(until) = until else {
                state = self.rung.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.rung.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.rung = false;
        !state.hung_up
    }

    fn state(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
