//! SIGINT and SIGTERM: the first asks everything to stop soon, the second ends the process at once.

use std::io;
use std::sync::Arc;

use coffer_coordinator::StopWish;
use coffer_engine::CancelToken;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use crate::exit_status::ExitStatus;

/// The wish to stop, shared by the signal thread and the work.
#[derive(Clone, Default)]
pub(crate) struct Cancellation {
    token: CancelToken,
    stop: Arc<watch::Sender<bool>>,
}

impl Cancellation {
    /// Listens to signals from now on. The thread lives as long as the process.
    pub(crate) fn listen() -> io::Result<Cancellation> {
        let cancellation = Cancellation::default();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let shared = cancellation.clone();
        let listener = move || {
            for _ in signals.forever() {
                if shared.token.is_cancelled() {
                    std::process::exit(ExitStatus::Cancelled as i32);
                }
                shared.cancel();
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(listener)?;
        Ok(cancellation)
    }

    /// The flag for the engine.
    pub(crate) fn token(&self) -> CancelToken {
        self.token.clone()
    }

    /// The same for tasks.
    pub(crate) fn stop_wish(&self) -> StopWish {
        StopWish::new(self.stop.subscribe())
    }

    fn cancel(&self) {
        self.token.cancel();
        self.stop.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancel_sets_the_flag_of_the_engine() {
        let cancellation = Cancellation::default();
        assert!(!cancellation.token().is_cancelled());
        cancellation.cancel();
        assert!(cancellation.token().is_cancelled());
    }

    #[test]
    fn cancel_wakes_tasks_that_wait_and_those_that_come_later() {
        let cancellation = Cancellation::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let wish = cancellation.stop_wish();
        let waits = runtime.spawn(async move { wish.wanted().await });
        runtime.block_on(tokio::task::yield_now());
        assert!(!waits.is_finished());
        let other = cancellation.clone();
        std::thread::spawn(move || other.cancel()).join().unwrap();
        runtime.block_on(waits).unwrap();
        runtime.block_on(cancellation.stop_wish().wanted());
    }
}
