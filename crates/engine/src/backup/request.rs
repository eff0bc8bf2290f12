//! What a backup is asked to do, and what it reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_blockio::BlockSource;
use coffer_format::{
    BlockSize, Compression, Id, PlanId, PointState, PointType, Reason, ResourceRecord, Timestamp, VolumeKind,
    VolumeName,
};
use coffer_store::RequestCounts;

use super::changed_ranges::ChangedRanges;
use super::choose::TypeWish;

/// One volume to back up.
pub struct VolumeSource {
    /// Its name in the point.
    pub name: VolumeName,
    /// Where its blocks come from; an error makes the volume fail and the point partial.
    pub source: Result<Box<dyn BlockSource>, crate::EngineError>,
}

/// Where knowledge about unchanged blocks comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChangeSource {
    /// Holes where the source knows them, hashes for the rest.
    #[default]
    Auto,
    /// Every block is read.
    Hash,
    /// The file system's allocation; refused where the source knows no holes.
    Fiemap,
}

/// What a change tracker of the user's own says, for all volumes of a run or some.
#[derive(Debug, Clone)]
pub struct ChangeLists {
    /// The lists hold every change since this point. It must be the one that the run builds on.
    pub base: Id,
    /// How many blocks of each volume that its list calls unchanged are read and compared, at most
    /// [`SAMPLE_BLOCKS_MAX`](super::SAMPLE_BLOCKS_MAX); `None`: the lesser of 1 % of them and 4,096, but at least 64.
    pub sample: Option<u32>,
    /// The lists; together they hold at most [`LIST_RANGES_MAX`](super::LIST_RANGES_MAX) ranges.
    pub volumes: BTreeMap<VolumeName, ChangedRanges>,
}

/// A backup to make.
pub struct BackupRequest {
    /// The plan that the point belongs to.
    pub plan: PlanId,
    /// The volumes, in the order of the manifest.
    pub volumes: Vec<VolumeSource>,
    /// Full, incremental or by the plan's rhythm.
    pub type_wish: TypeWish,
    /// Complete points in a chain before the next full, 1-256.
    pub full_every: u32,
    /// Where changes come from, for volumes without a list or whose list cannot be used.
    pub changes: ChangeSource,
    /// Lists of changes.
    pub lists: Option<ChangeLists>,
    /// Block size for volumes without a base; by size where `None`.
    pub block_size: Option<BlockSize>,
    /// Compression of new blocks.
    pub compression: Compression,
    /// When the source was frozen, if earlier than now.
    pub snapshot_time: Option<Timestamp>,
    /// A key that makes a repeated call return the first call's point.
    pub idempotency_key: Option<String>,
    /// Free text.
    pub description: String,
    /// Free key-value pairs.
    pub tags: BTreeMap<String, String>,
    /// Program and version, for the manifest.
    pub writer: String,
    /// Told of progress from many threads.
    pub progress: Arc<dyn Progress>,
}

/// Told how far an operation is. Calls are cheap and frequent.
pub trait Progress: Send + Sync {
    /// `volume` is about to be worked on; it has `total_bytes`.
    fn volume(&self, volume: &str, total_bytes: u64);
    /// Of the current volumes together, `done_bytes` more are done, of which `moved_bytes` were stored or fetched.
    fn advance(&self, done_bytes: u64, moved_bytes: u64);
    /// `stored_bytes` more of packs of incomplete runs were reused.
    fn resumed(&self, _stored_bytes: u64) {}
}

/// What a backup did.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// The point's id.
    pub point: Id,
    /// The plan.
    pub plan: PlanId,
    /// Whether all volumes are in it.
    pub state: PointState,
    /// Full or incremental.
    pub kind: PointType,
    /// Why.
    pub reason: Reason,
    /// The point in time that it shows.
    pub time: Timestamp,
    /// Its chain.
    pub chain: Id,
    /// Its number within the plan.
    pub sequence: u64,
    /// The point it builds on.
    pub parent: Option<Id>,
    /// Its volumes.
    pub volumes: Vec<VolumeReport>,
    /// Its resources.
    pub resources: Vec<ResourceRecord>,
    /// Objects written.
    pub objects_written: u64,
    /// Bytes of these.
    pub bytes_written: u64,
    /// Requests to the store.
    pub requests: RequestCounts,
    /// Stored bytes reused from incomplete runs.
    pub resumed_bytes: u64,
    /// Set when an earlier run with the same idempotency key had made the point.
    pub repeated: bool,
}

/// What a backup did with one volume.
#[derive(Debug, Clone)]
pub struct VolumeReport {
    /// Its name.
    pub name: VolumeName,
    /// What it is.
    pub kind: VolumeKind,
    /// Full or incremental.
    pub point_type: PointType,
    /// Why, as its record says it.
    pub type_reason: String,
    /// Size of the volume, bytes.
    pub size: u64,
    /// Bytes read from the source.
    pub read: u64,
    /// Bytes of blocks that differ from the base's.
    pub changed: u64,
    /// Bytes of objects written.
    pub stored: u64,
    /// Blocks that differ.
    pub blocks_changed: u64,
    /// Where changes came from.
    pub changes: coffer_format::ChangeSource,
    /// Blocks called unchanged that were read again.
    pub sampled_blocks: u64,
    /// Of these, blocks that had changed.
    pub sample_mismatches: u64,
    /// Why the volume is not in the point.
    pub error: Option<String>,
    /// What was odd about it.
    pub warnings: Vec<String>,
}
