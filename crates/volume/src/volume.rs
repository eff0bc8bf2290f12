//! A volume of this node: what a listing says about it.

use std::fmt;
use std::path::PathBuf;

use crate::abilities::Abilities;
use crate::device::Device;
use crate::engine::Engine;
use crate::id::VolumeId;
use crate::kubelet::Claim;

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VolumeKind {
    /// A block device.
    Device,
    /// A regular file that is a disk image.
    Image,
    /// A directory of a file system.
    Directory,
}

impl fmt::Display for VolumeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Device => "device",
            Self::Image => "image",
            Self::Directory => "directory",
        })
    }
}

/// The file system on a mounted device, or that a directory or image lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// `ext4`, `xfs`, …
    pub name: String,
    /// Its size in bytes, for directories; a network file system is not asked.
    pub size_bytes: Option<u64>,
    /// Room for this user in bytes, for directories.
    pub free_bytes: Option<u64>,
    /// Whether it is mounted read-only there.
    pub is_read_only: bool,
}

/// Who uses a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// A file system on it is mounted.
    Mounted {
        /// Where, as the mount table says.
        point: PathBuf,
        /// Which file system.
        file_system: String,
        /// Whether it is mounted read-only.
        is_read_only: bool,
        /// Which directory of the file system is mounted there.
        root: PathBuf,
    },
    /// Another device is on top of it.
    Held {
        /// The kernel's name of that device.
        by: String,
    },
    /// One of its partitions is in use.
    Partition {
        /// The kernel's name of the partition.
        name: String,
    },
    /// It is swap.
    Swap,
    /// A pod has it as a block device, or as what cannot be seen from here.
    Pod {
        /// `namespace/name` of the pod, or its uid.
        pod: String,
    },
    /// A loop device shows it as a device.
    Loop {
        /// The kernel's name of the loop device.
        name: String,
    },
}

impl fmt::Display for Use {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted { point, file_system, is_read_only, root } => {
                let how = if *is_read_only { ", read-only" } else { "" };
                write!(formatter, "mounted on {} ({file_system}{how})", point.display())?;
                match root.to_str() {
                    Some("/") => Ok(()),
                    _ => write!(formatter, ", its directory {}", root.display()),
                }
            }
            Self::Held { by } => write!(formatter, "held by {by}"),
            Self::Partition { name } => write!(formatter, "partition {name} is in use"),
            Self::Swap => formatter.write_str("in use as swap"),
            Self::Pod { pod } => write!(formatter, "used by pod {pod}"),
            Self::Loop { name } => write!(formatter, "shown as {name}"),
        }
    }
}

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
