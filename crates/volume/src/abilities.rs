//! What can be done with a volume now, what its engine could do, and why the two differ.
//!
//! This table must never promise what the program does not do: `now` is about this version, `engine_has` about the
//! engine, and the text is for the person who wonders.

use std::fmt;

use crate::engine::Engine;
use crate::volume::VolumeKind;

/// How a volume is held still while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotMethod {
    /// Not at all.
    None,
    /// LVM, thin or thick.
    Lvm,
    /// ZFS.
    Zfs,
    /// The CSI driver, asked through the cluster.
    Csi,
    /// The engine's own interface.
    Engine,
    /// A reflink of the file, on XFS and btrfs.
    Reflink,
}

/// How the blocks that changed since the last backup are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangedBlocks {
    /// Not at all.
    None,
    /// All of the volume is read, and hashes are compared.
    Hash,
    /// All but the holes of a file is read, and hashes are compared.
    HashOfData,
    /// The file system's map of extents is compared.
    Fiemap,
    /// The metadata of the thin pool is compared.
    ThinMetadata,
    /// ZFS sends what changed.
    ZfsSend,
    /// The layers of the engine's replica are looked through.
    Layers,
    /// The CSI driver lists them (CSI SnapshotMetadata).
    CsiMetadata,
    /// Size and times of files are compared.
    FileTimes,
}

/// One ability: now, and at best.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ability<T> {
    /// What this version does.
    pub now: T,
    /// The best that the engine offers.
    pub engine_has: T,
    /// Why `now` is not better, and what helps.
    pub not_better_because: String,
}

/// What can be done with a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// How it is held still.
    pub snapshot: Ability<SnapshotMethod>,
    /// How changed blocks are found. A list of changes from outside can be given for every device and image.
    pub changed_blocks: Ability<ChangedBlocks>,
}

impl Abilities {
    pub(crate) fn of(engine: Engine, kind: VolumeKind) -> Self {
        let (snapshot, why_no_snapshot) = snapshot(engine);
        let (changed_blocks, why_no_list) = changed_blocks(engine);
        let now = match kind {
            VolumeKind::Device => ChangedBlocks::Hash,
            VolumeKind::Image => ChangedBlocks::HashOfData,
            VolumeKind::Directory => ChangedBlocks::None,
        };
        Self {
            snapshot: Ability {
                now: SnapshotMethod::None,
                engine_has: snapshot,
                not_better_because: why_no_snapshot.to_owned(),
            },
            changed_blocks: Ability {
                now,
                engine_has: changed_blocks,
                not_better_because: why_no_list.to_owned(),
            },
        }
    }
}

fn snapshot(engine: Engine) -> (SnapshotMethod, &'static str) {
    match engine {
        Engine::Lvm => (
            SnapshotMethod::Lvm,
            "this version takes no LVM snapshots; take one with lvcreate -s and back up its device",
        ),
        Engine::Zfs => (
            SnapshotMethod::Zfs,
            "this version takes no ZFS snapshots; take one with zfs snapshot and back up its device (snapdev=visible)",
        ),
        Engine::Longhorn | Engine::Mayastor | Engine::CStor | Engine::CsiOther => (
            SnapshotMethod::Csi,
            "this version asks no CSI driver for snapshots; make a VolumeSnapshot and back up a volume made from it",
        ),
        Engine::Jiva => (
            SnapshotMethod::Engine,
            "this version does not speak to Jiva; make a VolumeSnapshot and back up a volume made from it",
        ),
        Engine::ImageFile => (
            SnapshotMethod::Reflink,
            "this version makes no reflinks; copy the file with cp --reflink on XFS or btrfs and back up the copy",
        ),
        Engine::LocalPvHostpath => (
            SnapshotMethod::None,
            "a directory has no snapshots of its own; those of the file system below it are not used by this version",
        ),
        Engine::RawDevice | Engine::LocalPvDevice => (
            SnapshotMethod::None,
            "a plain device has no snapshots; stop its user for the time of the backup, or put LVM below it",
        ),
        Engine::Unknown => (SnapshotMethod::None, "it is not known what keeps this volume"),
    }
}

fn changed_blocks(engine: Engine) -> (ChangedBlocks, &'static str) {
    match engine {
        Engine::Lvm => (
            ChangedBlocks::ThinMetadata,
            "this version does not read the metadata of thin pools, and thick volumes have none",
        ),
        Engine::Zfs => (ChangedBlocks::ZfsSend, "this version does not read streams of zfs send"),
        Engine::CStor => (ChangedBlocks::ZfsSend, "this version does not read streams of cStor"),
        Engine::Longhorn | Engine::Jiva => {
            (ChangedBlocks::Layers, "this version does not look through the layers of replicas")
        }
        Engine::CsiOther => (
            ChangedBlocks::CsiMetadata,
            "this version does not ask CSI drivers for changed blocks, and few of them could tell",
        ),
        Engine::Mayastor => (ChangedBlocks::Hash, "Mayastor tells nobody which blocks changed"),
        Engine::ImageFile => (
            ChangedBlocks::Fiemap,
            "this version does not compare maps of extents, which takes a reflink as base",
        ),
        Engine::RawDevice | Engine::LocalPvDevice => (
            ChangedBlocks::Hash,
            "a plain device keeps no record of its writes; whoever does can give a list of changes",
        ),
        Engine::LocalPvHostpath => (ChangedBlocks::FileTimes, "this version does not back up directories"),
        Engine::Unknown => (ChangedBlocks::None, "it is not known what keeps this volume"),
    }
}

impl fmt::Display for SnapshotMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Lvm => "lvm",
            Self::Zfs => "zfs",
            Self::Csi => "csi",
            Self::Engine => "engine",
            Self::Reflink => "reflink",
        })
    }
}

impl fmt::Display for ChangedBlocks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Hash => "hash",
            Self::HashOfData => "hash-of-data",
            Self::Fiemap => "fiemap",
            Self::ThinMetadata => "thin-metadata",
            Self::ZfsSend => "zfs-send",
            Self::Layers => "layers",
            Self::CsiMetadata => "csi-metadata",
            Self::FileTimes => "file-times",
        })
    }
}
