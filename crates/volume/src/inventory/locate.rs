//! Finds the device or the directory behind what a pod uses.
//!
//! It reads links itself, a few at most, and only below `/dev` and kubelet's directory.

use std::path::{Path, PathBuf};

use super::survey::Survey;
use crate::device_number::DeviceNumber;
use crate::kubelet::{Claim, ClaimMode};
use crate::mounts::Mount;
use crate::reader::Reader;
use crate::roots::Roots;

/// A pod's link leads to the driver's node, or to a stable name, which is a link to the device.
const LINKS_MAX: usize = 8;

/// What is behind a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Behind {
    /// A whole device, by the kernel's name.
    Device(String),
    /// A directory: of a part of a file system, or of one without a device of its own.
    Directory(Spot),
    /// Not to be seen from here.
    Unseen(&'static str),
}

/// A directory by what it is, not by what it is called: two mounts of one directory have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    pub(super) number: DeviceNumber,
    /// The path inside of the file system.
    pub(super) inner: PathBuf,
}

impl Spot {
    /// The directory at `path` (in the words of the mount table), which lies on `mount`.
    pub(super) fn on(mount: &Mount, path: &Path) -> Self {
        let rest = path.strip_prefix(&mount.point).unwrap_or(path);
        let inner = mount.root.join(rest).components().collect();
        Self { number: mount.number, inner }
    }
}

pub(super) fn locate(roots: &Roots, reader: &Reader<'_>, survey: &Survey, claim: &Claim) -> Behind {
    match claim.mode {
        ClaimMode::Block => locate_block(roots, reader, survey, claim),
        ClaimMode::FileSystem => locate_file_system(roots, survey, claim),
    }
}

fn locate_block(roots: &Roots, reader: &Reader<'_>, survey: &Survey, claim: &Claim) -> Behind {
    let places = claim.device_path.iter().chain(std::iter::once(&claim.path));
    let found = places.into_iter().find_map(|place| resolve(roots, reader, survey, place.clone()));
    found.map_or(
        Behind::Unseen("no device is seen behind it; mount /dev and kubelet's directory here"),
        Behind::Device,
    )
}

fn locate_file_system(roots: &Roots, survey: &Survey, claim: &Claim) -> Behind {
    let point = roots.in_mount_table(&claim.path);
    let Some(mount) = survey.mounts.at(&point) else {
        return Behind::Unseen(
            "nothing is seen to be mounted there; mount kubelet's directory here with mountPropagation: HostToContainer",
        );
    };
    match survey.by_number.get(&mount.number) {
        Some(name) if mount.is_whole_device() => Behind::Device(name.clone()),
        _ => Behind::Directory(Spot { number: mount.number, inner: mount.root.clone() }),
    }
}

/// Follows links to a device; `None` if they lead anywhere else.
fn resolve(roots: &Roots, reader: &Reader<'_>, survey: &Survey, place: PathBuf) -> Option<String> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let mut place = place;
    for _ in 0..LINKS_MAX {
        let Ok(found) = reader.look(&place) else { break };
        if found.file_type().is_block_device() {
            return survey.by_number.get(&DeviceNumber::of_raw(found.rdev())).cloned();
        }
        if !found.is_symlink() {
            return None;
        }
        let target = reader.link(&place).ok()?;
        place = if target.is_absolute() {
            roots.to_ours(&target)?
        } else {
            roots.to_ours(&place.parent()?.join(target))?
        };
    }
    // Where /dev is not mounted here, a name directly below it still says which device is meant.
    survey.device_at(roots, &place).map(|device| device.name.clone())
}
