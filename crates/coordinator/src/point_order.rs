//! A point that is to be made through agents, and what came of it.

use coffer_engine::Resources;
use coffer_engine::backup::{BackupReport, PointRequest, VolumeSource};
use coffer_format::VolumeName;
use coffer_proto::agent::v1;
use coffer_store::RequestCounts;

/// A backup through agents.
pub struct PointOrder {
    /// The point; its key is the caller's, if there is one.
    pub point: PointRequest,
    /// Key of the operations: the caller's, or one that was made.
    pub key: String,
    /// Volumes of each agent that has some.
    pub parts: Vec<Part>,
    /// What opens the repository at the agents.
    pub repository: v1::Repository,
    /// `lz4`, `zstd:N`, `none`.
    pub compression: String,
    /// `auto`, `uring`, `pread`.
    pub read_engine: String,
    /// Volumes that the coordinator has itself, such as an application's objects; read once its agents are done.
    pub own: Option<OwnVolumes>,
}

/// Volumes that the coordinator backs up itself.
pub struct OwnVolumes {
    /// The volumes.
    pub volumes: Vec<VolumeSource>,
    /// Memory for them.
    pub resources: Resources,
}

/// Volumes of one agent.
pub struct Part {
    /// Which agent.
    pub agent: usize,
    /// Their names in the point.
    pub names: Vec<VolumeName>,
    /// What the agent is asked for.
    pub volumes: Vec<v1::BackupVolume>,
}

/// What came of it.
pub struct PointMade {
    /// The point.
    pub report: BackupReport,
    /// Requests of all agents.
    pub requests: RequestCounts,
}
