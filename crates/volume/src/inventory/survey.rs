//! Gathers the facts of a listing: devices, mounts, swaps, claims, entries of configured directories.
//!
//! It only collects; what belongs together is found elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use crate::device::{Device, read_device};
use crate::device_number::DeviceNumber;
use crate::directory::{Entry, look_at_image, mount_above, read_entries};
use crate::kubelet::{Claim, read_claims};
use crate::mounts::{Mount, Mounts};
use crate::pod_names::pod_names;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::roots::{DirectoryUse, Roots};
use crate::stable_names::{kernel_name, read_stable_names};
use crate::swaps::swap_paths;

/// All facts, before they are put together.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) by_number: HashMap<DeviceNumber, String>,
    pub(super) mounts: Mounts,
    pub(super) swaps: HashSet<PathBuf>,
    pub(super) claims: Vec<Claim>,
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
}

impl Survey {
    pub(super) fn make(roots: &Roots, reader: &Reader<'_>) -> Self {
        let mut problems = Vec::new();
        let mut table = |path| {
            reader.bytes(path).unwrap_or_else(|error| {
                problems.push(Problem::new(path, "read the table", &error));
                Vec::new()
            })
        };
        let mounts = Mounts::parse(&table(&roots.mountinfo));
        let swaps = swap_paths(&table(&roots.swaps));
        let devices = read_devices(reader, roots, &mut problems);
        let by_number = devices.values().map(|device| (device.number, device.name.clone())).collect();
        let mut claims = read_claims(reader, &roots.kubelet, &mut problems);
        let names = pod_names(reader.names_if_any(&roots.pod_logs).unwrap_or_else(|error| {
            problems.push(Problem::new(&roots.pod_logs, "list", &error));
            Vec::new()
        }));
        for claim in &mut claims {
            claim.pod = names.get(&claim.pod_uid).cloned();
        }
        let may_hang = |path: &_| mount_above(&mounts, roots, path).is_some_and(Mount::may_hang);
        let mut entries = Vec::new();
        for root in roots.directories.iter().filter(|root| root.holds == DirectoryUse::HostPath) {
            entries.extend(read_entries(reader, &root.path, &may_hang, &mut problems));
        }
        Self { devices, by_number, mounts, swaps, claims, entries, problems }
    }

    /// Looks at the files that were chosen.
    pub(super) fn add_images(&mut self, roots: &Roots, reader: &Reader<'_>, paths: Vec<PathBuf>) {
        for path in paths {
            let may_hang = mount_above(&self.mounts, roots, &path).is_some_and(Mount::may_hang);
            self.entries.extend(look_at_image(reader, path, may_hang, &mut self.problems));
        }
    }

    /// The device that a path of the node below `/dev` names, by its text.
    pub(super) fn device_at(&self, roots: &Roots, path: &std::path::Path) -> Option<&Device> {
        let name = kernel_name(&roots.dev, std::path::Path::new("/"), path)?;
        if let Some(device) = self.devices.get(&name) {
            return Some(device);
        }
        let mapped = name.strip_prefix("mapper!")?;
        let is_mapped = |device: &&Device| device.mapper.as_ref().is_some_and(|mapper| mapper.name == mapped);
        self.devices.values().find(is_mapped)
    }
}

fn read_devices(reader: &Reader<'_>, roots: &Roots, problems: &mut Vec<Problem>) -> BTreeMap<String, Device> {
    let directory = roots.sys.join("class/block");
    let names = reader.names(&directory).unwrap_or_else(|error| {
        problems.push(Problem::new(&directory, "list the block devices", &error));
        Vec::new()
    });
    let mut stable_names = read_stable_names(reader, &roots.dev, problems);
    let mut devices = BTreeMap::new();
    for name in names {
        let Some(name) = name.to_str() else {
            problems.push(Problem::odd_name(&directory.join(name)));
            continue;
        };
        match read_device(reader, &roots.sys, &roots.dev, name) {
            Ok(Some(mut device)) => {
                device.stable_names = stable_names.remove(name).unwrap_or_default();
                devices.insert(name.to_owned(), device);
            }
            Ok(None) => {}
            Err(error) => problems.push(Problem::new(&directory.join(name), "read the device", &error)),
        }
    }
    devices
}
