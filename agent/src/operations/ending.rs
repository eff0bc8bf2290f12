//! How an operation ended, for the record and in words. Pure.

use super::record::{Outcome, Record, State};
use crate::errors::{AgentError, Failure, Stop};

/// How an operation ended. Whatever a stop made fail first, it was the stop. Pure.
pub(super) fn end(
    result: Result<Outcome, AgentError>,
    stopped: Option<Stop>,
) -> (State, Option<Failure>, Option<Outcome>) {
    let error = match (result, stopped) {
        (Ok(outcome), _) => return (State::Succeeded, None, Some(outcome)),
        (Err(_), Some(stop)) => AgentError::Stopped(stop),
        (Err(error), None) => error,
    };
    let state = match &error {
        AgentError::Stopped(Stop::Shutdown) => State::Interrupted,
        AgentError::Stopped(Stop::Cancelled | Stop::Deadline) => State::Cancelled,
        AgentError::Stopped(Stop::Stalled) => State::Failed,
        _ => State::Failed,
    };
    (state, Some(error.failure()), None)
}

/// One line that an operator can read.
pub(super) fn end_text(record: &Record) -> String {
    let (kind, state) = (record.kind.as_str(), record.state.as_str());
    let what = match record.volumes.as_slice() {
        [] => String::new(),
        [one] => format!(" of volume {one}"),
        [first, rest @ ..] => format!(" of volume {first} and {} more", rest.len()),
    };
    match &record.failure {
        Some(failure) => format!("{kind}{what} {state}: {}", failure.message),
        None => {
            let moved = record.progress.moved;
            format!("{kind}{what} {state}: {} bytes looked at, {moved} bytes moved", record.progress.done)
        }
    }
}
