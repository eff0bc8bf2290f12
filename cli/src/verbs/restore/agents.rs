//! `coffer restore --agent`: the point is chosen here, agents write to targets on their nodes.

use std::collections::BTreeMap;

use coffer_coordinator::{AgentError, Agents, Job, Start, counts, plain, plan, run_jobs, total};
use coffer_engine::RestoredVolume;
use coffer_engine::catalog::{PointEntry, load_manifest};
use coffer_engine::{Advice, EngineError, Repository, lend_chain_key};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::operation;

use super::places::{Chosen, Places};
use super::request::{RestoreArguments, choose_point, close};
use crate::agent::{Access, placed};
use crate::documents::restore::RestoreDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::progress::Reporter;
use crate::session::Session;

const UNFINISHED: &str = "targets may be written in part; finish them with the same command and --in-place";

pub(super) fn run(session: &Session, arguments: &RestoreArguments) -> Result<ExitStatus, CliError> {
    if arguments.salvage {
        return Err(CliError::Usage(
            "--salvage does not go through an agent; run it on the node itself, without --agent".into(),
        ));
    }
    let places = Places::new(&arguments.volume, arguments.to.as_deref(), false)?;
    if places.stream().is_some() {
        return Err(CliError::Usage(
            "NAME=- does not go through an agent, which writes to its node; leave --agent out or name a target there".into(),
        ));
    }
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let point = choose_point(&repository, arguments)?;
    if session.agents.agent_key_name.is_none() {
        repository.check_reading(&point.plan.team)?;
    }
    let chosen = places.choose(&load_manifest(&repository, &point)?.payload)?;
    let agents = session.connect()?;
    let jobs = jobs(session, arguments, &agents, &repository, &point, &chosen)?;
    let ended =
        Reporter::at_agents(&session.output, "restore", |progress| run_jobs(&agents, progress, jobs))?;
    finish(session, &repository, &point, &chosen, ended)
}

fn jobs(
    session: &Session,
    arguments: &RestoreArguments,
    agents: &Agents,
    repository: &Repository,
    point: &PointEntry,
    chosen: &Chosen,
) -> Result<Vec<Job>, CliError> {
    let nodes = agents.nodes();
    let mut volumes: BTreeMap<usize, Vec<v1::RestoreVolume>> = BTreeMap::new();
    for wanted in &chosen.wanted {
        let placed = placed(&wanted.name, &wanted.path, &nodes).map_err(CliError::Usage)?;
        volumes.entry(placed.agent).or_default().push(v1::RestoreVolume {
            name: wanted.name.to_string(),
            target: placed.place,
            mode: mode(arguments).into(),
        });
    }
    // The agent is lent the key of the point's chain, and never the recovery key.
    let key = match session.agents.agent_key_name {
        None => lend_chain_key(repository, &point.plan, point.summary.chain)?,
        Some(_) => None,
    };
    let access = Access { url: &arguments.repository.repo, key: key.as_ref() };
    let job = |(agent, volumes)| {
        let start = Start::Restore(v1::StartRestoreRequest {
            idempotency_key: format!("coffer-{}", session.environment().new_id()?),
            repository: Some(access.message(&session.agents)),
            plan: Some(plan(&point.plan)),
            point: point.id.to_string(),
            volumes,
            timeout: None,
        });
        Ok::<_, CliError>(Job { agent, start })
    };
    volumes.into_iter().map(job).collect()
}

fn mode(arguments: &RestoreArguments) -> v1::RestoreMode {
    match (arguments.overwrite, arguments.in_place) {
        (true, _) => v1::RestoreMode::Overwrite,
        (false, true) => v1::RestoreMode::InPlace,
        (false, false) => v1::RestoreMode::New,
    }
}

fn finish(
    session: &Session,
    repository: &Repository,
    point: &PointEntry,
    chosen: &Chosen,
    ended: Vec<Result<v1::Operation, AgentError>>,
) -> Result<ExitStatus, CliError> {
    let mut requests = repository.store().requests();
    let mut restored: Vec<RestoredVolume> = Vec::new();
    for operation in ended {
        let operation = operation.map_err(explain)?;
        let Some(operation::Result::Restore(result)) = operation.result else {
            return Err(EngineError::Bug("an agent says that it restored, and not what".into()).into());
        };
        requests = total(requests, counts(result.requests.as_ref()));
        restored.extend(result.volumes.iter().filter_map(volume));
    }
    // Every volume that was asked for is answered for, or the restore is no success.
    let missing =
        chosen.wanted.iter().find(|wanted| restored.iter().all(|volume| volume.name != wanted.name));
    if let Some(missing) = missing {
        return Err(EngineError::Bug(format!("an agent says nothing of volume {}", missing.name)).into());
    }
    session.output.show(&RestoreDocument::new(point.id, restored, false, requests, session.duration_ms()))?;
    close(session, &chosen.failed, 0)
}

/// Says how to go on, unless nothing was written at all.
fn explain(error: AgentError) -> CliError {
    match error.advice {
        Advice::Refused | Advice::Configure | Advice::NotFound => error.into(),
        _ => CliError::After { source: Box::new(error.into()), next: UNFINISHED.into() },
    }
}

fn volume(volume: &v1::RestoredVolume) -> Option<RestoredVolume> {
    let mut restored = RestoredVolume::new(volume.name.parse().ok()?, plain(&volume.target), volume.size);
    restored.fetched = volume.fetched;
    restored.written = volume.written;
    restored.skipped = volume.skipped;
    restored.zeroed = volume.zeroed;
    restored.cut = volume.cut;
    restored.tail = volume.tail;
    Some(restored)
}
