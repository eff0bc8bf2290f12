//! The record of a volume that was backed up: what it is, what it builds on, and what it took. Pure.

use coffer_blockio::SourceKind;
use coffer_format::{LineageEntry, Manifest, RootRef, VolumeKind, VolumeRecord, VolumeState};

use super::point::PointReference;
use super::volume::VolumeDone;
use super::volume_context::VolumeContext;
use super::volumes_done::failed_record;

/// The record of a volume that is in the point.
pub(super) fn volume_record(
    volume: &VolumeContext<'_>,
    reference: &PointReference,
    parent: Option<&Manifest>,
    type_reason: String,
    done: &VolumeDone,
) -> VolumeRecord {
    let kind = match volume.source.kind() {
        SourceKind::Device => VolumeKind::Device,
        SourceKind::Image => VolumeKind::Image,
        SourceKind::Resources => VolumeKind::Resources,
    };
    VolumeRecord {
        kind,
        state: VolumeState::Available,
        point_type: done.point_type,
        type_reason,
        size: done.size,
        block_size: volume.block_size,
        lineage: lineage(volume, reference, parent, done),
        root: Some(RootRef {
            offset: done.map.root_offset,
            length: done.map.root_len,
            digest: done.map.root_digest,
        }),
        read: done.read,
        changed: done.changed,
        blocks_changed: done.blocks_changed,
        stored: done.stored,
        metadata: done.metadata,
        changes: volume.reading.changes.clone(),
        sampled_blocks: volume.reading.sampled_blocks,
        sample_mismatches: volume.reading.sample_mismatches,
        error: None,
        ..failed_record(volume.repository, reference, &volume.path.volume, String::new())
    }
}

/// The base's lineage, the incomplete runs whose packs were reused, and the point itself.
fn lineage(
    volume: &VolumeContext<'_>,
    reference: &PointReference,
    parent: Option<&Manifest>,
    done: &VolumeDone,
) -> Vec<LineageEntry> {
    let record = parent
        .filter(|_| !done.base_lineage.is_empty())
        .and_then(|parent| parent.volume_records().find(|record| record.name == volume.path.volume));
    let mut lineage = record.map(|record| record.lineage.clone()).unwrap_or_default();
    lineage.extend(done.taken.iter().map(|(run, taken)| LineageEntry {
        point: *run,
        packs: taken.packs.end(),
        bytes: taken.bytes,
        taken: Some(taken.packs.clone()),
    }));
    lineage.push(LineageEntry {
        point: reference.point,
        packs: done.map.packs,
        bytes: done.stored,
        taken: None,
    });
    lineage
}
