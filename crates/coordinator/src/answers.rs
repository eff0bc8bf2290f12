//! What agents' answers mean for a point. Pure.

use coffer_engine::backup::OpenPoint;
use coffer_engine::{EngineError, RequestError};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::{Operation, OperationState, operation};

use crate::agent_error::{AgentError, AgentErrorKind, plain};
use crate::rounds::Ended;

/// How an agent's part ended.
pub(crate) type Answer = Result<Operation, AgentError>;

/// How a part ended, for the decision.
pub(crate) fn how(answer: &Answer, point: &OpenPoint) -> Ended {
    match answer {
        Ok(operation) => {
            let own = operation
                .point
                .as_ref()
                .is_some_and(|reference| reference.point == point.reference.point.to_string());
            match operation.state() {
                OperationState::Succeeded if own => Ended::Done,
                // Whoever cancelled it did not mean that it be started again.
                OperationState::Cancelled => Ended::Failed,
                OperationState::Failed if !is_fenced(operation) => Ended::Failed,
                OperationState::Succeeded | OperationState::Queued | OperationState::Running => {
                    Ended::Elsewhere
                }
                _ => Ended::Lost,
            }
        }
        Err(error) if error.kind == AgentErrorKind::OperationLost => Ended::Lost,
        Err(_) => Ended::Failed,
    }
}

/// Whether it failed because its point, parent or chain is being ended: a new point may do.
pub(crate) fn is_fenced(operation: &Operation) -> bool {
    operation.error.as_ref().is_some_and(|error| error.advice == coffer_engine::Advice::Fenced.as_str())
}

/// Whether a new point may do where this one could not be committed.
pub(crate) fn is_stale(error: &EngineError) -> bool {
    let was_refused = error.request().is_some_and(RequestError::is_refusal);
    was_refused
        || matches!(
            error,
            EngineError::Fenced { .. } | EngineError::AllVolumesFailed(_) | EngineError::Refused(_)
        )
}

/// The result of an operation that succeeded, or why there is none.
pub(crate) fn result(node: &str, answer: Answer) -> Result<v1::BackupResult, AgentError> {
    let operation = answer?;
    match (operation.state(), operation.result) {
        (OperationState::Succeeded, Some(operation::Result::Backup(result))) => Ok(result),
        (OperationState::Succeeded, _) => {
            let text = "it says that it succeeded and returned nothing";
            Err(AgentError::new(node, AgentErrorKind::Bug, coffer_engine::Advice::Bug, text))
        }
        (OperationState::Interrupted, _) => {
            let text = format!("its operation {} was interrupted again and again", plain(&operation.id));
            Err(AgentError::new(node, AgentErrorKind::Interrupted, coffer_engine::Advice::Retry, text))
        }
        _ => Err(AgentError::from_operation(node, operation.error.as_ref())),
    }
}
