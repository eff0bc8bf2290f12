//! What the status of a backup says. Pure.

use coffer_api::{Backup, BackupPhase, BackupStatus, BackupVolume, Origin};
use coffer_engine::backup::{BackupReport, VolumeReport};
use coffer_engine::catalog::PointEntry;
use coffer_format::{PointState, PointType};

use crate::status::{State, set_state};

/// It is at work.
pub(super) fn running(backup: &Backup, now: &str) -> BackupStatus {
    let mut status = backup.status.clone().unwrap_or_default();
    status.phase = BackupPhase::Running;
    status.origin = Some(Origin::Local);
    status.plan.clone_from(&backup.spec.plan);
    let state = State::InProgress { reason: "Running", message: "agents make the point".into() };
    with_state(backup, status, &state, now)
}

/// There is no point.
pub(super) fn failed(backup: &Backup, message: &str, now: &str) -> BackupStatus {
    let mut status = running(backup, now);
    status.phase = BackupPhase::Failed;
    status.message = Some(message.to_owned());
    let state = State::Stalled { reason: "Failed", message: message.to_owned() };
    with_state(backup, status, &state, now)
}

/// The point stands.
pub(super) fn made(
    backup: &Backup,
    report: &BackupReport,
    nodes: &[(String, String)],
    now: &str,
) -> BackupStatus {
    let mut status = running(backup, now);
    status.point = Some(report.point.to_string());
    status.kind = Some(type_word(report.kind).into());
    status.type_reason = Some(report.reason.text());
    status.chain = Some(report.chain.to_string());
    status.sequence = i64::try_from(report.sequence).ok();
    status.parent = report.parent.map(|parent| parent.to_string());
    status.point_in_time = Some(report.time.to_string());
    status.size_bytes = count(report.volumes.iter().map(|volume| volume.size).sum());
    status.stored_bytes = count(report.bytes_written);
    status.volumes = report.volumes.iter().map(|report| volume(report, nodes)).collect();
    let errors: Vec<String> = report
        .volumes
        .iter()
        .filter_map(|volume| Some(format!("volume {}: {}", volume.name, volume.error.as_ref()?)))
        .collect();
    let (phase, state) = match report.state {
        PointState::Available => {
            let message = format!("point {} holds {} volumes", report.point, report.volumes.len());
            (BackupPhase::Completed, State::Ready { reason: "Completed", message })
        }
        PointState::Partial => {
            let message = format!("{}; the point counts for nothing", errors.join("; "));
            (BackupPhase::PartiallyFailed, State::Stalled { reason: "PartiallyFailed", message })
        }
    };
    status.phase = phase;
    status.message = (!errors.is_empty()).then(|| errors.join("; "));
    with_state(backup, status, &state, now)
}

/// A point that was found in a bucket.
pub fn discovered(backup: &Backup, point: &PointEntry, origin: Origin, now: &str) -> BackupStatus {
    let summary = &point.summary;
    let plan = &point.plan;
    let mut status = BackupStatus {
        origin: Some(origin),
        plan: Some(match origin {
            Origin::Local => plan.plan.to_string(),
            Origin::Discovered => format!("{}/{}/{}", plan.cluster, plan.namespace, plan.plan),
        }),
        point: Some(point.id.to_string()),
        kind: Some(type_word(summary.kind).into()),
        chain: Some(summary.chain.to_string()),
        sequence: i64::try_from(summary.sequence).ok(),
        parent: summary.parent.map(|parent| parent.to_string()),
        point_in_time: Some(summary.time.to_string()),
        size_bytes: count(summary.size),
        stored_bytes: count(summary.stored),
        ..BackupStatus::default()
    };
    let names = summary.volumes.iter().flatten();
    status.volumes =
        names.map(|name| BackupVolume { name: name.to_string(), ..BackupVolume::default() }).collect();
    status.phase = if point.is_complete() { BackupPhase::Completed } else { BackupPhase::PartiallyFailed };
    let state = if point.is_complete() {
        State::Ready { reason: "Discovered", message: format!("point {} was found in the bucket", point.id) }
    } else {
        State::Stalled { reason: "Partial", message: "the point lacks volumes and counts for nothing".into() }
    };
    with_state(backup, status, &state, now)
}

fn with_state(backup: &Backup, mut status: BackupStatus, state: &State, now: &str) -> BackupStatus {
    let generation = backup.metadata.generation;
    status.observed_generation = generation;
    if let Some(before) = &backup.status {
        status.conditions.clone_from(&before.conditions);
    }
    set_state(&mut status.conditions, state, generation, now);
    status
}

fn volume(report: &VolumeReport, nodes: &[(String, String)]) -> BackupVolume {
    let name = report.name.to_string();
    let node = nodes.iter().find(|(volume, _)| *volume == name).map(|(_, node)| node.clone());
    BackupVolume {
        name,
        node,
        size_bytes: count(report.size),
        stored_bytes: count(report.stored),
        error: report.error.clone(),
    }
}

fn type_word(kind: PointType) -> &'static str {
    match kind {
        PointType::Full => "full",
        PointType::Incremental => "incremental",
    }
}

fn count(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok()
}
