//! The result of `restore`. In a dry run, what it would do.

use coffer_engine::RestoredVolume;
use coffer_format::{Id, VolumeName};
use coffer_store::RequestCounts;
use serde::Serialize;

use super::requests::Requests;
use crate::human;
use crate::output::Document;
use crate::text::Text;

/// A restore.
#[derive(Debug, Serialize)]
pub(crate) struct RestoreDocument {
    point: Id,
    dry_run: bool,
    volumes: Vec<RestoredDocument>,
    requests: Requests,
    duration_ms: u64,
}

#[derive(Debug, Serialize)]
struct RestoredDocument {
    name: VolumeName,
    target: String,
    size: u64,
    fetched: u64,
    written: u64,
    skipped: u64,
    zeroed: u64,
}

impl RestoreDocument {
    /// What the engine did; `requests` and `duration_ms` are those of the whole command.
    pub(crate) fn new(
        point: Id,
        volumes: Vec<RestoredVolume>,
        dry_run: bool,
        requests: RequestCounts,
        duration_ms: u64,
    ) -> Self {
        let volumes = volumes.into_iter().map(RestoredDocument::from).collect();
        RestoreDocument { point, dry_run, volumes, requests: requests.into(), duration_ms }
    }
}

impl From<RestoredVolume> for RestoredDocument {
    fn from(volume: RestoredVolume) -> Self {
        let RestoredVolume { name, target, size, fetched, written, skipped, zeroed } = volume;
        RestoredDocument { name, target, size, fetched, written, skipped, zeroed }
    }
}

impl Document for RestoreDocument {
    fn text(&self) -> Text {
        let done = if self.dry_run { "would be restored" } else { "restored" };
        let mut text = Text::of(format_args!("point {}", self.point));
        for volume in &self.volumes {
            text.line(format_args!(
                "volume {}: {done} to {}: {}, {} fetched, {} written, {} right already, {} zeroed",
                volume.name,
                volume.target,
                human::size(volume.size),
                human::size(volume.fetched),
                human::size(volume.written),
                human::size(volume.skipped),
                human::size(volume.zeroed)
            ));
        }
        text.line(format_args!("took {}", human::duration(self.duration_ms)));
        text
    }
}
