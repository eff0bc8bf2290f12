//! `coffer backup --agent`: the words of the command line as a request to the coordinator.

use std::collections::{BTreeMap, BTreeSet};

use coffer_blockio::ReadEngine;
use coffer_coordinator::{Agents, Part, PointOrder, make_point, total};
use coffer_engine::Repository;
use coffer_engine::backup::{ChangeSource, PointRequest};
use coffer_format::{BlockSize, Compression, KeyFile, Label, VolumeName};
use coffer_proto::agent::v1;

use super::lists;
use super::request::{BackupArguments, hint_at_siblings, plan, show, tags};
use crate::agent::{Access, Placed, placed};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::key_targets::make_writer_key;
use crate::progress::Reporter;
use crate::session::Session;
use crate::verbs::version::program_version;

/// Longest key of an operation, less what the coordinator may add to it.
const KEY_LEN_MAX: usize = 120;

pub(super) fn run(session: &Session, arguments: &BackupArguments) -> Result<ExitStatus, CliError> {
    let tags = tags(&arguments.tag)?;
    let changes = lists::check(&arguments.changes, &arguments.volumes)?;
    if changes.has_lists() {
        return Err(CliError::Usage(
            "--changes list: lists of changes do not go through an agent yet; give auto, hash or fiemap"
                .into(),
        ));
    }
    let key = operation_key(session, arguments.idempotency_key.as_deref())?;
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let agents = session.connect()?;
    let mut identity = arguments.identity.clone();
    if identity.cluster.is_none() {
        identity.cluster = cluster(&agents)?;
    }
    let plan = plan(&repository, &identity)?;
    repository.check_writing(&plan.team)?;
    let wish = VolumeWish { block_size: arguments.block_size, changes: changes.source };
    let (volumes, parts) = parts(&agents, arguments, &wish)?;
    let sent = key_to_send(session, &repository, arguments)?;
    let access = Access { url: &arguments.repository.repo, key: sent.as_ref() };
    let wanted = PointOrder {
        point: PointRequest {
            resources: Vec::new(),
            resources_only: false,
            plan,
            volumes,
            type_wish: arguments.type_wish.into(),
            full_every: arguments.full_every,
            list_base: None,
            snapshot_time: arguments.snapshot_time,
            idempotency_key: arguments.idempotency_key.clone(),
            description: arguments.description.clone(),
            tags,
            writer: format!("coffer {}", program_version()),
        },
        key,
        parts,
        repository: access.message(&session.agents),
        compression: compression(arguments.compression),
        read_engine: arguments.reading.io.to_string(),
        own: None,
    };
    let made = Reporter::at_agents(&session.output, "backup", |progress| {
        make_point(&agents, &repository, &wanted, progress)
    })?;
    hint_at_siblings(session, arguments, &repository, &made.report);
    let requests = total(repository.store().requests(), made.requests);
    show(session, made.report, &BTreeMap::<VolumeName, ReadEngine>::new(), requests)
}

/// The cluster that the agents belong to, as the first of them that answers says.
fn cluster(agents: &Agents) -> Result<Option<Label>, CliError> {
    for agent in agents.iter() {
        let told = agents.wait(async { agent.answer(agent.info()?.info(v1::InfoRequest {})).await })?;
        // One that does not answer fails again when its part begins.
        if let Some(cluster) = told.ok().and_then(|info| info.cluster.parse().ok()) {
            return Ok(Some(cluster));
        }
    }
    Ok(None)
}

/// The key of the agents' operations: the caller's, or one that nobody ever used.
fn operation_key(session: &Session, given: Option<&str>) -> Result<String, CliError> {
    let Some(key) = given else { return Ok(format!("coffer-{}", session.environment().new_id()?)) };
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && !key.contains('~');
    if is_plain && (1..=KEY_LEN_MAX).contains(&key.len()) {
        return Ok(key.to_owned());
    }
    Err(CliError::Usage(format!(
        "--idempotency-key {key:?}: through agents a key has 1 to {KEY_LEN_MAX} printable ASCII characters other than ~"
    )))
}

/// A writer key: what makes points needs to open none.
fn key_to_send(
    session: &Session,
    repository: &Repository,
    arguments: &BackupArguments,
) -> Result<Option<KeyFile>, CliError> {
    if !repository.is_encrypted() || session.agents.agent_key_name.is_some() {
        return Ok(None);
    }
    match session.key(&arguments.key)? {
        Some(key) if key.recovery("sending").is_ok() => {
            Ok(Some(make_writer_key(&session.environment(), &key)?))
        }
        key => Ok(key),
    }
}

/// What holds for all volumes alike.
struct VolumeWish {
    block_size: Option<BlockSize>,
    changes: ChangeSource,
}

impl VolumeWish {
    fn volume(&self, placed: &Placed) -> v1::BackupVolume {
        v1::BackupVolume {
            name: placed.name.to_string(),
            source: placed.place.clone(),
            block_bytes: self.block_size.map_or(0, BlockSize::bytes),
            changes: match self.changes {
                ChangeSource::Auto => "auto".into(),
                ChangeSource::Hash => "hash".into(),
                ChangeSource::Fiemap => "fiemap".into(),
            },
        }
    }
}

/// All names in the order of the words, and each agent's volumes.
fn parts(
    agents: &Agents,
    arguments: &BackupArguments,
    wish: &VolumeWish,
) -> Result<(Vec<VolumeName>, Vec<Part>), CliError> {
    let nodes = agents.nodes();
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
    for word in &arguments.volumes {
        let placed = placed(&word.name, &word.path, &nodes).map_err(CliError::Usage)?;
        if !seen.insert(placed.name.clone()) {
            return Err(CliError::Usage(format!(
                "two volumes are named {}; give them names of their own: NAME=PATH",
                placed.name
            )));
        }
        let agent = placed.agent;
        let part =
            parts.entry(agent).or_insert_with(|| Part { agent, names: Vec::new(), volumes: Vec::new() });
        part.volumes.push(wish.volume(&placed));
        part.names.push(placed.name.clone());
        names.push(placed.name);
    }
    Ok((names, parts.into_values().collect()))
}

fn compression(compression: Compression) -> String {
    match compression {
        Compression::None => "none".into(),
        Compression::Lz4 => "lz4".into(),
        Compression::Zstd(level) => format!("zstd:{level}"),
    }
}
