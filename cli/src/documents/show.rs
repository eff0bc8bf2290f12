//! The result of `show`: one point in full.

use std::collections::BTreeMap;

use coffer_format::{
    Id, Label, LineageEntry, Manifest, PointState, PointType, Timestamp, VolumeKind, VolumeName,
    VolumeRecord, VolumeState,
};
use serde::Serialize;

use super::resources::PointResource;
use crate::human;
use crate::output::Document;
use crate::table::Table;
use crate::text::Text;

/// One point.
#[derive(Debug, Serialize)]
pub(crate) struct ShowDocument {
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
    started: Timestamp,
    completed: Timestamp,
    chain: Id,
    chain_points: Vec<Id>,
    sequence: u64,
    parent: Option<Id>,
    size: u64,
    changed: u64,
    stored: u64,
    reused_runs: Vec<Id>,
    idempotency_key: Option<String>,
    description: String,
    tags: BTreeMap<String, String>,
    writer: String,
    signed: bool,
    #[serde(skip)]
    trust: Trust,
    volumes: Vec<ShowVolume>,
    resources: Vec<PointResource>,
}

/// What of a manifest's seal was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Its signature.
    Signature,
    /// Its digest, for want of a key.
    Digest,
    /// Its digest; nothing is signed in a repository without encryption.
    Unencrypted,
}

#[derive(Debug, Serialize)]
struct ShowVolume {
    name: VolumeName,
    kind: VolumeKind,
    state: VolumeState,
    #[serde(rename = "type")]
    point_type: PointType,
    type_reason: String,
    size: u64,
    block_size: u32,
    read: u64,
    changed: u64,
    blocks_changed: u64,
    stored: u64,
    metadata: u64,
    changes: String,
    sampled_blocks: u64,
    sample_mismatches: u64,
    lineage: Vec<LineageEntry>,
    error: Option<String>,
    warnings: Vec<String>,
}

impl ShowDocument {
    /// A manifest, the visible points of its chain, and what of its seal was checked.
    pub(crate) fn new(manifest: Manifest, chain_points: Vec<Id>, trust: Trust) -> Self {
        ShowDocument {
            point: manifest.point,
            team: manifest.team,
            cluster: manifest.cluster,
            namespace: manifest.namespace,
            plan: manifest.plan,
            state: manifest.state,
            point_type: manifest.point_type,
            type_reason: manifest.reason.0.text(),
            time: manifest.time,
            started: manifest.started,
            completed: manifest.completed,
            chain: manifest.chain,
            chain_points,
            sequence: manifest.sequence,
            parent: manifest.parent,
            size: manifest.size,
            changed: manifest.changed,
            stored: manifest.stored,
            reused_runs: manifest.reused_runs,
            idempotency_key: manifest.idempotency_key,
            description: manifest.description,
            tags: manifest.tags,
            writer: manifest.writer,
            signed: trust == Trust::Signature,
            trust,
            volumes: manifest.volumes.into_iter().map(|volume| volume.payload.into()).collect(),
            resources: manifest.resources.into_iter().map(PointResource::from).collect(),
        }
    }
}

impl From<VolumeRecord> for ShowVolume {
    fn from(record: VolumeRecord) -> Self {
        ShowVolume {
            name: record.name,
            kind: record.kind,
            state: record.state,
            point_type: record.point_type,
            type_reason: record.type_reason,
            size: record.size,
            block_size: record.block_size.bytes(),
            read: record.read,
            changed: record.changed,
            blocks_changed: record.blocks_changed,
            stored: record.stored,
            metadata: record.metadata,
            changes: record.changes.to_string(),
            sampled_blocks: record.sampled_blocks,
            sample_mismatches: record.sample_mismatches,
            lineage: record.lineage,
            error: record.error,
            warnings: record.warnings,
        }
    }
}

impl Document for ShowDocument {
    fn text(&self) -> Text {
        let parent = self.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string());
        let checked = match self.trust {
            Trust::Signature => "signature checked",
            Trust::Digest => "signature not checked, as no key of its team was given",
            Trust::Unencrypted => "not signed, as the repository is not encrypted",
        };
        let plan =
            [&self.team, &self.cluster, &self.namespace, &self.plan].map(ToString::to_string).join("/");
        let points = human::count(self.chain_points.len() as u64, "point");
        let mut text = Text::of(format_args!("point      {}", self.point));
        text.line(format_args!("plan       {plan}"));
        text.line(format_args!("state      {}", self.state));
        text.line(format_args!("type       {}: {}", self.point_type, self.type_reason));
        text.line(format_args!("time       {}", self.time));
        text.line(format_args!("completed  {}", self.completed));
        text.line(format_args!("parent     {parent}"));
        text.line(format_args!("chain      {} ({points})", self.chain));
        text.line(format_args!("writer     {} ({checked})", self.writer));
        if !self.description.is_empty() {
            text.line(format_args!("about      {}", self.description));
        }
        for (key, value) in &self.tags {
            text.line(format_args!("tag        {key}={value}"));
        }
        text.line("");
        text.add(self.volume_table());
        for volume in &self.volumes {
            if let Some(error) = &volume.error {
                text.line(format_args!("volume {} failed: {error}", volume.name));
            }
            for warning in &volume.warnings {
                text.line(format_args!("volume {}: warning: {warning}", volume.name));
            }
        }
        text
    }
}

impl ShowDocument {
    fn volume_table(&self) -> Text {
        let mut table = Table::new(&[
            "VOLUME", "KIND", "TYPE", ">SIZE", ">BLOCK", ">CHANGED", ">STORED", "CHANGES", "WHY",
        ]);
        for volume in self.volumes.iter().filter(|volume| volume.error.is_none()) {
            table.row([
                volume.name.to_string(),
                volume.kind.to_string(),
                volume.point_type.to_string(),
                human::size(volume.size),
                human::size(volume.block_size.into()),
                human::size(volume.changed),
                human::size(volume.stored),
                volume.changes.clone(),
                volume.type_reason.clone(),
            ]);
        }
        table.text()
    }
}
