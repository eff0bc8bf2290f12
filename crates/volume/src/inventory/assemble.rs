//! Puts the facts together: who uses what, what it is kept by, and what can be done with it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::groups::{Directory, Groups, Unseen};
use super::identify;
use super::survey::Survey;
use super::usage::{Usage, loop_users, mounted};
use crate::abilities::Abilities;
use crate::device::Device;
use crate::device_class::DeviceClass;
use crate::directory::{Entry, Spaces, mount_above};
use crate::engine::{self, Provision};
use crate::id::VolumeId;
use crate::kubelet::{Claim, held_by_kubelet};
use crate::mounts::Mount;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::roots::Roots;
use crate::volume::{FileSystem, Use, Volume, VolumeKind};

/// Makes the volumes of a listing.
pub(super) fn assemble(roots: &Roots, reader: &Reader<'_>, survey: Survey) -> (Vec<Volume>, Vec<Problem>) {
    let groups = Groups::make(roots, reader, &survey);
    let usage = Usage::of(roots, &survey, &groups.devices);
    let mut builder = Builder { roots, reader, survey: &survey, spaces: Spaces::default() };
    let mut volumes = builder.devices(&groups.devices, usage);
    volumes.extend(groups.directories.into_values().map(|directory| builder.directory(directory)));
    volumes.extend(groups.images.into_iter().map(|entry| builder.image(entry)));
    volumes.extend(groups.unseen.into_values().map(unseen));
    identify::settle(&mut volumes);
    (volumes, survey.problems)
}

struct Builder<'a> {
    roots: &'a Roots,
    reader: &'a Reader<'a>,
    survey: &'a Survey,
    spaces: Spaces,
}

impl<'a> Builder<'a> {
    fn devices(&self, claims: &HashMap<String, Vec<Claim>>, mut usage: Usage) -> Vec<Volume> {
        let claims_of = |name: &String| claims.get(name).cloned().unwrap_or_default();
        let devices: &BTreeMap<String, Device> = &self.survey.devices;
        devices
            .values()
            .map(|device| self.device(device, claims_of(&device.name), usage.take(device)))
            .collect()
    }

    fn device(&self, device: &Device, claims: Vec<Claim>, uses: Vec<Use>) -> Volume {
        let mount = self.survey.mounts.of_device(device.number).next();
        let obstacle = self.device_obstacle(device, &uses);
        let parts = Parts {
            ids: identify::of_device(device, &claims),
            kind: VolumeKind::Device,
            path: &device.path,
            size_bytes: Some(device.size_bytes),
            file_system: mount.map(of_mount),
            device: Some(device.clone()),
            claims,
            uses,
            obstacle,
            provision: Provision::Unsaid,
        };
        parts.volume(device.problems.clone())
    }

    fn device_obstacle(&self, device: &Device, uses: &[Use]) -> Option<String> {
        let hold =
            device.loop_file.as_deref().and_then(|file| held_by_kubelet(&self.roots.kubelet_on_node, file));
        if let Some(volume) = hold {
            return Some(format!("it is kubelet's own hold on the volume {volume}; back that up"));
        }
        if uses.contains(&Use::Swap) {
            return Some("it is in use as swap, which holds nothing to keep".to_owned());
        }
        matches!(device.class, DeviceClass::Ram | DeviceClass::Zram)
            .then(|| "it is memory, which does not outlast a reboot".to_owned())
    }

    fn directory(&mut self, directory: Directory) -> Volume {
        let path = directory.path().to_path_buf();
        let mount = self.mount_of(&directory, &path);
        let device = mount.and_then(|mount| self.survey.by_number.get(&mount.number));
        let device = device.and_then(|name| self.survey.devices.get(name)).cloned();
        let obstacle = directory_obstacle(device.as_ref());
        let provision = directory.entry.as_ref().map_or(Provision::Unsaid, |_| Provision::HostPath);
        let mut ids = identify::of_claims(&directory.claims);
        ids.extend(directory.entry.iter().map(|path| VolumeId::of_path(path)));
        ids.extend(directory.claims.iter().map(|claim| VolumeId::of_path(&claim.path)));
        let uses = mount.filter(|_| !directory.claims.is_empty()).map(mounted).into_iter().collect();
        let parts = Parts {
            ids,
            kind: VolumeKind::Directory,
            path: &path,
            size_bytes: None,
            file_system: mount.map(|mount| self.spaces.file_system(self.reader, mount, &path)),
            device,
            claims: directory.claims,
            uses,
            obstacle: Some(obstacle),
            provision,
        };
        parts.volume(Vec::new())
    }

    /// A pod's own mount of it, which says how the pod sees it, or the one that it lies on.
    fn mount_of(&self, directory: &Directory, path: &Path) -> Option<&'a Mount> {
        let claimed = directory.claims.first().map(|claim| self.roots.in_mount_table(&claim.path));
        let claimed = claimed.and_then(|point| self.survey.mounts.at(&point));
        claimed.or_else(|| mount_above(&self.survey.mounts, self.roots, path))
    }

    fn image(&mut self, entry: Entry) -> Volume {
        let mount = mount_above(&self.survey.mounts, self.roots, &entry.path);
        let file_system =
            mount.map(|mount| FileSystem { size_bytes: None, free_bytes: None, ..of_mount(mount) });
        let device = mount.and_then(|mount| self.survey.by_number.get(&mount.number));
        let device = device.and_then(|name| self.survey.devices.get(name)).cloned();
        let uses = loop_users(self.roots, self.survey, &entry.path);
        let is_empty = entry.size_bytes == Some(0);
        let parts = Parts {
            ids: vec![VolumeId::of_path(&entry.path)],
            kind: VolumeKind::Image,
            path: &entry.path,
            size_bytes: entry.size_bytes,
            file_system,
            device,
            claims: Vec::new(),
            uses,
            obstacle: is_empty.then(|| "it is empty".to_owned()),
            provision: Provision::Unsaid,
        };
        parts.volume(Vec::new())
    }
}

/// A volume without what follows from the rest.
struct Parts<'a> {
    /// The best first; at least one.
    ids: Vec<VolumeId>,
    kind: VolumeKind,
    path: &'a Path,
    size_bytes: Option<u64>,
    file_system: Option<FileSystem>,
    device: Option<Device>,
    claims: Vec<Claim>,
    uses: Vec<Use>,
    obstacle: Option<String>,
    provision: Provision,
}

impl Parts<'_> {
    fn volume(self, problems: Vec<String>) -> Volume {
        let mut ids = self.ids.into_iter();
        let id = ids.next().unwrap_or_else(|| VolumeId::of_path(self.path));
        // The device below a directory says nothing about how the directory is kept.
        let own_device = self.device.as_ref().filter(|_| self.kind == VolumeKind::Device);
        let file_system = self.file_system.as_ref().map(|found| found.name.as_str());
        let engine = engine::decide(self.kind, own_device, file_system, &self.claims, self.provision);
        Volume {
            id,
            aliases: ids.collect(),
            kind: self.kind,
            path: self.path.into(),
            size_bytes: self.size_bytes,
            device: self.device,
            file_system: self.file_system,
            claims: self.claims,
            engine,
            abilities: Abilities::of(engine, self.kind),
            uses: self.uses,
            obstacle: self.obstacle,
            problems,
        }
    }
}

/// What a pod uses but cannot be seen from here: listed, so that nobody takes it for protected.
fn unseen(group: Unseen) -> Volume {
    let path = group.claims.first().map(|claim| claim.path.clone()).unwrap_or_default();
    let is_block = group.claims.iter().any(|claim| claim.mode == crate::kubelet::ClaimMode::Block);
    let uses = group.claims.iter().map(|claim| Use::Pod { pod: claim.pod_label() }).collect();
    let mut ids = identify::of_claims(&group.claims);
    ids.push(VolumeId::of_path(&path));
    let parts = Parts {
        ids,
        kind: if is_block { VolumeKind::Device } else { VolumeKind::Directory },
        path: &path,
        size_bytes: None,
        file_system: None,
        device: None,
        claims: group.claims,
        uses,
        obstacle: Some(group.why.to_owned()),
        provision: Provision::Unsaid,
    };
    parts.volume(Vec::new())
}

fn directory_obstacle(device: Option<&Device>) -> String {
    match device {
        Some(device) => format!(
            "directories are not backed up by this version; back up the device below it, {}",
            device.path.display()
        ),
        None => {
            "directories are not backed up by this version, and no device of this node is below it".to_owned()
        }
    }
}

fn of_mount(mount: &Mount) -> FileSystem {
    FileSystem {
        name: mount.file_system.clone(),
        size_bytes: None,
        free_bytes: None,
        is_read_only: mount.is_read_only,
    }
}
