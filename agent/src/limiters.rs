//! The limits of rates that all operations of the node share.

use std::num::NonZeroU64;
use std::sync::Arc;

use coffer_engine::RateLimiter;

use crate::config::Limits;
use crate::operations::budget;

/// The limiters that all operations share.
#[derive(Clone)]
pub(crate) struct Limiters {
    read: Arc<RateLimiter>,
    read_operations: Arc<RateLimiter>,
    upload: Arc<RateLimiter>,
}

impl Default for Limiters {
    fn default() -> Self {
        let limiter = || Arc::new(RateLimiter::unlimited());
        Limiters { read: limiter(), read_operations: limiter(), upload: limiter() }
    }
}

impl Limiters {
    pub(crate) fn set(&self, limits: Limits) {
        self.read.set_rate(NonZeroU64::new(limits.read_bytes_per_second.0));
        self.read_operations.set_rate(NonZeroU64::new(limits.read_requests_per_second));
        self.upload.set_rate(NonZeroU64::new(limits.upload_bytes_per_second.0));
    }

    pub(crate) fn shared(&self) -> budget::Limits {
        budget::Limits {
            read: Some(self.read.clone()),
            read_operations: Some(self.read_operations.clone()),
            upload: Some(self.upload.clone()),
        }
    }
}
