//! `coffer verify --agent`: an agent reads and checks, this prints what it found.

use coffer_coordinator::{Job, Start, run_jobs};
use coffer_engine::EngineError;
use coffer_format::{KeyFile, Label};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::operation;

use super::request::{VerifyArguments, show};
use crate::agent::{Access, only_one};
use crate::documents::verify::VerifyDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::progress::Reporter;
use crate::session::Session;

pub(super) fn run(session: &Session, arguments: &VerifyArguments) -> Result<ExitStatus, CliError> {
    // What is wrong with the address is said before it is sent.
    session.address(&arguments.repository)?;
    let percent = percent(arguments.read_data)?;
    let key = session.key(&arguments.key)?;
    let agents = session.connect()?;
    only_one(&agents, "verify")?;
    let own_key = key.as_ref().filter(|_| session.agents.agent_key_name.is_none());
    let access = Access { url: &arguments.repository.repo, key: own_key };
    let start = Start::Verify(v1::StartVerifyRequest {
        idempotency_key: format!("coffer-{}", session.environment().new_id()?),
        repository: Some(access.message(&session.agents)),
        plan: Some(plan(arguments, key.as_ref())),
        point: String::new(),
        read_data_percent: percent,
        timeout: None,
    });
    let jobs = vec![Job { agent: 0, start }];
    let ended = Reporter::at_agents(&session.output, "verify", |progress| run_jobs(&agents, progress, jobs))?;
    let operation =
        ended.into_iter().next().ok_or_else(|| EngineError::Bug("no operation ended".into()))??;
    let Some(operation::Result::Verify(result)) = operation.result else {
        return Err(EngineError::Bug("the agent says that it verified, and not what".into()).into());
    };
    show(session, &VerifyDocument::of_agent(result, session.duration_ms()))
}

/// What is not named matches any, but for the team: the caller's right depends on it.
fn plan(arguments: &VerifyArguments, key: Option<&KeyFile>) -> v1::Plan {
    let identity = &arguments.filter.identity;
    let text = |label: &Option<Label>| label.as_ref().map(ToString::to_string).unwrap_or_default();
    let team = identity.team.as_ref().or(key.map(|key| &key.team));
    v1::Plan {
        team: team.map_or_else(|| "default".into(), ToString::to_string),
        cluster: text(&identity.cluster),
        namespace: text(&identity.namespace),
        plan: text(&identity.plan),
    }
}

/// Agents take whole percents.
fn percent(share: Option<f64>) -> Result<u32, CliError> {
    let Some(share) = share else { return Ok(0) };
    let whole = (1..=100).find(|whole| f64::from(*whole) == share);
    whole.ok_or_else(|| {
        CliError::Usage(format!("--read-data={share}: through an agent give whole percents, 1 to 100"))
    })
}
