//! The result of `backup`.

use std::collections::BTreeMap;

use coffer_blockio::ReadEngine;
use coffer_engine::backup::{BackupReport, VolumeReport};
use coffer_format::{Id, Label, PointState, PointType, Timestamp, VolumeName};
use coffer_store::RequestCounts;
use serde::Serialize;

use super::requests::Requests;
use super::resources::PointResource;
use crate::human;
use crate::output::Document;
use crate::text::Text;

/// A new point.
#[derive(Debug, Serialize)]
pub(crate) struct BackupDocument {
    point: Id,
    team: Label,
    cluster: Label,
    namespace: Label,
    plan: Label,
    state: PointState,
    #[serde(rename = "type")]
    point_type: PointType,
    type_reason: String,
    time: Timestamp,
    chain: Id,
    sequence: u64,
    parent: Option<Id>,
    volumes: Vec<VolumeDocument>,
    resources: Vec<PointResource>,
    objects_written: u64,
    bytes_written: u64,
    requests: Requests,
    duration_ms: u64,
    resumed_bytes: u64,
    repeated: bool,
}

#[derive(Debug, Serialize)]
struct VolumeDocument {
    name: VolumeName,
    kind: String,
    #[serde(rename = "type")]
    point_type: PointType,
    type_reason: String,
    size: u64,
    read: u64,
    changed: u64,
    stored: u64,
    blocks_changed: u64,
    changes: String,
    io: Option<String>,
    sampled_blocks: u64,
    sample_mismatches: u64,
    error: Option<String>,
    warnings: Vec<String>,
}

impl BackupDocument {
    /// The report of the engine; `requests` and `duration_ms` are those of the whole command. `engines` tells what read
    /// the volumes.
    pub(crate) fn new(
        report: BackupReport,
        engines: &BTreeMap<VolumeName, ReadEngine>,
        requests: RequestCounts,
        duration_ms: u64,
    ) -> Self {
        let volume = |volume: VolumeReport| {
            // A point of an earlier run was read by that run.
            let engine = if report.repeated { None } else { engines.get(&volume.name) };
            VolumeDocument { io: engine.map(ReadEngine::to_string), ..volume.into() }
        };
        let volumes = report.volumes.into_iter().map(volume).collect();
        BackupDocument {
            point: report.point,
            team: report.plan.team,
            cluster: report.plan.cluster,
            namespace: report.plan.namespace,
            plan: report.plan.plan,
            state: report.state,
            point_type: report.kind,
            type_reason: report.reason.text(),
            time: report.time,
            chain: report.chain,
            sequence: report.sequence,
            parent: report.parent,
            volumes,
            resources: report.resources.into_iter().map(PointResource::from).collect(),
            objects_written: report.objects_written,
            bytes_written: report.bytes_written,
            requests: requests.into(),
            duration_ms,
            resumed_bytes: report.resumed_bytes,
            repeated: report.repeated,
        }
    }

    /// Volumes and resources that are not in the point, with the reasons.
    pub(crate) fn failed(&self) -> Vec<String> {
        let failed = self.volumes.iter().filter_map(|volume| Some((volume, volume.error.as_ref()?)));
        let volumes = failed.map(|(volume, error)| format!("{} ({error})", volume.name));
        volumes.chain(self.resources.iter().filter_map(PointResource::failed)).collect()
    }
}

impl From<VolumeReport> for VolumeDocument {
    fn from(report: VolumeReport) -> Self {
        VolumeDocument {
            name: report.name,
            kind: report.kind.to_string(),
            point_type: report.point_type,
            type_reason: report.type_reason,
            size: report.size,
            read: report.read,
            changed: report.changed,
            stored: report.stored,
            blocks_changed: report.blocks_changed,
            changes: report.changes.to_string(),
            io: None,
            sampled_blocks: report.sampled_blocks,
            sample_mismatches: report.sample_mismatches,
            error: report.error,
            warnings: report.warnings,
        }
    }
}

impl Document for BackupDocument {
    fn text(&self) -> Text {
        let again = if self.repeated { ", made by an earlier run with the same idempotency key" } else { "" };
        let mut text = Text::of(format_args!(
            "point {} ({}, {}: {}){again}",
            self.point, self.state, self.point_type, self.type_reason
        ));
        for volume in &self.volumes {
            match &volume.error {
                Some(error) => text.line(format_args!("volume {}: failed: {error}", volume.name)),
                None => text.line(format_args!(
                    "volume {}: {}, {} read, {} changed, {} stored",
                    volume.name,
                    human::size(volume.size),
                    human::size(volume.read),
                    human::size(volume.changed),
                    human::size(volume.stored)
                )),
            }
            for warning in &volume.warnings {
                text.line(format_args!("volume {}: warning: {warning}", volume.name));
            }
        }
        self.resources.iter().for_each(|resource| resource.lines(&mut text));
        if self.resumed_bytes > 0 {
            text.line(format_args!("{} taken over from unfinished runs", human::size(self.resumed_bytes)));
        }
        text.line(format_args!(
            "{} with {} written in {}",
            human::count(self.objects_written, "object"),
            human::size(self.bytes_written),
            human::duration(self.duration_ms)
        ));
        text
    }
}
