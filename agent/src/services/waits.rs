//! A caller that waits for work on a thread that may block: when it goes, the work is told to stop.

use coffer_engine::CancelToken;

/// Held by whoever waits. Dropping it, done or not, says that nobody waits any more.
#[derive(Debug, Default)]
pub(super) struct Waits(CancelToken);

impl Waits {
    /// What the work looks at.
    pub(super) fn gone(&self) -> CancelToken {
        self.0.clone()
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
