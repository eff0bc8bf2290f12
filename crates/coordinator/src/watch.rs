//! Starts an operation at an agent and follows it to its end, through broken streams and restarts of the agent.
//!
//! Starting is safe to repeat: the same key never does the work twice. When the caller is asked to stop, so is the operation.

use std::sync::Arc;
use std::time::Duration;

use coffer_engine::Advice;
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::{Operation, OperationState};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::Code;

use crate::agent::Agent;
use crate::agent_error::{AgentError, AgentErrorKind};
use crate::backoff::Backoff;
use crate::board::Board;
use crate::stop::StopWish;

/// An operation stops within a second; an agent that does not answer is not waited for much longer.
const STOP_MAX: Duration = Duration::from_secs(5);
/// How often, and how long apart, an operation is looked for that may be on its way.
const STOP_LOOKS: u32 = 5;
const STOP_PAUSE: Duration = Duration::from_millis(50);

/// What to start. Holds secrets: it is never printed.
#[derive(Clone)]
pub enum Start {
    /// A part of a point.
    Backup(v1::StartBackupRequest),
    /// A restore of some volumes.
    Restore(v1::StartRestoreRequest),
    /// A verification.
    Verify(v1::StartVerifyRequest),
}

impl Start {
    fn key(&self) -> &str {
        match self {
            Start::Backup(request) => &request.idempotency_key,
            Start::Restore(request) => &request.idempotency_key,
            Start::Verify(request) => &request.idempotency_key,
        }
    }

    /// Whether the operation that this was answered with makes another point than this asks for.
    fn is_of_another_point(&self, operation: &Operation) -> bool {
        match (self, &operation.point) {
            (Start::Backup(request), Some(point)) => {
                request.point.as_ref().is_some_and(|asked| asked.point != point.point)
            }
            _ => false,
        }
    }

    async fn send(&self, agent: &Agent) -> Result<Operation, AgentError> {
        let mut client = agent.operations()?;
        match self.clone() {
            Start::Backup(request) => agent.answer(client.start_backup(request)).await,
            Start::Restore(request) => agent.answer(client.start_restore(request)).await,
            Start::Verify(request) => agent.answer(client.start_verify(request)).await,
        }
    }
}

/// The wish to stop: a signal, or that the work has become useless.
#[derive(Clone)]
pub(crate) struct Stop {
    signal: StopWish,
    useless: Arc<watch::Sender<bool>>,
}

impl Stop {
    /// Stops when a signal comes.
    pub(crate) fn new(signal: StopWish) -> Stop {
        Stop { signal, useless: Arc::default() }
    }

    /// Says that the work is useless.
    pub(crate) fn ask(&self) {
        self.useless.send_replace(true);
    }

    async fn wanted(&self) {
        let mut useless = self.useless.subscribe();
        tokio::select! {
            () = self.signal.wanted() => {}
            // The sender is ours: it is there as long as this is.
            _ = useless.wait_for(|useless| *useless) => {}
        }
    }
}

/// Follows one operation.
pub(crate) struct Follower {
    pub(crate) agent: Agent,
    /// Number of its place on the board.
    pub(crate) part: usize,
    pub(crate) board: Arc<Board>,
    pub(crate) stop: Stop,
    pub(crate) patience: Duration,
}

impl Follower {
    /// Starts the operation and returns it when it has ended. One that was asked to stop is returned as it was last seen.
    pub(crate) async fn run(&self, start: &Start) -> Result<Operation, AgentError> {
        let work = async {
            let operation = self.start(start).await?;
            // Another call's with the same key: what follows is decided before it ends.
            if start.is_of_another_point(&operation) {
                return Ok(operation);
            }
            self.follow(operation.id).await
        };
        tokio::select! {
            ended = work => ended,
            () = self.stop.wanted() => self.cancel_by_key(start.key()).await,
        }
    }

    /// Follows an operation that somebody started. It goes on when the caller stops watching.
    pub(crate) async fn watch(&self, id: String) -> Result<Operation, AgentError> {
        tokio::select! {
            ended = self.follow(id) => ended,
            () = self.stop.wanted() => Err(self.agent.error(AgentErrorKind::Cancelled, Advice::Retry, "stopped watching; the operation goes on")),
        }
    }

    async fn start(&self, start: &Start) -> Result<Operation, AgentError> {
        let mut backoff = Backoff::new(self.patience);
        loop {
            match start.send(&self.agent).await {
                Ok(operation) => return Ok(operation),
                Err(error) => pause(&mut backoff, self.agent.explain(error).await).await?,
            }
        }
    }

    async fn follow(&self, id: String) -> Result<Operation, AgentError> {
        let mut backoff = Backoff::new(self.patience);
        loop {
            match self.events(&id, &mut backoff).await {
                Ok(operation) => return Ok(operation),
                Err(error) => pause(&mut backoff, self.agent.explain(error).await).await?,
            }
        }
    }

    /// Reads events until the operation has ended or the stream breaks.
    async fn events(&self, id: &str, backoff: &mut Backoff) -> Result<Operation, AgentError> {
        let node = &self.agent.node;
        let mut client = self.agent.operations()?;
        let request = v1::WatchOperationRequest { id: id.to_owned(), after: self.board.known(self.part, id) };
        let mut events = self.agent.answer(client.watch(request)).await.map_err(|error| self.lost(error))?;
        loop {
            let event = events.message().await.map_err(|status| match status.code() {
                Code::NotFound => self.lost(AgentError::from_status(node, &status)),
                Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument => {
                    AgentError::from_status(node, &status)
                }
                // Whatever a broken stream is called: the operation goes on, and so does the watch.
                _ => AgentError { again: true, ..AgentError::from_status(node, &status) },
            })?;
            let Some(event) = event else {
                let error = self.agent.error(
                    AgentErrorKind::Unavailable,
                    Advice::Retry,
                    "it closed the stream of events",
                );
                return Err(AgentError { again: true, ..error });
            };
            backoff.reset();
            self.board.log(self.part, node, id, &event.log);
            let Some(operation) = event.operation else { continue };
            self.board.show(self.part, node, &operation);
            if has_ended(&operation) {
                return Ok(operation);
            }
        }
    }

    /// The agent does not know the operation any more: its journal is gone, and the work with it.
    fn lost(&self, error: AgentError) -> AgentError {
        if error.kind != AgentErrorKind::NotFound {
            return error;
        }
        self.agent.error(
            AgentErrorKind::OperationLost,
            Advice::Retry,
            format!("the operation is gone: {}", error.message),
        )
    }

    /// Stops the operation with this key; it may have been on its way to the agent when the wish to stop came.
    async fn cancel_by_key(&self, key: &str) -> Result<Operation, AgentError> {
        let late = || {
            Err(self.agent.error(
                AgentErrorKind::Cancelled,
                Advice::Retry,
                "it was asked to stop and has not said that it did",
            ))
        };
        let stopped = timeout(STOP_MAX, async {
            for _ in 0..STOP_LOOKS {
                if let Some(found) = self.agent.by_key(key).await? {
                    let request = v1::CancelOperationRequest { id: found.id.clone() };
                    self.agent.answer(self.agent.operations()?.cancel(request)).await?;
                    return self.follow(found.id).await;
                }
                sleep(STOP_PAUSE).await;
            }
            Err(self.agent.error(AgentErrorKind::Cancelled, Advice::Retry, "stopped before it began"))
        });
        stopped.await.unwrap_or_else(|_| late())
    }
}

/// Whether nothing more will happen to the operation.
pub(crate) fn has_ended(operation: &Operation) -> bool {
    match operation.state() {
        OperationState::Unspecified | OperationState::Queued | OperationState::Running => false,
        OperationState::Succeeded
        | OperationState::Failed
        | OperationState::Cancelled
        | OperationState::Interrupted => true,
    }
}

/// The agent was away for longer than the caller's patience.
fn gone(backoff: &Backoff, error: AgentError) -> AgentError {
    let message = format!("away for {} s and given up: {}", backoff.patience().as_secs(), error.message);
    AgentError { message, ..error }
}

/// Waits before the next call, or gives the error back that has no next call.
async fn pause(backoff: &mut Backoff, error: AgentError) -> Result<(), AgentError> {
    if !error.again {
        return Err(error);
    }
    let Some(wait) = backoff.wait() else { return Err(gone(backoff, error)) };
    tracing::warn!(
        node = error.node,
        error = error.message,
        wait_ms = wait.as_millis(),
        "agent is away, calling again"
    );
    sleep(wait).await;
    Ok(())
}
