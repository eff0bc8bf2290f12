//! Time and chance of this process for the engine. There is no way to set either from outside: simulations drive the engine instead.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use coffer_engine::{CancelToken, Clock, EngineError, Entropy, Environment};
use coffer_format::Timestamp;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EngineError> {
        getrandom::fill(out).map_err(|error| EngineError::Entropy(error.to_string()))
    }
}

/// The system's clock and random source, with this wish to stop.
pub(crate) fn system(cancel: CancelToken) -> Environment {
    Environment { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), cancel }
}
