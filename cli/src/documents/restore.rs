//! The result of `restore`. In a dry run, what it would do.

use coffer_engine::{LostRange, RestoredVolume};
use coffer_format::{Id, VolumeName};
use coffer_store::RequestCounts;
use serde::Serialize;

use super::requests::Requests;
use super::resources::ResourceRow;
use crate::human;
use crate::output::Document;
use crate::text::Text;

/// A restore.
#[derive(Debug, Serialize)]
pub(crate) struct RestoreDocument {
    point: Id,
    dry_run: bool,
    volumes: Vec<RestoredDocument>,
    resources: Vec<RestoredResource>,
    requests: Requests,
    duration_ms: u64,
}

/// A resource that a plugin restored.
#[derive(Debug, Serialize)]
pub(crate) struct RestoredResource {
    pub(crate) resource: String,
    pub(crate) restored: ResourceRow,
    pub(crate) description: Option<String>,
    pub(crate) options: serde_json::Value,
    pub(crate) warnings: Vec<String>,
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
    cut: u64,
    tail: u64,
    lost_bytes: u64,
    lost: Vec<LostDocument>,
}

/// A range that could not be restored.
#[derive(Debug, Serialize)]
struct LostDocument {
    offset: u64,
    length: u64,
    key: String,
    reason: String,
}

/// Lost ranges of a volume that are printed as text; the JSON has more.
const LOST_LINES_MAX: usize = 100;

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
        let resources = Vec::new();
        RestoreDocument { point, dry_run, volumes, resources, requests: requests.into(), duration_ms }
    }

    /// With what plugins restored.
    pub(crate) fn with_resources(self, resources: Vec<RestoredResource>) -> Self {
        RestoreDocument { resources, ..self }
    }
}

impl From<RestoredVolume> for RestoredDocument {
    fn from(volume: RestoredVolume) -> Self {
        let RestoredVolume {
            name,
            target,
            size,
            fetched,
            written,
            skipped,
            zeroed,
            cut,
            tail,
            lost,
            lost_bytes,
        } = volume;
        let lost = lost.into_iter().map(LostDocument::from).collect();
        RestoredDocument {
            name,
            target,
            size,
            fetched,
            written,
            skipped,
            zeroed,
            cut,
            tail,
            lost_bytes,
            lost,
        }
    }
}

impl From<LostRange> for LostDocument {
    fn from(range: LostRange) -> Self {
        LostDocument { offset: range.offset, length: range.len, key: range.key, reason: range.reason }
    }
}

impl RestoredDocument {
    /// What is to be known of the target beside the figures, a line each.
    fn remarks(&self) -> Vec<String> {
        let RestoredDocument { name, target, cut, tail, lost, lost_bytes, .. } = self;
        let mut lines = Vec::new();
        if *cut > 0 {
            lines.push(format!(
                "volume {name}: {target} was longer: {} ({cut} bytes) behind the volume's end were cut off",
                human::size(*cut)
            ));
        }
        if *tail > 0 {
            lines.push(format!("volume {name}: {target} is larger: {} ({tail} bytes) behind the volume's end were left as they were", human::size(*tail)));
        }
        let line = |range: &LostDocument| {
            let LostDocument { offset, length, key, reason } = range;
            format!("volume {name}: NOT restored: {length} bytes at offset {offset}: object {key}: {reason}")
        };
        lines.extend(lost.iter().take(LOST_LINES_MAX).map(line));
        if *lost_bytes > 0 {
            let more = match lost.len().saturating_sub(LOST_LINES_MAX) {
                0 => String::new(),
                more => format!(", {more} ranges more than are shown; --json lists them"),
            };
            lines.push(format!(
                "volume {name}: {} ({lost_bytes} bytes) NOT restored{more}",
                human::size(*lost_bytes)
            ));
        }
        lines
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
            volume.remarks().iter().for_each(|line| text.line(line));
        }
        text.line(format_args!("took {}", human::duration(self.duration_ms)));
        text
    }
}
