//! Limits of the registry, and what operations ask of the world.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coffer_engine::{Clock, Entropy};

use super::budget::Budget;
use super::files::Files;
use super::meter::Meter;
use super::secrets::Mounted;
use super::stores::Stores;
use super::volumes::VolumeAccess;
use crate::requests::RequestBudget;

/// Limits of the registry.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the journal lies; nobody else writes there.
    pub state_dir: PathBuf,
    /// Operations that may run at once, if there is memory for them.
    pub operations_max: usize,
    /// Operations that may wait.
    pub queued_max: usize,
    /// Ended operations that are kept, of each team and of each team's that the controller started.
    pub history_max: usize,
    /// Days for which they are kept.
    pub history_days: u32,
    /// Memory for what is kept of ended operations, bytes.
    pub history_bytes: u64,
    /// Bytes of the journal's files of ended operations.
    pub journal_bytes: u64,
    /// An operation that has not moved for so long is stopped.
    pub stall_after: Duration,
}

/// What operations ask of the world.
#[derive(Clone)]
pub struct Ports {
    /// Memory and limits.
    pub budget: Arc<dyn Budget>,
    /// Volumes of this node.
    pub volumes: Arc<dyn VolumeAccess>,
    /// Object stores.
    pub stores: Arc<dyn Stores>,
    /// Mounted keys and credentials.
    pub mounted: Mounted,
    /// The journal's file system.
    pub files: Arc<dyn Files>,
    /// Memory for requests and answers.
    pub requests: RequestBudget,
    /// Counters.
    pub meter: Arc<dyn Meter>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Ids and keys.
    pub entropy: Arc<dyn Entropy>,
    /// Called by each thread that begins to work; threads that it starts take over what it sets.
    pub at_thread_start: Arc<dyn Fn() + Send + Sync>,
}
