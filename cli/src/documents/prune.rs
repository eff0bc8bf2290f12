//! The result of `prune`.

use coffer_engine::PruneReport;
use serde::Serialize;

use super::requests::Requests;
use crate::human;
use crate::output::Document;
use crate::stored_resources::Pruned;
use crate::text::Text;

/// What prune did, or would do.
#[derive(Debug, Serialize)]
pub(crate) struct PruneDocument {
    objects_deleted: u64,
    bytes_deleted: u64,
    bytes_kept_for_chains: u64,
    uploads_aborted: u64,
    artefacts_deleted: u64,
    artefacts_left: u64,
    notices: Vec<String>,
    dry_run: bool,
    requests: Requests,
    duration_ms: u64,
}

impl PruneDocument {
    /// The report of the engine.
    pub(crate) fn new(report: PruneReport, artefacts: Pruned, dry_run: bool, duration_ms: u64) -> Self {
        PruneDocument {
            objects_deleted: report.objects_deleted,
            bytes_deleted: report.bytes_deleted,
            bytes_kept_for_chains: report.bytes_kept_for_chains,
            uploads_aborted: report.uploads_aborted,
            artefacts_deleted: artefacts.deleted,
            artefacts_left: artefacts.left,
            notices: report.notices,
            dry_run,
            requests: report.requests.into(),
            duration_ms,
        }
    }
}

impl Document for PruneDocument {
    fn text(&self) -> Text {
        let mut text = Text::default();
        for notice in &self.notices {
            text.line(format_args!("notice: {notice}"));
        }
        if self.artefacts_deleted + self.artefacts_left > 0 {
            text.line(format_args!(
                "artefacts of plugins: {} deleted, {} left",
                self.artefacts_deleted, self.artefacts_left
            ));
        }
        let verb = if self.dry_run { "would be deleted" } else { "deleted" };
        text.line(format_args!(
            "{} with {} {verb}; {} of forgotten points are kept for later points of their chains",
            human::count(self.objects_deleted, "object"),
            human::size(self.bytes_deleted),
            human::size(self.bytes_kept_for_chains)
        ));
        text
    }
}
