//! What a backup reports: figures of a manifest. Pure, but for the store's count of requests.

use coffer_format::{Manifest, VolumeRecord};

use super::request::{BackupReport, VolumeReport};
use crate::Repository;

/// What was written, and what needed not be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// Stored bytes of packs reused.
    pub(super) resumed: u64,
}

pub(super) fn report(repository: &Repository, manifest: &Manifest, written: &Written) -> BackupReport {
    let volumes = manifest.volumes.iter().map(|volume| volume_report(&volume.payload)).collect();
    BackupReport {
        point: manifest.point,
        plan: manifest.plan_id(),
        state: manifest.state,
        kind: manifest.point_type,
        reason: manifest.reason.0,
        time: manifest.time,
        chain: manifest.chain,
        sequence: manifest.sequence,
        parent: manifest.parent,
        volumes,
        resources: manifest.resources.clone(),
        objects_written: written.objects,
        bytes_written: written.bytes,
        requests: repository.store().requests(),
        resumed_bytes: written.resumed,
        repeated: false,
    }
}

fn volume_report(record: &VolumeRecord) -> VolumeReport {
    VolumeReport {
        name: record.name.clone(),
        kind: record.kind,
        point_type: record.point_type,
        type_reason: record.type_reason.clone(),
        size: record.size,
        read: record.read,
        changed: record.changed,
        stored: record.stored,
        blocks_changed: record.blocks_changed,
        changes: record.changes.clone(),
        sampled_blocks: record.sampled_blocks,
        sample_mismatches: record.sample_mismatches,
        error: record.error.clone(),
        warnings: record.warnings.clone(),
    }
}
