//! Names volumes: the most lasting name first, and no two volumes by the same.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;

use crate::device::Device;
use crate::id::{IdSource, VolumeId};
use crate::kubelet::Claim;
use crate::stable_names::by_id_name;
use crate::volume::Volume;

/// The names of a device, the most lasting first.
pub(super) fn of_device(device: &Device, claims: &[Claim]) -> Vec<VolumeId> {
    let mut ids = of_claims(claims);
    let mapped = device.mapper.as_ref().filter(|mapper| !mapper.uuid.is_empty());
    if let Some(mapper) = mapped {
        // The name that udev makes of it, also where udev's links cannot be seen.
        ids.push(VolumeId::new(IdSource::DiskById, format!("dm-uuid-{}", mapper.uuid).as_bytes()));
    }
    let stable = device.stable_names.iter().filter_map(|link| by_id_name(link));
    ids.extend(stable.map(|name| VolumeId::new(IdSource::DiskById, name.as_bytes())));
    ids.push(VolumeId::new(IdSource::KernelName, device.name.as_bytes()));
    without_repeats(ids)
}

/// The names of the persistent volumes that pods know a volume by.
pub(super) fn of_claims(claims: &[Claim]) -> Vec<VolumeId> {
    let names = claims.iter().filter_map(|claim| claim.persistent_volume.as_ref());
    let mut ids: Vec<VolumeId> =
        names.map(|name| VolumeId::new(IdSource::PersistentVolume, name.as_bytes())).collect();
    ids.sort();
    without_repeats(ids)
}

/// Gives each volume the first of its names that no volume before it has, and sorts the volumes by it.
pub(super) fn settle(volumes: &mut [Volume]) {
    volumes.sort_by(|left, right| left.id.cmp(&right.id).then_with(|| left.path.cmp(&right.path)));
    let mut taken = HashSet::new();
    for volume in volumes.iter_mut() {
        if taken.insert(volume.id.clone()) {
            continue;
        }
        if let Some(place) = volume.aliases.iter().position(|alias| !taken.contains(alias)) {
            std::mem::swap(&mut volume.id, &mut volume.aliases[place]);
            taken.insert(volume.id.clone());
        }
    }
    volumes.sort_by(|left, right| left.id.cmp(&right.id));
}

fn without_repeats(ids: Vec<VolumeId>) -> Vec<VolumeId> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}
