//! The results of `operations`.

use coffer_coordinator::{AgentError, counts, plain};
use coffer_format::Timestamp;
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::{OperationKind, OperationState, operation};
use prost_types::Timestamp as WireTime;
use serde::Serialize;

use super::{cell, plain_all, some};
use crate::agent_words::in_flags;
use crate::documents::requests::Requests;
use crate::human;
use crate::output::Document;
use crate::table::Table;
use crate::text::Text;

/// Operations of all agents.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct OperationsDocument(pub(crate) Vec<OperationDocument>);

/// An operation.
#[derive(Debug, Serialize)]
pub(crate) struct OperationDocument {
    node: String,
    id: String,
    kind: &'static str,
    state: &'static str,
    idempotency_key: String,
    team: String,
    caller: String,
    created: Option<Timestamp>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    waiting_for: Option<String>,
    progress: ProgressDocument,
    attempt: u32,
    volumes: Vec<String>,
    point: Option<String>,
    error: Option<ErrorDocument>,
    requests: Option<Requests>,
    verified: Option<VerifiedDocument>,
}

/// What a verification found.
#[derive(Debug, Serialize)]
struct VerifiedDocument {
    points: u64,
    packs: u64,
    bytes_read: u64,
    problems: Vec<ProblemDocument>,
    notices: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
struct ProblemDocument {
    kind: String,
    key: String,
    detail: String,
    points: Vec<String>,
}

/// How far it is.
#[derive(Debug, Serialize)]
struct ProgressDocument {
    volume: Option<String>,
    total_bytes: u64,
    done_bytes: u64,
    moved_bytes: u64,
    resumed_bytes: u64,
}

/// Why it failed.
#[derive(Debug, Serialize)]
struct ErrorDocument {
    kind: String,
    message: String,
    advice: &'static str,
}

impl OperationDocument {
    /// What the agent of `node` told.
    pub(crate) fn new(node: &str, operation: &v1::Operation) -> OperationDocument {
        let progress = operation.progress.clone().unwrap_or_default();
        let error =
            operation.error.as_ref().map(|error| in_flags(AgentError::from_operation(node, Some(error))));
        OperationDocument {
            node: node.to_owned(),
            id: plain(&operation.id),
            kind: kind(operation.kind()),
            state: state(operation.state()),
            idempotency_key: plain(&operation.idempotency_key),
            team: plain(&operation.team),
            caller: plain(&operation.caller),
            created: time(operation.created),
            started: time(operation.started),
            ended: time(operation.ended),
            waiting_for: some(&operation.waiting_for),
            progress: ProgressDocument {
                volume: some(&progress.volume),
                total_bytes: progress.total_bytes,
                done_bytes: progress.done_bytes,
                moved_bytes: progress.moved_bytes,
                resumed_bytes: progress.resumed_bytes,
            },
            attempt: operation.attempt,
            volumes: plain_all(&operation.volumes),
            point: operation.point.as_ref().and_then(|reference| some(&reference.point)),
            error: error.map(|error| ErrorDocument {
                kind: error.kind.as_str().to_owned(),
                message: error.message,
                advice: error.advice.as_str(),
            }),
            requests: requests(operation),
            verified: verified(operation),
        }
    }

    fn share(&self) -> String {
        let ProgressDocument { done_bytes, total_bytes, .. } = &self.progress;
        match done_bytes.saturating_mul(100).checked_div(*total_bytes) {
            // The last block of a volume may reach past its end.
            Some(percent) => format!("{} %", percent.min(100)),
            None => "-".into(),
        }
    }

    fn note(&self) -> String {
        let error = self.error.as_ref().map(|error| error.message.clone());
        let waits = self.waiting_for.as_ref().map(|what| format!("waits for {what}"));
        error.or(waits).unwrap_or_default()
    }

    fn row(&self) -> [String; 8] {
        [
            self.node.clone(),
            self.id.clone(),
            self.kind.to_owned(),
            self.state.to_owned(),
            self.share(),
            self.created.map_or_else(|| "-".into(), |time| time.to_string()),
            cell(&self.volumes.join(" ")),
            self.note(),
        ]
    }
}

const HEADINGS: [&str; 8] = ["NODE", "ID", "KIND", "STATE", ">DONE", "CREATED", "VOLUMES", "NOTE"];

impl Document for OperationsDocument {
    fn text(&self) -> Text {
        let mut table = Table::new(&HEADINGS);
        self.0.iter().for_each(|operation| table.row(operation.row()));
        table.text()
    }
}

impl Document for OperationDocument {
    fn text(&self) -> Text {
        let times = [("created", self.created), ("started", self.started), ("ended", self.ended)];
        let times = times.into_iter().filter_map(|(what, time)| Some(format!("{what} {}", time?)));
        let mut text =
            Text::of(format_args!("operation {} on {}: {} {}", self.id, self.node, self.kind, self.state));
        let ProgressDocument { done_bytes, total_bytes, moved_bytes, .. } = self.progress;
        let lines = [
            ("volumes", self.volumes.join(" ")),
            ("point", self.point.clone().unwrap_or_default()),
            ("key", self.idempotency_key.clone()),
            ("team", self.team.clone()),
            ("caller", self.caller.clone()),
            ("times", times.collect::<Vec<_>>().join(", ")),
            ("attempt", self.attempt.to_string()),
            (
                "progress",
                format!(
                    "{} of {}, {} moved",
                    human::size(done_bytes),
                    human::size(total_bytes),
                    human::size(moved_bytes)
                ),
            ),
            ("note", self.note()),
            ("verified", self.verified.as_ref().map(VerifiedDocument::summary).unwrap_or_default()),
        ];
        for (what, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
            text.line(format_args!("{what}: {value}"));
        }
        self.verified.iter().for_each(|verified| verified.list(&mut text));
        text
    }
}

impl VerifiedDocument {
    fn summary(&self) -> String {
        format!(
            "{} points, {} packs, {} read; {} problems, {} notices",
            self.points,
            self.packs,
            human::size(self.bytes_read),
            self.problems.len(),
            self.notices.len()
        )
    }

    fn list(&self, text: &mut Text) {
        for ProblemDocument { kind, key, detail, points } in &self.problems {
            let points =
                if points.is_empty() { String::new() } else { format!(" (points {})", points.join(" ")) };
            text.line(format_args!("problem: {kind} {key}: {detail}{points}"));
        }
        self.notices.iter().for_each(|notice| text.line(format_args!("notice: {notice}")));
    }
}

fn verified(operation: &v1::Operation) -> Option<VerifiedDocument> {
    let Some(operation::Result::Verify(result)) = &operation.result else { return None };
    let problem = |problem: &v1::Problem| ProblemDocument {
        kind: plain(&problem.kind),
        key: plain(&problem.key),
        detail: plain(&problem.detail),
        points: plain_all(&problem.points),
    };
    Some(VerifiedDocument {
        points: result.points,
        packs: result.packs,
        bytes_read: result.bytes_read,
        problems: result.problems.iter().map(problem).collect(),
        notices: plain_all(&result.notices),
    })
}

fn requests(operation: &v1::Operation) -> Option<Requests> {
    let of = |requests: Option<&v1::Requests>| requests.map(|some| counts(Some(some)).into());
    match operation.result.as_ref()? {
        operation::Result::Backup(result) => of(result.requests.as_ref()),
        operation::Result::Restore(result) => of(result.requests.as_ref()),
        operation::Result::Verify(_) => None,
    }
}

fn kind(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Backup => "backup",
        OperationKind::Restore => "restore",
        OperationKind::Verify => "verify",
        OperationKind::Unspecified => "unknown",
    }
}

fn state(state: OperationState) -> &'static str {
    match state {
        OperationState::Queued => "queued",
        OperationState::Running => "running",
        OperationState::Succeeded => "succeeded",
        OperationState::Failed => "failed",
        OperationState::Cancelled => "cancelled",
        OperationState::Interrupted => "interrupted",
        OperationState::Unspecified => "unknown",
    }
}

/// A moment; what lies outside of 1970 to 9999 becomes the nearest of both ends.
fn time(time: Option<WireTime>) -> Option<Timestamp> {
    let time = time?;
    let ms = time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000);
    Some(Timestamp::from_unix_ms(ms))
}
