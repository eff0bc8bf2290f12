//! Requests about operations that exist.

use coffer_format::Id;

use super::field::{IdempotencyKey, RequestError, parsed, parsed_or_none};
use crate::agent::v1;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: u32 = 1_000;

/// How an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperationState {
    /// Waits.
    Queued,
    /// Works.
    Running,
    /// Did what it was to do.
    Succeeded,
    /// Could not.
    Failed,
    /// Was told to stop.
    Cancelled,
    /// Its agent ended first.
    Interrupted,
}

/// A page of operations, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOperations {
    /// Operations per page, 1 to 1,000.
    pub page_size: usize,
    /// The last one of the page before.
    pub before: Option<Id>,
    /// Only the one with this key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Only those in this state.
    pub state: Option<OperationState>,
}

impl TryFrom<v1::ListOperationsRequest> for ListOperations {
    type Error = RequestError;

    fn try_from(given: v1::ListOperationsRequest) -> Result<Self, RequestError> {
        let page_size = match given.page_size {
            0 => PAGE_DEFAULT,
            size @ 1..=PAGE_MAX => size as usize,
            size => {
                return Err(RequestError::new("page_size", format!("is {size}: give 1 to {PAGE_MAX}, or 0")));
            }
        };
        let key = &given.idempotency_key;
        Ok(ListOperations {
            page_size,
            before: parsed_or_none("page_token", &given.page_token)
                .map_err(|_| RequestError::new("page_token", "is none that an answer gave"))?,
            idempotency_key: if key.is_empty() { None } else { Some(key.parse()?) },
            state: state(given.state)?,
        })
    }
}

/// An operation to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOperation {
    /// Which.
    pub id: Id,
    /// Log lines up to this number are known.
    pub after: u64,
}

impl TryFrom<v1::WatchOperationRequest> for WatchOperation {
    type Error = RequestError;

    fn try_from(given: v1::WatchOperationRequest) -> Result<Self, RequestError> {
        Ok(WatchOperation { id: operation_id(&given.id)?, after: given.after })
    }
}

/// The id of an operation, from the field `id`.
pub fn operation_id(text: &str) -> Result<Id, RequestError> {
    parsed("id", text)
}

fn state(number: i32) -> Result<Option<OperationState>, RequestError> {
    Ok(Some(match v1::OperationState::try_from(number) {
        Ok(v1::OperationState::Unspecified) => return Ok(None),
        Ok(v1::OperationState::Queued) => OperationState::Queued,
        Ok(v1::OperationState::Running) => OperationState::Running,
        Ok(v1::OperationState::Succeeded) => OperationState::Succeeded,
        Ok(v1::OperationState::Failed) => OperationState::Failed,
        Ok(v1::OperationState::Cancelled) => OperationState::Cancelled,
        Ok(v1::OperationState::Interrupted) => OperationState::Interrupted,
        Err(_) => {
            return Err(RequestError::new(
                "state",
                format!("is {number}, which is no state of an operation"),
            ));
        }
    }))
}

impl From<OperationState> for v1::OperationState {
    fn from(state: OperationState) -> Self {
        match state {
            OperationState::Queued => v1::OperationState::Queued,
            OperationState::Running => v1::OperationState::Running,
            OperationState::Succeeded => v1::OperationState::Succeeded,
            OperationState::Failed => v1::OperationState::Failed,
            OperationState::Cancelled => v1::OperationState::Cancelled,
            OperationState::Interrupted => v1::OperationState::Interrupted,
        }
    }
}
