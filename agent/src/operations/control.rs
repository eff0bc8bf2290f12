//! Telling a running operation to stop, and why. The first reason stands.

use std::sync::{Mutex, OnceLock, PoisonError, Weak};

use coffer_blockio::Arena;
use coffer_engine::CancelToken;

use crate::errors::Stop;

/// How to stop one attempt of an operation.
#[derive(Debug, Default)]
pub(super) struct Control {
    token: CancelToken,
    reason: OnceLock<Stop>,
    /// Whose waiters a stop wakes. Weak: memory goes back when the work lets go of it, whoever still looks at this.
    arena: Mutex<Weak<Arena>>,
}

impl Control {
    /// The flag that engine and store look at.
    pub(super) fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Asks the work to stop soon.
    pub(super) fn stop(&self, reason: Stop) {
        let _first_one_stays = self.reason.set(reason);
        self.token.cancel();
        let arena = self.arena.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(arena) = arena {
            arena.wake_all();
        }
    }

    /// Why it was told to stop, if it was.
    pub(super) fn reason(&self) -> Option<Stop> {
        self.reason.get().copied()
    }

    /// Who waits for memory of this arena is woken by a stop.
    pub(super) fn wakes(&self, arena: Weak<Arena>) {
        *self.arena.lock().unwrap_or_else(PoisonError::into_inner) = arena;
        if let Some(reason) = self.reason() {
            self.stop(reason);
        }
    }
}
