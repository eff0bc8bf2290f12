//! A volume of this node: what a listing says about it.

use std::path::PathBuf;

use crate::abilities::Abilities;
use crate::device::Device;
use crate::engine::Engine;
use crate::id::VolumeId;
pub use crate::kind::{FileSystem, Use, VolumeKind};
use crate::kubelet::Claim;

/// What a backup of a volume as it stands can be worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consistency {
    /// Nobody is seen to use it: what is read is what is there.
    Quiet,
    /// Somebody uses it and it is read live: as after a power cut at best, and blocks written meanwhile may be of
    /// different times.
    CrashAtBest,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// How to name it.
    pub id: VolumeId,
    /// Other names that mean it, now.
    pub aliases: Vec<VolumeId>,
    /// What it is.
    pub kind: VolumeKind,
    /// Where it is, as we see it; to be opened through the gate.
    pub path: PathBuf,
    /// The size of a device or image in bytes; `None` for a directory, whose size only a walk would tell.
    pub size_bytes: Option<u64>,
    /// The device, if it is one; for a directory or image the device below its file system, where there is one.
    pub device: Option<Device>,
    /// The file system on it, or that it lies on, as far as it is mounted.
    pub file_system: Option<FileSystem>,
    /// Which pods use it.
    pub claims: Vec<Claim>,
    /// What keeps it.
    pub engine: Engine,
    /// What can be done with it.
    pub abilities: Abilities,
    /// Who uses it.
    pub uses: Vec<Use>,
    /// Why it cannot be backed up at all, and what helps.
    pub obstacle: Option<String>,
    /// What could not be found out, in words.
    pub problems: Vec<String>,
}

impl Volume {
    /// Whether anybody is seen to use it.
    pub fn is_in_use(&self) -> bool {
        !self.uses.is_empty()
    }

    /// What a backup of it as it stands can be worth.
    pub fn consistency(&self) -> Consistency {
        let writes = |usage: &Use| !matches!(usage, Use::Mounted { is_read_only: true, .. });
        if self.uses.iter().any(writes) { Consistency::CrashAtBest } else { Consistency::Quiet }
    }
}
