//! Progress of operations at several agents as one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffer_proto::agent::v1::{LogLine, Operation, OperationProgress, OperationState};

use crate::agent_error::plain;
use crate::progress::{Progress, Standing};

/// Where each operation stands.
pub(crate) struct Board {
    progress: Arc<dyn Progress>,
    parts: Mutex<Vec<OperationProgress>>,
    /// Newest log line that was passed on, by part and operation. An operation that is started again keeps its numbers.
    lines: Mutex<BTreeMap<(usize, String), u64>>,
}

impl Board {
    /// A board for this many operations.
    pub(crate) fn new(progress: Arc<dyn Progress>, count: usize) -> Board {
        Board {
            progress,
            parts: Mutex::new(vec![OperationProgress::default(); count]),
            lines: Mutex::default(),
        }
    }

    /// Shows where operation number `part` stands now.
    pub(crate) fn show(&self, part: usize, node: &str, operation: &Operation) {
        let mut parts = self.parts();
        if let Some(slot) = parts.get_mut(part) {
            *slot = operation.progress.clone().unwrap_or_default();
        }
        let sum = |field: fn(&OperationProgress) -> u64| parts.iter().map(field).fold(0, u64::saturating_add);
        self.progress.show(Standing {
            doing: doing(node, operation),
            total_bytes: sum(|progress| progress.total_bytes),
            done_bytes: sum(|progress| progress.done_bytes),
            moved_bytes: sum(|progress| progress.moved_bytes),
            resumed_bytes: sum(|progress| progress.resumed_bytes),
        });
    }

    /// Up to which log line everything was passed on.
    pub(crate) fn known(&self, part: usize, id: &str) -> u64 {
        self.lines().get(&(part, id.to_owned())).copied().unwrap_or(0)
    }

    /// Passes an agent's log lines on, each once.
    pub(crate) fn log(&self, part: usize, node: &str, id: &str, lines: &[LogLine]) {
        let known = self.known(part, id);
        let fresh = || lines.iter().filter(|line| line.sequence > known);
        fresh().for_each(|line| pass_on(node, line));
        let newest = fresh().map(|line| line.sequence).fold(known, u64::max);
        self.lines().insert((part, id.to_owned()), newest);
    }

    fn parts(&self) -> MutexGuard<'_, Vec<OperationProgress>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<(usize, String), u64>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The volume, or what the operation waits for.
fn doing(node: &str, operation: &Operation) -> String {
    let volume = operation.progress.as_ref().map(|progress| plain(&progress.volume)).unwrap_or_default();
    match operation.state() {
        OperationState::Queued => format!("on {node} waits for {}", plain(&operation.waiting_for)),
        _ if volume.is_empty() => format!("on {node}"),
        _ => format!("{volume} on {node}"),
    }
}

fn pass_on(node: &str, line: &LogLine) {
    let text = plain(&line.text);
    match line.level.as_str() {
        "error" => tracing::error!(node, text, "agent"),
        "warn" => tracing::warn!(node, text, "agent"),
        _ => tracing::info!(node, text, "agent"),
    }
}
