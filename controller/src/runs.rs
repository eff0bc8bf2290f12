//! Backups and restores that are under way in this process: each once, so many at once, each stopped when the process or its object goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffer_coordinator::StopWish;
use coffer_engine::{CancelReason, CancelToken};
use tokio::sync::{Semaphore, oneshot, watch};

/// What tells a run to stop.
#[derive(Clone)]
pub struct RunStop {
    wish: watch::Sender<bool>,
    token: CancelToken,
}

impl RunStop {
    fn new() -> RunStop {
        RunStop { wish: watch::channel(false).0, token: CancelToken::default() }
    }

    /// For calls of agents.
    pub fn wish(&self) -> StopWish {
        StopWish::new(self.wish.subscribe())
    }

    /// For the engine.
    pub fn token(&self) -> CancelToken {
        self.token.clone()
    }

    fn stop(&self, reason: CancelReason) {
        self.token.cancel_because(reason);
        self.wish.send_replace(true);
    }
}

/// All runs of this process.
#[derive(Clone)]
pub struct Runs {
    known: Arc<Mutex<HashMap<String, RunStop>>>,
    places: Arc<Semaphore>,
}

impl Runs {
    /// So many at once.
    pub fn new(at_once: usize) -> Runs {
        Runs { known: Arc::default(), places: Arc::new(Semaphore::new(at_once)) }
    }

    /// Begins the run of this object, unless it is under way. `make` waits for a place first.
    pub fn begin<F>(&self, uid: &str, make: impl FnOnce(RunStop) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = RunStop::new();
        if self.known().contains_key(uid) {
            return;
        }
        self.known().insert(uid.to_owned(), stop.clone());
        let (runs, places, uid) = (self.clone(), self.places.clone(), uid.to_owned());
        let work = make(stop);
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _place = places.acquire().await;
            work.await;
            runs.known().remove(&uid);
        });
    }

    /// How many are under way or wait.
    pub fn count(&self) -> usize {
        self.known().len()
    }

    /// Stops the run of this object.
    pub fn stop(&self, uid: &str) {
        if let Some(stop) = self.known().get(uid) {
            stop.stop(CancelReason::Caller);
        }
    }

    /// Stops all of them: the process is going to end. Agents go on, and the next controller takes their work up.
    pub fn stop_all(&self) {
        self.known().values().for_each(|stop| stop.stop(CancelReason::ShuttingDown));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, RunStop>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs blocking work on a thread of its own.
///
/// # Errors
/// The thread could not be started, or ended in a panic.
pub async fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (send, receive) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody waits any more where this fails.
        let _sent = send.send(work());
    })?;
    let ended = receive.await;
    ended.map_err(|_| anyhow::anyhow!("{name}: the thread ended in a panic; this is a bug of Coffer"))
}
