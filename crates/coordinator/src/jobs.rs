//! Operations that need no coordination: restores and verifications, one at each agent.

use std::sync::Arc;

use coffer_engine::{Advice, EngineError};
use coffer_proto::agent::v1::{Operation, OperationState};

use crate::agent::Agent;
use crate::agent_error::{AgentError, AgentErrorKind};
use crate::board::Board;
use crate::connect::Agents;
use crate::error::CoordinatorError;
use crate::progress::Progress;
use crate::watch::{Follower, Start, Stop};

/// How often an operation is started again after its agent was.
const STARTS_MAX: u32 = 4;

/// An operation for an agent.
pub struct Job {
    /// Which agent.
    pub agent: usize,
    /// What to start.
    pub start: Start,
}

/// Runs all jobs at once; each ends with the operation that succeeded, or the reason why it did not.
///
/// # Errors
/// [`EngineError::Cancelled`] where a stop was wished.
pub fn run_jobs(
    agents: &Agents,
    progress: Arc<dyn Progress>,
    jobs: Vec<Job>,
) -> Result<Vec<Result<Operation, AgentError>>, CoordinatorError> {
    let board = Arc::new(Board::new(progress, jobs.len()));
    let stop = Stop::new(agents.stop.clone());
    let mut tasks = Vec::new();
    for (part, job) in jobs.into_iter().enumerate() {
        let agent =
            agents.all.get(job.agent).ok_or_else(|| EngineError::Bug("no such agent".into()))?.clone();
        let follower =
            Follower { agent, part, board: board.clone(), stop: stop.clone(), patience: agents.patience };
        tasks.push(agents.runtime.spawn(async move { until_done(&follower, &job.start).await }));
    }
    let ended = agents.runtime.block_on(async {
        let mut ended = Vec::new();
        for task in tasks {
            ended.push(task.await.map_err(|error| EngineError::Bug(error.to_string()))?);
        }
        Ok::<_, EngineError>(ended)
    })?;
    agents.check_stop()?;
    Ok(ended)
}

/// Starts an interrupted operation again with the same key, which takes up what it had done.
async fn until_done(follower: &Follower, start: &Start) -> Result<Operation, AgentError> {
    let agent = &follower.agent;
    for _ in 0..STARTS_MAX {
        let operation = follower.run(start).await?;
        match operation.state() {
            OperationState::Succeeded => return Ok(operation),
            OperationState::Interrupted => {
                tracing::warn!(node = agent.node, "the operation was interrupted, starting it again")
            }
            _ => return Err(AgentError::from_operation(&agent.node, operation.error.as_ref())),
        }
    }
    let text = format!("the operation was interrupted {STARTS_MAX} times");
    Err(agent.error(AgentErrorKind::Interrupted, Advice::Retry, text))
}

/// Shows an operation's progress until it has ended. It goes on when the caller stops watching.
///
/// # Errors
/// As its agent told.
pub fn watch(
    agents: &Agents,
    progress: Arc<dyn Progress>,
    agent: &Agent,
    operation: &Operation,
) -> Result<Operation, CoordinatorError> {
    let follower = Follower {
        agent: agent.clone(),
        part: 0,
        board: Arc::new(Board::new(progress, 1)),
        stop: Stop::new(agents.stop.clone()),
        patience: agents.patience,
    };
    Ok(agents.runtime.block_on(follower.watch(operation.id.clone()))?)
}
