//! The port to the node's memory: one operation's share, or none for now.

use std::sync::Arc;

use coffer_engine::{Courtesy, EngineError, NodeResources, RateLimiter, Resources, shares_for};

/// Hands out memory, threads and rates.
pub trait Budget: Send + Sync {
    /// Resources for one operation while `others` more could begin; `None` where nothing is free. They go back by drop.
    ///
    /// # Errors
    /// [`EngineError::Usage`] where the system gives no address space.
    fn lease(&self, others: usize) -> Result<Option<Resources>, EngineError>;

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
    courtesy: Arc<Courtesy>,
}

impl NodeBudget {
    /// Shares of `resources`, each with the node's common limits; backups take `disk_share_percent` of a disk that others read from.
    pub fn new(resources: NodeResources, limits: Limits, disk_share_percent: u8) -> Self {
        NodeBudget { resources, limits, courtesy: Arc::new(Courtesy::new(disk_share_percent)) }
    }
}

impl Budget for NodeBudget {
    fn lease(&self, others: usize) -> Result<Option<Resources>, EngineError> {
        let Some(shares) = shares_for(self.resources.free_shares(), others) else { return Ok(None) };
        let Some(mut resources) = self.resources.lease(shares)? else { return Ok(None) };
        resources.read_limit.clone_from(&self.limits.read);
        resources.read_operations_limit.clone_from(&self.limits.read_operations);
        resources.upload_limit.clone_from(&self.limits.upload);
        resources.courtesy = Some(self.courtesy.clone());
        Ok(Some(resources))
    }

    fn tell_returned(&self, told: Box<dyn Fn() + Send + Sync>) {
        self.resources.tell_returned(told);
    }
}
