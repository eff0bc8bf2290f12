//! Operations as messages.

use coffer_proto::agent::v1;
use coffer_proto::checked::OperationState;

use crate::errors::Failure;
use crate::operations::View;
use crate::operations::events::Line;
use crate::operations::record::{
    BackupOutcome, Kind, Outcome, Progress, Requests, RestoreOutcome, TicketRecord, VerifyOutcome,
};

/// An operation.
pub(super) fn operation(view: View) -> v1::Operation {
    let View { record, waiting_for } = view;
    let kind = match record.kind {
        Kind::Backup => v1::OperationKind::Backup,
        Kind::Restore => v1::OperationKind::Restore,
        Kind::Verify => v1::OperationKind::Verify,
    };
    v1::Operation {
        id: record.id.to_string(),
        kind: kind.into(),
        state: v1::OperationState::from(OperationState::from(record.state)).into(),
        idempotency_key: record.key,
        team: record.team.to_string(),
        caller: record.caller,
        created: Some(time(record.created)),
        started: record.started.map(time),
        ended: record.ended.map(time),
        waiting_for,
        progress: Some(progress(record.progress)),
        attempt: record.attempt,
        volumes: record.volumes,
        point: record.reference.map(reference),
        error: record.failure.map(failure),
        result: record.outcome.map(outcome),
    }
}

/// A log line.
pub(super) fn line(line: Line) -> v1::LogLine {
    v1::LogLine {
        sequence: line.sequence,
        time: Some(time(line.time)),
        level: line.level.as_str().to_owned(),
        text: line.text,
    }
}

fn time(time: coffer_format::Timestamp) -> prost_types::Timestamp {
    let ms = time.unix_ms();
    let nanos = i32::try_from(ms % 1_000).expect("below 1,000") * 1_000_000;
    prost_types::Timestamp { seconds: ms / 1_000, nanos }
}

fn progress(progress: Progress) -> v1::OperationProgress {
    v1::OperationProgress {
        volume: progress.volume,
        total_bytes: progress.total,
        done_bytes: progress.done,
        moved_bytes: progress.moved,
        resumed_bytes: progress.resumed,
    }
}

fn reference(reference: TicketRecord) -> v1::PointReference {
    let plan = reference.plan_id().map(|plan| v1::Plan {
        team: plan.team.to_string(),
        cluster: plan.cluster.to_string(),
        namespace: plan.namespace.to_string(),
        plan: plan.plan.to_string(),
    });
    v1::PointReference {
        plan,
        point: reference.point.to_string(),
        chain: reference.chain.to_string(),
        parent: reference.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        coordinator: reference.coordinator,
    }
}

fn failure(failure: Failure) -> v1::OperationError {
    let Failure { code, kind, message, advice } = failure;
    v1::OperationError { code, kind, message, advice }
}

fn outcome(outcome: Outcome) -> v1::operation::Result {
    match outcome {
        Outcome::Backup(done) => v1::operation::Result::Backup(backup(done)),
        Outcome::Restore(done) => v1::operation::Result::Restore(restore(done)),
        Outcome::Verify(done) => v1::operation::Result::Verify(verify(done)),
    }
}

fn backup(done: BackupOutcome) -> v1::BackupResult {
    v1::BackupResult {
        records: done.records.into_iter().map(|record| record.0).collect(),
        reused_runs: done.reused_runs.iter().map(ToString::to_string).collect(),
        objects_written: done.objects,
        bytes_written: done.bytes,
        resumed_bytes: done.resumed_bytes,
        requests: Some(requests(done.requests)),
    }
}

fn restore(done: RestoreOutcome) -> v1::RestoreResult {
    let volumes = done.volumes.into_iter().map(|volume| v1::RestoredVolume {
        name: volume.name,
        target: volume.target,
        size: volume.size,
        fetched: volume.fetched,
        written: volume.written,
        skipped: volume.skipped,
        zeroed: volume.zeroed,
        cut: volume.cut,
        tail: volume.tail,
    });
    v1::RestoreResult { volumes: volumes.collect(), requests: Some(requests(done.requests)) }
}

fn verify(done: VerifyOutcome) -> v1::VerifyResult {
    let problems = done.problems.into_iter().map(|problem| v1::Problem {
        kind: problem.kind,
        key: problem.key,
        detail: problem.detail,
        points: problem.points.iter().map(ToString::to_string).collect(),
    });
    v1::VerifyResult {
        points: done.points,
        packs: done.packs,
        bytes_read: done.bytes_read,
        problems: problems.collect(),
        notices: done.notices,
    }
}

fn requests(requests: Requests) -> v1::Requests {
    let Requests { put, get, list, delete, multipart } = requests;
    v1::Requests { put, get, list, delete, multipart }
}
