//! Operations that need no coordination: restores and verifications, one at each agent.

use std::sync::Arc;

use coffer_engine::{Advice, EngineError};
use coffer_format::{KeyFile, PlanId};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::{Operation, OperationState};

use super::board::Board;
use super::connect::{Agent, Agents};
use super::failure::AgentError;
use super::watch::{Follower, Start, Stop};
use super::{access, point_reference};
use crate::error::CliError;
use crate::progress::Reporter;
use crate::session::Session;

/// How often an operation is started again after its agent was.
const STARTS_MAX: u32 = 4;

/// What opens a repository at an agent.
pub(crate) struct Access<'a> {
    /// As given with `--repo`.
    pub(crate) url: &'a str,
    /// The key that travels.
    pub(crate) key: Option<&'a KeyFile>,
}

impl Access<'_> {
    /// The message; it holds secrets.
    pub(crate) fn message(&self, session: &Session) -> v1::Repository {
        access::repository(self.url, self.key, &session.agents, access::environment)
    }
}

/// An operation for an agent.
pub(crate) struct Job {
    /// Which agent.
    pub(crate) agent: usize,
    /// What to start.
    pub(crate) start: Start,
}

/// A plan as it travels.
pub(crate) fn plan(plan: &PlanId) -> v1::Plan {
    point_reference::plan(plan)
}

/// Runs all jobs at once; each ends with the operation that succeeded, or the reason why it did not.
pub(crate) fn run_jobs(
    session: &Session,
    agents: &Agents,
    verb: &'static str,
    jobs: Vec<Job>,
) -> Result<Vec<Result<Operation, AgentError>>, CliError> {
    let reporter = Reporter::start(&session.output, verb);
    let board = Arc::new(Board::new(reporter.gauge(), jobs.len()));
    let stop = Stop::new(agents.stop.clone());
    let mut tasks = Vec::new();
    for (part, job) in jobs.into_iter().enumerate() {
        let agent =
            agents.all.get(job.agent).ok_or_else(|| EngineError::Bug("no such agent".into()))?.clone();
        let follower = Follower {
            agent,
            part,
            board: board.clone(),
            stop: stop.clone(),
            patience: session.agents.patience(),
        };
        tasks.push(agents.runtime.spawn(async move { until_done(&follower, &job.start).await }));
    }
    let ended = agents.runtime.block_on(async {
        let mut ended = Vec::new();
        for task in tasks {
            ended.push(task.await.map_err(|error| EngineError::Bug(error.to_string()))?);
        }
        Ok::<_, EngineError>(ended)
    })?;
    session.environment().cancel.check()?;
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
    Err(agent.error("interrupted", Advice::Retry, text))
}

/// Shows an operation's progress until it has ended. It goes on when the caller stops watching.
pub(crate) fn watch(
    session: &Session,
    agents: &Agents,
    agent: &Agent,
    operation: &Operation,
) -> Result<Operation, CliError> {
    let verb = match operation.kind() {
        v1::OperationKind::Backup => "backup",
        v1::OperationKind::Restore => "restore",
        v1::OperationKind::Verify => "verify",
        v1::OperationKind::Unspecified => "operation",
    };
    let reporter = Reporter::start(&session.output, verb);
    let follower = Follower {
        agent: agent.clone(),
        part: 0,
        board: Arc::new(Board::new(reporter.gauge(), 1)),
        stop: Stop::new(agents.stop.clone()),
        patience: session.agents.patience(),
    };
    Ok(agents.runtime.block_on(follower.watch(operation.id.clone()))?)
}
