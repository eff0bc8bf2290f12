//! `coffer operations`: what agents do; to see, follow and stop it.

use clap::{Args, Subcommand, ValueEnum};
use coffer_coordinator::{self as coordinator, Agent, AgentError, AgentErrorKind, Agents};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::{Operation, OperationState};

use crate::documents::agent::operations::{OperationDocument, OperationsDocument};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::progress::Reporter;
use crate::session::Session;

const LIST_EXAMPLES: &str = "\
Examples:
  coffer operations list --agent https://node-1:9443 --agent-ca ca.crt --agent-cert team.crt --agent-key team.key
  coffer operations list --agent unix:/run/coffer/agent.sock --state running --json";

const SHOW_EXAMPLES: &str =
    "Examples:\n  coffer operations show --agent unix:/run/coffer/agent.sock 01jd3k5x6v";

const WATCH_EXAMPLES: &str = "\
Examples:
  coffer operations watch --agent unix:/run/coffer/agent.sock 01jd3k5x6v

Shows progress and the agent's log until the operation has ended, then the operation; the exit status is the operation's. The operation
goes on when this command is stopped.";

const CANCEL_EXAMPLES: &str =
    "Examples:\n  coffer operations cancel --agent unix:/run/coffer/agent.sock 01jd3k5x6v";

const PAGE: u32 = 1000;
const PAGES_MAX: usize = 1000;

/// The verbs of `operations`.
#[derive(Subcommand, Debug)]
pub(crate) enum OperationsVerb {
    /// List operations, newest first
    List(ListArguments),
    /// Show one operation
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(IdArgument),
    /// Follow an operation to its end
    #[command(after_long_help = WATCH_EXAMPLES)]
    Watch(IdArgument),
    /// Stop an operation
    #[command(after_long_help = CANCEL_EXAMPLES)]
    Cancel(IdArgument),
}

/// Options of `operations list`.
#[derive(Args, Debug)]
#[command(after_long_help = LIST_EXAMPLES)]
pub(crate) struct ListArguments {
    /// Only operations in this state
    #[arg(long, value_name = "STATE")]
    state: Option<State>,

    /// Only the operation with this key
    #[arg(long, value_name = "K", default_value = "", hide_default_value = true)]
    idempotency_key: String,
}

/// An operation.
#[derive(Args, Debug)]
pub(crate) struct IdArgument {
    /// Id of the operation, as `coffer operations list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

/// States of operations.
#[derive(ValueEnum, Debug, Clone, Copy)]
enum State {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Interrupted,
}

impl From<State> for OperationState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => OperationState::Queued,
            State::Running => OperationState::Running,
            State::Succeeded => OperationState::Succeeded,
            State::Failed => OperationState::Failed,
            State::Cancelled => OperationState::Cancelled,
            State::Interrupted => OperationState::Interrupted,
        }
    }
}

pub(crate) fn run(session: &Session, verb: &OperationsVerb) -> Result<ExitStatus, CliError> {
    let agents = session.connect()?;
    match verb {
        OperationsVerb::List(arguments) => list(session, &agents, arguments),
        OperationsVerb::Show(argument) => {
            let (agent, operation) = find(&agents, &argument.id)?;
            session.output.show(&OperationDocument::new(&agent.node, &operation))?;
            Ok(ExitStatus::Done)
        }
        OperationsVerb::Watch(argument) => watch(session, &agents, &argument.id),
        OperationsVerb::Cancel(argument) => cancel(session, &agents, &argument.id),
    }
}

fn list(session: &Session, agents: &Agents, arguments: &ListArguments) -> Result<ExitStatus, CliError> {
    let state = arguments.state.map_or(OperationState::Unspecified, Into::into);
    let request = v1::ListOperationsRequest {
        page_size: PAGE,
        page_token: String::new(),
        idempotency_key: arguments.idempotency_key.clone(),
        state: state.into(),
    };
    let found = each(agents, async |agent: &Agent| pages(agent, request.clone()).await)?;
    let rows = found.done.iter().flat_map(|(node, operations)| {
        operations.iter().map(move |operation| OperationDocument::new(node, operation))
    });
    let document = OperationsDocument(rows.collect());
    if document.0.is_empty() {
        session.output.remark("no operation matches that the caller may see");
    }
    session.output.show(&document)?;
    Ok(found.failed.close(session))
}

async fn pages(agent: &Agent, mut request: v1::ListOperationsRequest) -> Result<Vec<Operation>, AgentError> {
    let mut client = agent.operations()?;
    let mut operations = Vec::new();
    for _ in 0..PAGES_MAX {
        let answer = agent.answer(client.list(request.clone())).await?;
        operations.extend(answer.operations);
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    Ok(operations)
}

fn watch(session: &Session, agents: &Agents, id: &str) -> Result<ExitStatus, CliError> {
    let (agent, operation) = find(agents, id)?;
    let verb = match operation.kind() {
        v1::OperationKind::Backup => "backup",
        v1::OperationKind::Restore => "restore",
        v1::OperationKind::Verify => "verify",
        v1::OperationKind::Unspecified => "operation",
    };
    let operation = Reporter::at_agents(&session.output, verb, |progress| {
        coordinator::watch(agents, progress, agent, &operation)
    })?;
    session.output.show(&OperationDocument::new(&agent.node, &operation))?;
    let error = AgentError::from_operation(&agent.node, operation.error.as_ref());
    Ok(match operation.state() {
        OperationState::Succeeded => ExitStatus::Done,
        OperationState::Cancelled => {
            session.output.close(ExitStatus::Cancelled, "the operation was cancelled")
        }
        OperationState::Interrupted => session.output.close(
            ExitStatus::Failed,
            "the operation was interrupted as its agent ended; start it again with the same key",
        ),
        _ => {
            let error = CliError::from(error);
            session.output.close(error.status(), &error.line())
        }
    })
}

fn cancel(session: &Session, agents: &Agents, id: &str) -> Result<ExitStatus, CliError> {
    let (agent, _) = find(agents, id)?;
    let request = v1::CancelOperationRequest { id: id.to_owned() };
    let cancelled = agents.wait(async { agent.answer(agent.operations()?.cancel(request)).await })??;
    session.output.show(&OperationDocument::new(&agent.node, &cancelled))?;
    Ok(ExitStatus::Done)
}

/// The agent that has the operation.
fn find<'a>(agents: &'a Agents, id: &str) -> Result<(&'a Agent, Operation), CliError> {
    let mut first_error = None;
    for agent in agents.iter() {
        let request = v1::GetOperationRequest { id: id.to_owned() };
        match agents.wait(async { agent.answer(agent.operations()?.get(request)).await })? {
            Ok(operation) => return Ok((agent, operation)),
            Err(error) if error.kind == AgentErrorKind::NotFound => {}
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    // Where an agent could not be asked, nobody knows that the operation is not there.
    Err(first_error.map_or_else(
        || {
            CliError::NotFound(format!(
                "no agent knows operation {id}; `coffer operations list` lists those that are kept"
            ))
        },
        CliError::from,
    ))
}

/// What all agents answered.
pub(crate) struct Answers<T> {
    /// By node.
    pub(crate) done: Vec<(String, T)>,
    /// The others.
    pub(crate) failed: Failed,
}

/// Agents that did not answer, though others did.
pub(crate) struct Failed(Vec<AgentError>);

impl Failed {
    /// The status of a command whose result lacks some agents.
    pub(crate) fn close(self, session: &Session) -> ExitStatus {
        if self.0.is_empty() {
            return ExitStatus::Done;
        }
        let errors: Vec<String> = self.0.into_iter().map(|error| CliError::from(error).line()).collect();
        session.output.close(ExitStatus::Partly, &format!("partly done, missing: {}", errors.join("; ")))
    }
}

/// Asks every agent; an error where none answers.
pub(crate) fn each<T>(
    agents: &Agents,
    ask: impl AsyncFn(&Agent) -> Result<T, AgentError>,
) -> Result<Answers<T>, CliError> {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for agent in agents.iter() {
        match agents.wait(ask(agent))? {
            Ok(answer) => done.push((agent.node.clone(), answer)),
            Err(error) => failed.push(error),
        }
    }
    if done.is_empty() && !failed.is_empty() {
        return Err(failed.remove(0).into());
    }
    Ok(Answers { done, failed: Failed(failed) })
}
