//! The port to the node's memory: one operation's share, or none for now.

use std::num::NonZeroUsize;
use std::sync::Arc;

use coffer_engine::{EngineError, IoThrottle, NodeResources, RateLimiter, Resources, shares_for};

/// What one operation got.
pub struct Leased {
    /// Memory, threads and rates.
    pub resources: Resources,
    /// Places that this takes.
    pub places: usize,
}

/// Hands out memory, threads and rates.
pub trait Budget: Send + Sync {
    /// Places in all.
    fn places(&self) -> usize;

    /// Resources for one operation, up to `places_max` places, while `others` more could begin; `None` where nothing is free. They go back by
    /// drop.
    ///
    /// # Errors
    /// [`EngineError::Usage`] where the system gives no address space.
    fn lease(&self, others: usize, places_max: NonZeroUsize) -> Result<Option<Leased>, EngineError>;

    /// Calls `told` whenever something came back, on any thread; it does not block.
    fn tell_returned(&self, told: Box<dyn Fn() + Send + Sync>);
}

/// Limits that all operations of a node share; [`RateLimiter::set_rate`] changes them while they hold.
#[derive(Clone, Default)]
pub struct Limits {
    /// Bytes per second read from volumes.
    pub read: Option<Arc<RateLimiter>>,
    /// Requests per second to volumes.
    pub read_operations: Option<Arc<RateLimiter>>,
    /// Bytes per second sent to stores.
    pub upload: Option<Arc<RateLimiter>>,
}

/// All operations of a node share its memory and its limits.
#[derive(Clone)]
pub struct NodeBudget {
    resources: NodeResources,
    limits: Limits,
    io_throttle: Arc<IoThrottle>,
}

impl NodeBudget {
    /// Shares of `resources`, each with the node's common limits; backups take `disk_share_percent` of a disk that others read from.
    pub fn new(resources: NodeResources, limits: Limits, disk_share_percent: u8) -> Self {
        NodeBudget { resources, limits, io_throttle: Arc::new(IoThrottle::new(disk_share_percent)) }
    }
}

impl Budget for NodeBudget {
    fn places(&self) -> usize {
        self.resources.shares()
    }

    fn lease(&self, others: usize, places_max: NonZeroUsize) -> Result<Option<Leased>, EngineError> {
        let Some(shares) = shares_for(self.resources.free_shares(), others) else { return Ok(None) };
        let shares = shares.min(places_max);
        let Some(mut resources) = self.resources.lease(shares)? else { return Ok(None) };
        resources.read_limit.clone_from(&self.limits.read);
        resources.read_operations_limit.clone_from(&self.limits.read_operations);
        resources.upload_limit.clone_from(&self.limits.upload);
        resources.io_throttle = Some(self.io_throttle.clone());
        Ok(Some(Leased { resources, places: shares.get() }))
    }

    fn tell_returned(&self, told: Box<dyn Fn() + Send + Sync>) {
        self.resources.tell_returned(told);
    }
}
