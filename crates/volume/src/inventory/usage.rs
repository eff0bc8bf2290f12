//! Who uses which device: mounts, devices on top, swap, pods, loop devices, and through its partitions.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::survey::Survey;
use crate::device::Device;
use crate::kubelet::{Claim, ClaimMode};
use crate::mounts::Mount;
use crate::roots::Roots;
use crate::volume::Use;

/// The uses of each device, by the kernel's name.
pub(super) struct Usage {
    pub(super) uses: HashMap<String, Vec<Use>>,
}

impl Usage {
    pub(super) fn of(roots: &Roots, survey: &Survey, claims: &HashMap<String, Vec<Claim>>) -> Self {
        let mut usage = Self { uses: HashMap::new() };
        for device in survey.devices.values() {
            usage.add_own(device, survey);
            usage.add_claims(device, claims);
        }
        usage.add_by_path(roots, survey);
        usage.add_partitions(survey);
        usage
    }

    pub(super) fn take(&mut self, device: &Device) -> Vec<Use> {
        self.uses.remove(&device.name).unwrap_or_default()
    }

    pub(super) fn add_own(&mut self, device: &Device, survey: &Survey) {
        let mounts = survey.mounts.of_device(device.number).map(mounted);
        let holders = device.holders.iter().map(|by| Use::Held { by: by.clone() });
        let uses: Vec<Use> = mounts.chain(holders).collect();
        self.add(&device.name, uses);
    }

    pub(super) fn add_claims(&mut self, device: &Device, claims: &HashMap<String, Vec<Claim>>) {
        let claims = claims.get(&device.name).into_iter().flatten();
        let raw = claims.filter(|claim| claim.mode == ClaimMode::Block);
        let uses: Vec<Use> = raw.map(|claim| Use::Pod { pod: claim.pod_label() }).collect();
        self.add(&device.name, uses);
    }

    /// What names its device by a path: file systems with numbers of their own, swap, loop devices over devices.
    pub(super) fn add_by_path(&mut self, roots: &Roots, survey: &Survey) {
        for mount in survey.mounts.without_number() {
            if let Some(device) = survey.device_at(roots, Path::new(&mount.source)) {
                self.add(&device.name, vec![mounted(mount)]);
            }
        }
        for path in &survey.swaps {
            if let Some(device) = survey.device_at(roots, path) {
                self.add(&device.name, vec![Use::Swap]);
            }
        }
        for upper in survey.devices.values() {
            let lower = upper.loop_file.as_ref().and_then(|file| survey.device_at(roots, file));
            if let Some(lower) = lower {
                self.add(&lower.name, vec![Use::Loop { name: upper.name.clone() }]);
            }
        }
    }

    /// A disk is in use if a partition is; what uses the whole disk uses its partitions, too.
    pub(super) fn add_partitions(&mut self, survey: &Survey) {
        let used: HashSet<String> =
            self.uses.iter().filter(|(_, uses)| !uses.is_empty()).map(|(name, _)| name.clone()).collect();
        for device in survey.devices.values() {
            let Some(whole) = &device.whole else { continue };
            if used.contains(&device.name) {
                self.add(whole, vec![Use::Partition { name: device.name.clone() }]);
            }
            if used.contains(whole) {
                self.add(&device.name, vec![Use::Held { by: whole.clone() }]);
            }
        }
    }

    pub(super) fn add(&mut self, name: &str, uses: Vec<Use>) {
        self.uses.entry(name.to_owned()).or_default().extend(uses);
    }
}

/// The loop devices that show an image as a device.
pub(super) fn loop_users(roots: &Roots, survey: &Survey, image: &Path) -> Vec<Use> {
    let in_table = roots.in_mount_table(image);
    let shows = |device: &&Device| {
        let file = device.loop_file.as_deref();
        file == Some(image) || file == Some(&in_table)
    };
    survey.devices.values().filter(shows).map(|device| Use::Loop { name: device.name.clone() }).collect()
}

pub(super) fn mounted(mount: &Mount) -> Use {
    Use::Mounted {
        point: mount.point.clone(),
        file_system: mount.file_system.clone(),
        is_read_only: mount.is_read_only,
        root: mount.root.clone(),
    }
}
