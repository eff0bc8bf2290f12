//! What an agent lists and what Kubernetes knows, put together. Pure. What the agent said stands; Kubernetes adds to it.

use std::collections::HashMap;

use coffer_proto::agent::v1;
use coffer_proto::agent::v1::VolumeKind;

use super::facts::{Claim, Facts, PathKind, PersistentVolume, Pod, Source};

/// As agents name kubelet's plugins.
const HOST_PATH: &str = "kubernetes.io/host-path";
const LOCAL_VOLUME: &str = "kubernetes.io/local-volume";

/// Why a directory cannot be backed up that only Kubernetes knows.
const UNLISTED_DIRECTORY: &str = "directories are not backed up by this version, and the agent lists nothing at this path: it lies outside of \
                                  the agent's roots, or is not the caller's to see";
/// The same for files and devices.
const UNLISTED: &str = "the agent lists nothing at this path: it lies outside of what the agent may reach, or is not the caller's to see";

/// Volumes of the node whose agent listed these, with the names that Kubernetes has for them, and those that only Kubernetes knows.
pub(crate) fn join(listed: Vec<v1::Volume>, node: &str, facts: &Facts) -> Vec<v1::Volume> {
    let mut joined = Joined::new(listed, node, facts);
    joined.name_pods(&facts.pods);
    for volume in &facts.volumes {
        joined.persistent_volume(volume, node);
    }
    joined.paths_of_pods();
    joined.volumes
}

/// Whether a volume is used by a pod of the namespace, and the PersistentVolume's; an empty name fits all.
pub(crate) fn fits(volume: &v1::Volume, namespace: &str, persistent_volume: &str) -> bool {
    let told = volume.kubernetes.as_ref();
    let is_used = || told.is_some_and(|told| told.pods.iter().any(|pod| pod.namespace == namespace));
    let is_it = || told.is_some_and(|told| told.persistent_volume == persistent_volume);
    (namespace.is_empty() || is_used()) && (persistent_volume.is_empty() || is_it())
}

struct Joined<'a> {
    volumes: Vec<v1::Volume>,
    /// Volumes by path and further names.
    by_path: HashMap<String, Vec<usize>>,
    by_persistent_volume: HashMap<String, usize>,
    /// Volumes by where they are mounted.
    by_mount: HashMap<String, usize>,
    /// Pods that use something on this node.
    pods: Vec<&'a Pod>,
    by_claim: HashMap<Claim, Vec<&'a Pod>>,
}

impl<'a> Joined<'a> {
    fn new(volumes: Vec<v1::Volume>, node: &str, facts: &'a Facts) -> Joined<'a> {
        let pods: Vec<&Pod> = facts.pods.iter().filter(|pod| pod.node == node && !pod.has_ended).collect();
        let mut by_claim: HashMap<Claim, Vec<&Pod>> = HashMap::new();
        for pod in &pods {
            for name in &pod.claims {
                let claim = Claim { namespace: pod.namespace.clone(), name: name.clone() };
                by_claim.entry(claim).or_default().push(pod);
            }
        }
        let mut joined = Joined {
            volumes: Vec::new(),
            by_path: HashMap::new(),
            by_persistent_volume: HashMap::new(),
            by_mount: HashMap::new(),
            pods,
            by_claim,
        };
        volumes.into_iter().for_each(|volume| joined.push(volume));
        joined
    }

    fn push(&mut self, volume: v1::Volume) {
        let index = self.volumes.len();
        let mut paths: Vec<String> =
            std::iter::once(&volume.path).chain(&volume.names).filter_map(|path| normal(path)).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            self.by_path.entry(path).or_default().push(index);
        }
        for mount in volume.mounts.iter().filter_map(|mount| normal(mount)) {
            self.by_mount.entry(mount).or_insert(index);
        }
        let name = volume.kubernetes.as_ref().map(|told| told.persistent_volume.as_str());
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.by_persistent_volume.entry(name.to_owned()).or_insert(index);
        }
        self.volumes.push(volume);
    }

    /// Gives names to pods of which the agent knows the UID only.
    fn name_pods(&mut self, all: &[Pod]) {
        let by_uid: HashMap<&str, &Pod> = all.iter().map(|pod| (pod.uid.as_str(), pod)).collect();
        let told = self.volumes.iter_mut().filter_map(|volume| volume.kubernetes.as_mut());
        for told in told.flat_map(|told| &mut told.pods).filter(|told| told.name.is_empty()) {
            if let Some(pod) = by_uid.get(told.uid.as_str()) {
                pod.name.clone_into(&mut told.name);
                pod.namespace.clone_into(&mut told.namespace);
            }
        }
    }

    fn persistent_volume(&mut self, volume: &PersistentVolume, node: &str) {
        let users =
            volume.claim.as_ref().and_then(|claim| self.by_claim.get(claim)).cloned().unwrap_or_default();
        let is_here = match &volume.source {
            Source::HostPath(_) => !users.is_empty(),
            Source::Local(nodes) => !users.is_empty() || nodes.iter().any(|name| name == node),
        };
        if !is_here {
            return;
        }
        if let Some(told) = self.named(&volume.name) {
            users.iter().for_each(|pod| add(told, pod));
            return;
        }
        let path = normal(&volume.path);
        let there = path.as_ref().and_then(|path| self.by_path.get(path)).cloned().unwrap_or_default();
        match (there.first(), &volume.source) {
            (Some(first), _) => {
                let free = there.iter().find(|index| self.has_no_name(**index));
                match free {
                    Some(index) => self.name(*index, volume, &users),
                    None => self.name_again(*first, volume, &users),
                }
            }
            (None, Source::HostPath(PathKind::Other) | Source::Local(_)) => {}
            (None, Source::HostPath(kind)) => {
                let path = path.unwrap_or_else(|| volume.path.clone());
                self.push(self.unlisted(volume, path, *kind, &users));
            }
        }
    }

    /// The volume that has this name already, from the agent or from here.
    fn named(&mut self, name: &str) -> Option<&mut v1::KubernetesVolume> {
        let index = *self.by_persistent_volume.get(name)?;
        self.volumes.get_mut(index)?.kubernetes.as_mut()
    }

    fn has_no_name(&self, index: usize) -> bool {
        let told = self.volumes.get(index).and_then(|volume| volume.kubernetes.as_ref());
        told.is_none_or(|told| told.persistent_volume.is_empty())
    }

    fn name(&mut self, index: usize, volume: &PersistentVolume, users: &[&Pod]) {
        let Some(found) = self.volumes.get_mut(index) else { return };
        let told = found.kubernetes.get_or_insert_default();
        volume.name.clone_into(&mut told.persistent_volume);
        if told.plugin.is_empty() {
            plugin(&volume.source).clone_into(&mut told.plugin);
        }
        users.iter().for_each(|pod| add(told, pod));
        self.by_persistent_volume.insert(volume.name.clone(), index);
    }

    /// A second PersistentVolume of one path: the same volume once more, under its other name.
    fn name_again(&mut self, index: usize, volume: &PersistentVolume, users: &[&Pod]) {
        let Some(mut again) = self.volumes.get(index).cloned() else { return };
        again.kubernetes = Some(told(volume, users));
        self.push(again);
    }

    fn unlisted(
        &self,
        volume: &PersistentVolume,
        path: String,
        kind: PathKind,
        users: &[&Pod],
    ) -> v1::Volume {
        let below = self.by_mount.get(&path).and_then(|index| self.volumes.get(*index));
        let below = below.filter(|volume| volume.kind() == VolumeKind::Device);
        let (kind, engine, reason) = match (kind, below) {
            (PathKind::File, _) => (VolumeKind::Image, "unknown", UNLISTED.to_owned()),
            (PathKind::BlockDevice, _) => (VolumeKind::Device, "unknown", UNLISTED.to_owned()),
            (_, None) => (VolumeKind::Directory, "local-hostpath", UNLISTED_DIRECTORY.to_owned()),
            (_, Some(device)) => {
                let reason = format!(
                    "directories are not backed up by this version; back up the device that is mounted there, {}",
                    device.path
                );
                (VolumeKind::Directory, "local-hostpath", reason)
            }
        };
        v1::Volume {
            kind: kind.into(),
            path,
            engine: engine.into(),
            snapshots: "none".into(),
            kubernetes: Some(told(volume, users)),
            unusable_because: reason,
            ..v1::Volume::default()
        }
    }

    /// hostPath volumes that pods name themselves: what is listed at such a path has users, but no PersistentVolume.
    fn paths_of_pods(&mut self) {
        for pod in &self.pods {
            for path in pod.paths.iter().filter_map(|path| normal(path)) {
                for index in self.by_path.get(&path).into_iter().flatten() {
                    let Some(volume) = self.volumes.get_mut(*index) else { continue };
                    let told = volume.kubernetes.get_or_insert_default();
                    if told.plugin.is_empty() {
                        HOST_PATH.clone_into(&mut told.plugin);
                    }
                    add(told, pod);
                }
            }
        }
    }
}

fn told(volume: &PersistentVolume, users: &[&Pod]) -> v1::KubernetesVolume {
    let mut told = v1::KubernetesVolume {
        persistent_volume: volume.name.clone(),
        plugin: plugin(&volume.source).into(),
        ..v1::KubernetesVolume::default()
    };
    users.iter().for_each(|pod| add(&mut told, pod));
    told
}

fn plugin(source: &Source) -> &'static str {
    match source {
        Source::HostPath(_) => HOST_PATH,
        Source::Local(_) => LOCAL_VOLUME,
    }
}

/// Adds a pod, unless it is there.
fn add(told: &mut v1::KubernetesVolume, pod: &Pod) {
    // Pods that a node starts from its own files have another UID there.
    let is_it = |known: &v1::Pod| {
        known.uid == pod.uid || (known.namespace == pod.namespace && known.name == pod.name)
    };
    if !told.pods.iter().any(is_it) {
        told.pods.push(v1::Pod {
            uid: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        });
    }
}

/// An absolute path with one `/` between its parts and none after them. With `..` in it, it is no name of anything: links may stand before it.
fn normal(path: &str) -> Option<String> {
    let inner = path.strip_prefix('/')?;
    let parts: Vec<&str> = inner.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests;
