//! Operations that an agent left which is gone.

use super::entry::Entry;
use super::events::Level;
use super::journal::Journal;
use super::ports::Ports;
use super::record::{Record, State};
use crate::errors::{AgentError, Stop};

/// Log lines that may have been told since they were last counted in the journal, with plenty to spare.
const LOG_SEQUENCE_STEP: u64 = 1_000;

/// An operation of an agent that is gone. What was under way then was interrupted.
pub(super) fn take_up(journal: &Journal, ports: &Ports, mut record: Record) -> Entry {
    // Lines that were told and not counted must not have their numbers used again.
    record.log_sequence = (record.log_sequence / LOG_SEQUENCE_STEP + 1) * LOG_SEQUENCE_STEP;
    if record.state.has_ended() {
        return Entry::at_rest(record.light());
    }
    let stopped = AgentError::Stopped(Stop::Shutdown).failure();
    record.state = State::Interrupted;
    record.ended = Some(ports.clock.now());
    record.revision += 1;
    let text = format!("interrupted: {}", stopped.message);
    record.failure = Some(stopped);
    let saved = journal.save(&record);
    if let Err(error) = &saved {
        tracing::warn!(operation = %record.id, error = coffer_engine::one_line(error), "write down that the operation was interrupted");
    }
    tracing::info!(operation = %record.id, kind = record.kind.as_str(), team = %record.team, "operation was interrupted by the end of the agent before");
    let unsaved = saved.is_err();
    let entry = Entry { unsaved, ..Entry::at_rest(if unsaved { record } else { record.light() }) };
    entry.events.log(ports.clock.now(), Level::Warn, text);
    entry
}
