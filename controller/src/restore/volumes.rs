//! Agents write the volumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use coffer_api::{PointIdentity, RestoredVolumeStatus, TargetMode};
use coffer_coordinator::{Job, Start, run_jobs};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::operation;
use kube::ResourceExt;

use super::journal::Journal;
use super::target::VolumeTarget;
use crate::agents::AgentDirectory;
use crate::application::select::{Source, Volume};
use crate::repositories::Access;
use crate::runs::{RunStop, on_thread};

/// Lets agents write what is not done yet, and writes down what is.
pub(super) async fn write(
    journal: &mut Journal<'_>,
    access: &Access,
    point: &PointIdentity,
    volumes: &[VolumeTarget],
    places: &[Volume],
    stop: &RunStop,
) -> anyhow::Result<()> {
    let done: Vec<String> = journal
        .status
        .volumes
        .iter()
        .filter(|volume| volume.done)
        .map(|volume| volume.name.clone())
        .collect();
    journal.status.volumes = statuses(&journal.status.volumes, volumes, places);
    journal.write().await?;
    let mut by_node: BTreeMap<&str, Vec<v1::RestoreVolume>> = BTreeMap::new();
    for (volume, place) in volumes.iter().zip(places).filter(|(volume, _)| !done.contains(&volume.name)) {
        by_node.entry(&place.node).or_default().push(v1::RestoreVolume {
            name: volume.name.clone(),
            target: match &place.source {
                Source::Path(path) => path.clone(),
                Source::PersistentVolume(name) => format!("pv:{name}"),
            },
            mode: mode(journal).into(),
        });
    }
    if by_node.is_empty() {
        return Ok(());
    }
    let nodes: Vec<String> = by_node.keys().map(|node| (*node).to_owned()).collect();
    let uid = journal.restore.uid().context("the restore has no UID")?;
    let jobs: Vec<Job> = by_node
        .into_values()
        .enumerate()
        .map(|(agent, volumes)| Job { agent, start: Start::Restore(request(access, point, &uid, volumes)) })
        .collect();
    let directory = AgentDirectory::read(journal.context).await?;
    let for_thread = stop.clone();
    let ended = on_thread("restore", move || {
        let agents = directory.connect(&nodes, &for_thread)?;
        anyhow::Ok(run_jobs(&agents, Arc::new(()), jobs)?)
    })
    .await??;
    let mut failed = Vec::new();
    for operation in ended {
        match operation {
            Ok(operation) => note(journal, operation),
            Err(error) => failed.push(error.to_string()),
        }
    }
    journal.write().await?;
    if !failed.is_empty() {
        bail!("agents: {}", failed.join("; "));
    }
    match journal.status.volumes.iter().find(|volume| !volume.done) {
        Some(volume) => bail!("an agent says nothing of volume {}; this is a bug of Coffer", volume.name),
        None => Ok(()),
    }
}

/// New volumes are written as a whole; where volumes existed, only what differs.
fn mode(journal: &Journal<'_>) -> v1::RestoreMode {
    match journal.restore.spec.target.mode {
        TargetMode::NewVolumes => v1::RestoreMode::Overwrite,
        TargetMode::ExistingVolumes => v1::RestoreMode::InPlace,
    }
}

fn request(
    access: &Access,
    point: &PointIdentity,
    uid: &str,
    volumes: Vec<v1::RestoreVolume>,
) -> v1::StartRestoreRequest {
    v1::StartRestoreRequest {
        // The same work of the same restore is one operation, whoever asks for it.
        idempotency_key: format!("{uid}-restore"),
        repository: Some(access.message()),
        plan: Some(v1::Plan {
            team: point.team.clone(),
            cluster: point.cluster.clone(),
            namespace: point.namespace.clone(),
            plan: point.plan.clone(),
        }),
        point: point.point.clone(),
        volumes,
        timeout: None,
    }
}

fn statuses(
    before: &[RestoredVolumeStatus],
    volumes: &[VolumeTarget],
    places: &[Volume],
) -> Vec<RestoredVolumeStatus> {
    let status = |(volume, place): (&VolumeTarget, &Volume)| {
        let known = before.iter().find(|known| known.name == volume.name && known.done).cloned();
        known.unwrap_or_else(|| RestoredVolumeStatus {
            name: volume.name.clone(),
            claim: volume.claim.clone(),
            node: Some(place.node.clone()),
            ..RestoredVolumeStatus::default()
        })
    };
    volumes.iter().zip(places).map(status).collect()
}

fn note(journal: &mut Journal<'_>, operation: v1::Operation) {
    let Some(operation::Result::Restore(result)) = operation.result else { return };
    for restored in result.volumes {
        let found = journal.status.volumes.iter_mut().find(|volume| volume.name == restored.name);
        if let Some(volume) = found {
            volume.done = true;
            volume.written_bytes = i64::try_from(restored.written).ok();
            volume.skipped_bytes = i64::try_from(restored.skipped).ok();
        }
    }
}
