//! How far a running operation is: counters that its threads raise and anybody may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use coffer_store::ObjectStore;

use super::events::Events;
use super::meter::{Bytes, Meter};
use super::record::{Kind, Progress};

/// Counters of one attempt.
pub(super) struct LiveProgress {
    kind: Kind,
    volume: Mutex<String>,
    total: AtomicU64,
    done: AtomicU64,
    moved: AtomicU64,
    resumed: AtomicU64,
    /// The store, as long as the work has it: nothing of it must live on here.
    store: OnceLock<Weak<dyn ObjectStore>>,
    events: Arc<Events>,
    meter: Arc<dyn Meter>,
}

impl LiveProgress {
    pub(super) fn new(kind: Kind, events: Arc<Events>, meter: Arc<dyn Meter>) -> Self {
        LiveProgress {
            kind,
            volume: Mutex::default(),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            store: OnceLock::new(),
            events,
            meter,
        }
    }

    /// Says which store's requests count as progress.
    pub(super) fn watch_store(&self, store: &Arc<dyn ObjectStore>) {
        let _opened_once = self.store.set(Arc::downgrade(store));
    }

    /// Requests of the store so far.
    pub(super) fn requests(&self) -> u64 {
        let store = self.store.get().and_then(Weak::upgrade);
        store.map_or(0, |store| store.requests().total())
    }

    /// The counters now.
    pub(super) fn snapshot(&self) -> Progress {
        Progress {
            volume: self.volume.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            total: self.total.load(Ordering::Relaxed),
            done: self.done.load(Ordering::Relaxed),
            moved: self.moved.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
        }
    }
}

impl coffer_engine::backup::Progress for LiveProgress {
    fn volume(&self, volume: &str, total_bytes: u64) {
        volume.clone_into(&mut self.volume.lock().unwrap_or_else(PoisonError::into_inner));
        self.total.fetch_add(total_bytes, Ordering::Relaxed);
        self.events.ring();
    }

    fn advance(&self, done_bytes: u64, moved_bytes: u64) {
        self.done.fetch_add(done_bytes, Ordering::Relaxed);
        self.moved.fetch_add(moved_bytes, Ordering::Relaxed);
        let moved = if self.kind == Kind::Restore { Bytes::Restored } else { Bytes::Uploaded };
        self.meter.bytes(moved, moved_bytes);
        self.events.ring();
    }

    fn resumed(&self, stored_bytes: u64) {
        self.resumed.fetch_add(stored_bytes, Ordering::Relaxed);
        self.meter.bytes(Bytes::Resumed, stored_bytes);
        self.events.ring();
    }
}
