//! What operations tell metrics. Labels come from closed sets; a meter decides nothing and never blocks.

use super::record::{Kind, Requests, State};

/// Bytes that were moved, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bytes {
    /// Read from volumes by backups.
    Read,
    /// Of blocks that differed from the base's.
    Changed,
    /// Sent to stores.
    Uploaded,
    /// Fetched from stores by restores.
    Restored,
    /// Taken over from unfinished runs.
    Resumed,
}

/// A better way that did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fallback {
    /// `pread` reads, as io_uring does not work here.
    ReadEngine,
    /// A volume was read in full, as samples contradicted what was told of its changes.
    Samples,
}

/// Counts.
pub trait Meter: Send + Sync {
    /// So many bytes more.
    fn bytes(&self, _what: Bytes, _count: u64) {}
    /// An operation ended, so many seconds after it began to run.
    fn ended(&self, _kind: Kind, _state: State, _seconds: f64) {}
    /// Blocks called unchanged had changed.
    fn sample_mismatches(&self, _count: u64) {}
    /// Work goes on in a lesser way.
    fn fell_back(&self, _why: Fallback) {}
    /// Requests that one operation made of its store.
    fn store_requests(&self, _requests: Requests) {}
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMeter;

impl Meter for NoMeter {}
