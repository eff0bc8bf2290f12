//! What the engine asks of the world besides disks and object stores: time, chance and being told to stop.
//!
//! The engine never reads a clock or a random source in any other way, so that a simulation can drive it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use coffer_blockio::Arena;
use coffer_format::{Id, Timestamp};

use crate::EngineError;

/// The last moment that an id can carry, milliseconds since 1970.
const ID_MS_MAX: u64 = (1 << 48) - 1;

/// Wall-clock time.
pub trait Clock: Send + Sync {
    /// The time now, in milliseconds since the Unix epoch.
    fn now(&self) -> Timestamp;
}

/// A source of unpredictable bytes; keys are made of them.
pub trait Entropy: Send + Sync {
    /// Fills `out`, or fails without having filled it.
    fn fill(&self, out: &mut [u8]) -> Result<(), EngineError>;
}

/// Time, chance and the wish to stop, handed to every operation.
#[derive(Clone)]
pub struct Environment {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Source of keys and ids.
    pub entropy: Arc<dyn Entropy>,
    /// Set when the operation should end.
    pub cancel: CancelToken,
}

impl Environment {
    /// Draws 32 bytes for a key.
    pub fn entropy32(&self) -> Result<[u8; 32], EngineError> {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Calls `make` with a source of entropy that cannot fail, and fails afterwards if the real one did.
    pub fn with_entropy<T>(
        &self,
        make: impl FnOnce(&mut dyn FnMut(&mut [u8])) -> T,
    ) -> Result<T, EngineError> {
        let mut failure = None;
        let made = make(&mut |out: &mut [u8]| {
            if let Err(error) = self.entropy.fill(out) {
                failure.get_or_insert(error);
            }
        });
        failure.map_or(Ok(made), Err)
    }

    /// Makes an id that was never used before: the time and 80 random bits.
    pub fn new_id(&self) -> Result<Id, EngineError> {
        self.new_id_above(None)
    }

    /// As [`Environment::new_id`], above `newest` whatever the clock says: ids of a plan's points are in the order in which they were opened.
    pub fn new_id_above(&self, newest: Option<Id>) -> Result<Id, EngineError> {
        let mut random = [0; 10];
        self.entropy.fill(&mut random)?;
        let now = u64::try_from(self.clock.now().unix_ms()).unwrap_or(0);
        let least = newest.map_or(0, |newest| newest.unix_ms() + 1);
        Ok(Id::from_parts(now.max(least).min(ID_MS_MAX), random))
    }
}

/// Why an operation was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// Its caller does not want it any more.
    Caller,
    /// It took longer than its caller allowed.
    Deadline,
    /// The process is going to end.
    ShuttingDown,
}

/// A flag that every long loop looks at, with the reason why it was set; clones share it.
#[derive(Clone, Default, Debug)]
pub struct CancelToken(Arc<Cancel>);

#[derive(Default, Debug)]
struct Cancel {
    flag: Arc<AtomicBool>,
    /// A [`CancelReason`]; 0 is the caller's wish too.
    reason: AtomicU8,
    /// Where threads of the operation may wait for memory.
    arenas: Mutex<Vec<Weak<Arena>>>,
}

impl CancelToken {
    /// Asks every holder to stop soon, because the caller wants it.
    pub fn cancel(&self) {
        self.cancel_because(CancelReason::Caller);
    }

    /// Asks every holder to stop soon. Of several reasons the first counts.
    pub fn cancel_because(&self, reason: CancelReason) {
        let code = match reason {
            CancelReason::Caller => 1,
            CancelReason::Deadline => 2,
            CancelReason::ShuttingDown => 3,
        };
        let _first_one_stays = self.0.reason.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
        self.0.flag.store(true, Ordering::SeqCst);
        let arenas: Vec<Arc<Arena>> = self.arenas().iter().filter_map(Weak::upgrade).collect();
        arenas.iter().for_each(|arena| arena.wake_all());
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.flag.load(Ordering::Relaxed)
    }

    /// Fails once the flag is set.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`], [`EngineError::DeadlinePassed`] or [`EngineError::ShuttingDown`], by the reason.
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_cancelled() { Err(self.error()) } else { Ok(()) }
    }

    /// The flag itself, for whoever outlives the borrow of a token, such as a store.
    pub fn shared_flag(&self) -> Arc<AtomicBool> {
        self.0.flag.clone()
    }

    /// The flag itself, for waits that take one.
    pub fn flag(&self) -> &AtomicBool {
        &self.0.flag
    }

    /// Makes a cancel wake whoever waits for memory of `arena`.
    pub(crate) fn wakes(&self, arena: &Arc<Arena>) {
        let mut arenas = self.arenas();
        arenas.retain(|known| known.strong_count() > 0 && known.as_ptr() != Arc::as_ptr(arena));
        arenas.push(Arc::downgrade(arena));
    }

    /// The error that says why.
    pub(crate) fn error(&self) -> EngineError {
        match self.0.reason.load(Ordering::SeqCst) {
            2 => EngineError::DeadlinePassed,
            3 => EngineError::ShuttingDown,
            _ => EngineError::Cancelled,
        }
    }

    /// The result of an operation; where it was cancelled, with the reason why. Stores and threads know only that it was.
    pub(crate) fn explain<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        match result {
            Err(error) if error.is_cancellation() && self.is_cancelled() => {
                Err(error.map_cause(|_noticed| self.error()))
            }
            result => result,
        }
    }

    fn arenas(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Arena>>> {
        self.0.arenas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
