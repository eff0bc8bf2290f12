//! What kind of thing a volume is, and what is on it.

use std::fmt;
use std::path::PathBuf;

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
