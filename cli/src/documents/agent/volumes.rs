//! The result of `volumes`.

use coffer_coordinator::plain;
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::VolumeKind;
use serde::Serialize;

use super::{cell, plain_all, some};
use crate::human;
use crate::output::Document;
use crate::table::Table;
use crate::text::Text;

/// What can be protected, of all agents.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct VolumesDocument(pub(crate) Vec<VolumeRow>);

/// A volume of a node.
#[derive(Debug, Serialize)]
pub(crate) struct VolumeRow {
    node: String,
    id: String,
    kind: &'static str,
    path: String,
    names: Vec<String>,
    size: u64,
    logical_block_size: u32,
    physical_block_size: u32,
    read_only: bool,
    filesystem: Option<String>,
    mounts: Vec<String>,
    holders: Vec<String>,
    engine: String,
    snapshots: String,
    changed_blocks: Vec<String>,
    not_better_because: Vec<String>,
    persistent_volume: Option<String>,
    plugin: Option<String>,
    volume_handle: Option<String>,
    pods: Vec<PodRow>,
    team: Option<String>,
    unusable_because: Option<String>,
}

/// A pod that uses a volume.
#[derive(Debug, Serialize)]
struct PodRow {
    uid: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl VolumeRow {
    /// What the agent of `node` told.
    pub(crate) fn new(node: &str, volume: &v1::Volume) -> VolumeRow {
        let kubernetes = volume.kubernetes.clone().unwrap_or_default();
        let pod = |pod: &v1::Pod| PodRow {
            uid: plain(&pod.uid),
            namespace: some(&pod.namespace),
            name: some(&pod.name),
        };
        VolumeRow {
            node: node.to_owned(),
            id: plain(&volume.id),
            kind: kind(volume.kind()),
            path: plain(&volume.path),
            names: plain_all(&volume.names),
            size: volume.size_bytes,
            logical_block_size: volume.logical_block_bytes,
            physical_block_size: volume.physical_block_bytes,
            read_only: volume.read_only,
            filesystem: some(&volume.filesystem),
            mounts: plain_all(&volume.mounts),
            holders: plain_all(&volume.holders),
            engine: plain(&volume.engine),
            snapshots: plain(&volume.snapshots),
            changed_blocks: plain_all(&volume.changed_blocks),
            not_better_because: plain_all(&volume.not_better_because),
            persistent_volume: some(&kubernetes.persistent_volume),
            plugin: some(&kubernetes.plugin),
            volume_handle: some(&kubernetes.volume_handle),
            pods: kubernetes.pods.iter().map(pod).collect(),
            team: some(&volume.team),
            unusable_because: some(&volume.unusable_because),
        }
    }

    /// Who uses it: pods, or else where it is mounted.
    fn used_by(&self) -> String {
        let pods = self.pods.iter().map(|pod| match (&pod.namespace, &pod.name) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            _ => pod.uid.clone(),
        });
        let pods: Vec<String> = pods.collect();
        cell(&if pods.is_empty() { self.mounts.join(" ") } else { pods.join(" ") })
    }
}

fn kind(kind: VolumeKind) -> &'static str {
    match kind {
        VolumeKind::Device => "device",
        VolumeKind::Image => "image",
        VolumeKind::Directory => "directory",
        VolumeKind::Unspecified => "unknown",
    }
}

impl Document for VolumesDocument {
    fn text(&self) -> Text {
        let mut table =
            Table::new(&["NODE", "ID", "KIND", ">SIZE", "FS", "ENGINE", "CHANGES", "PV", "USED BY", "NOTE"]);
        for row in &self.0 {
            table.row([
                row.node.clone(),
                cell(&row.id),
                row.kind.to_owned(),
                if row.size > 0 { human::size(row.size) } else { "-".into() },
                row.filesystem.clone().unwrap_or_else(|| "-".into()),
                cell(&row.engine),
                cell(row.changed_blocks.first().map_or("", String::as_str)),
                row.persistent_volume.clone().unwrap_or_else(|| "-".into()),
                row.used_by(),
                row.unusable_because
                    .as_ref()
                    .map_or_else(String::new, |reason| format!("cannot be backed up: {reason}")),
            ]);
        }
        table.text()
    }
}
