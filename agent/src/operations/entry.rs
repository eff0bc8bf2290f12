//! What is known of one operation in memory.

use std::sync::Arc;
use std::time::Instant;

use super::control::Control;
use super::events::Events;
use super::job::Job;
use super::live::LiveProgress;
use super::record::Record;
use crate::requests::Permit;

/// One operation.
pub(super) struct Entry {
    /// Of an ended operation only what is small, unless the journal could not take it.
    pub(super) record: Record,
    pub(super) events: Arc<Events>,
    pub(super) live: Option<Live>,
    /// Whether the journal lacks this state.
    pub(super) unsaved: bool,
    /// Length of its file in the journal, as it was last written, bytes.
    pub(super) stored: u64,
}

/// What only an operation has that waits or runs.
pub(super) struct Live {
    pub(super) control: Arc<Control>,
    pub(super) progress: Arc<LiveProgress>,
    /// Taken when it begins to run.
    pub(super) job: Option<Job>,
    pub(super) deadline: Instant,
    /// What it takes of the memory of requests.
    pub(super) _permit: Permit,
    /// Its end is being written down.
    pub(super) ending: bool,
}

impl Entry {
    /// Without anything that works.
    pub(super) fn at_rest(record: Record) -> Entry {
        let events = Events::after(record.log_sequence);
        Entry { record, events, live: None, unsaved: false, stored: 0 }
    }

    /// The record with its present progress.
    pub(super) fn present(&self) -> Record {
        let mut record = self.record.clone();
        if let Some(live) = &self.live {
            record.progress = live.progress.snapshot();
        }
        record.log_sequence = self.events.newest();
        record
    }
}
