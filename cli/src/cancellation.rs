//! SIGINT and SIGTERM: the first asks everything to stop soon, the second ends the process at once.

use std::io;
use std::sync::{Arc, OnceLock};

use coffer_blockio::Arena;
use coffer_engine::CancelToken;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::ExitStatus;

/// The wish to stop, shared by the signal thread and the work.
#[derive(Clone, Default)]
pub(crate) struct Cancellation {
    token: CancelToken,
    arena: Arc<OnceLock<Arc<Arena>>>,
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

    /// Makes a cancel wake whoever waits for memory of `arena`.
    pub(crate) fn wakes(&self, arena: &Arc<Arena>) {
        let _first_one_stays = self.arena.set(arena.clone());
    }

    fn cancel(&self) {
        self.token.cancel();
        if let Some(arena) = self.arena.get() {
            arena.wake_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancel_sets_the_flag_with_and_without_an_arena() {
        let cancellation = Cancellation::default();
        cancellation.cancel();
        assert!(cancellation.token().is_cancelled());
        let cancellation = Cancellation::default();
        cancellation.wakes(&Arena::new(1 << 16).unwrap());
        cancellation.cancel();
        assert!(cancellation.token().is_cancelled());
    }
}
