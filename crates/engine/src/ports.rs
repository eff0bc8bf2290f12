//! What the engine asks of the world besides disks and object stores: time, chance and being told to stop.
//!
//! The engine never reads a clock or a random source in any other way, so that a simulation can drive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_format::{Id, Timestamp};

use crate::EngineError;

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
        let mut random = [0; 10];
        self.entropy.fill(&mut random)?;
        let now = self.clock.now().unix_ms();
        Ok(Id::from_parts(u64::try_from(now).unwrap_or(0), random))
    }
}

/// A flag that every long loop looks at; clones share it.
#[derive(Clone, Default, Debug)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks every holder to stop soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether [`CancelToken::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails with [`EngineError::Cancelled`] once the flag is set.
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_cancelled() { Err(EngineError::Cancelled) } else { Ok(()) }
    }

    /// The flag itself, for whoever outlives the borrow of a token, such as a store.
    pub fn shared_flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// The flag itself, for waits that take one.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
