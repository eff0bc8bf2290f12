//! Telling one attempt of an operation to stop, and why. The first reason stands.

use std::sync::OnceLock;

use coffer_engine::{CancelReason, CancelToken};

use crate::errors::Stop;

/// How to stop one attempt of an operation.
#[derive(Debug, Default)]
pub(super) struct Control {
    token: CancelToken,
    reason: OnceLock<Stop>,
}

impl Control {
    /// The flag that engine and store look at.
    pub(super) fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Asks the work to stop soon.
    pub(super) fn stop(&self, reason: Stop) {
        let reason = *self.reason.get_or_init(|| reason);
        self.token.cancel_because(match reason {
            Stop::Cancelled => CancelReason::Caller,
            Stop::Deadline => CancelReason::Deadline,
            Stop::Shutdown => CancelReason::ShuttingDown,
            Stop::Stalled => CancelReason::Deadline,
        });
    }

    /// Why it was told to stop, if it was.
    pub(super) fn reason(&self) -> Option<Stop> {
        self.reason.get().copied()
    }
}
