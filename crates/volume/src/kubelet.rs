//! Kubelet's volumes: what pods of this node use, from the directories that kubelet keeps.
//!
//! Layout, as kubelet 1.20 to 1.36 keeps it (`pkg/volume`, `pkg/kubelet/kubelet_getters.go`):
//!
//! ```text
//! pods/<uid>/volumes/<plugin>/<name>                     a mount (kubernetes.io~local-volume: name = PV)
//! pods/<uid>/volumes/kubernetes.io~csi/<name>/mount      a mount, with vol_data.json beside it
//! pods/<uid>/volumeDevices/<plugin>/<pv>                 a link to the device, or to the driver's node of it
//! plugins/kubernetes.io/csi/volumeDevices/<pv>/data/vol_data.json
//! plugins/kubernetes.io/csi/volumeDevices/<pv>/dev/<pod uid>                  the device, bind mounted
//! plugins/kubernetes.io~local-volume/volumeDevices/<pv>/<pod uid>             the device, bind mounted
//! ```
//!
//! Volumes that hold nothing of a user's (secrets, config maps, projections) or die with the pod (emptyDir) are left
//! out; hostPath volumes have no directory. Nothing below a mount is touched: a dead server must not stop a listing.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::inventory::Problem;
use crate::pod_names::PodName;
use crate::reader::{Reader, is_gone};

const CSI: &str = "kubernetes.io~csi";
const LOCAL_VOLUME: &str = "kubernetes.io~local-volume";

/// Plugins whose volumes are not worth protecting.
const LEFT_OUT: [&str; 6] = [
    "kubernetes.io~secret",
    "kubernetes.io~configmap",
    "kubernetes.io~projected",
    "kubernetes.io~downward-api",
    "kubernetes.io~empty-dir",
    "kubernetes.io~git-repo",
];

/// How a pod uses a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimMode {
    /// As a mounted file system.
    FileSystem,
    /// As a raw block device.
    Block,
}

/// What a CSI driver knows a volume by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiFacts {
    /// The driver's name: `local.csi.openebs.io`.
    pub driver: String,
    /// The driver's name of the volume.
    pub handle: String,
}

/// A pod's use of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The name of the persistent volume; `None` for one of a pod's own, and where kubelet's directory does not tell
    /// the two apart (plugins other than CSI and local volumes).
    pub persistent_volume: Option<String>,
    /// The name that kubelet has for the volume: that of the persistent volume, or of the volume in the pod.
    pub name: String,
    /// Kubelet's plugin: `kubernetes.io~csi`.
    pub plugin: String,
    /// What the CSI driver calls it.
    pub csi: Option<CsiFacts>,
    /// How the pod uses it.
    pub mode: ClaimMode,
    /// The pod.
    pub pod_uid: String,
    /// The pod's name, where its logs tell it.
    pub pod: Option<PodName>,
    /// Where kubelet keeps it, as we see it: the mount point, or the link to the device.
    pub path: PathBuf,
    /// Another path to the same device: kubelet's own bind mount of it.
    pub(crate) device_path: Option<PathBuf>,
}

impl Claim {
    /// The pod in words: `namespace/name`, or its uid.
    pub fn pod_label(&self) -> String {
        match &self.pod {
            Some(pod) => format!("{}/{}", pod.namespace, pod.name),
            None => self.pod_uid.clone(),
        }
    }

    pub(crate) fn is_local_volume(&self) -> bool {
        self.plugin == LOCAL_VOLUME
    }
}

/// `vol_data.json`, as far as it is of use.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolData {
    driver_name: String,
    volume_handle: String,
    #[serde(rename = "specVolID")]
    spec_vol_id: String,
    volume_lifecycle_mode: String,
}

/// Finds the claims of all pods.
pub(crate) fn read_claims(reader: &Reader<'_>, kubelet: &Path, problems: &mut Vec<Problem>) -> Vec<Claim> {
    let mut walk = Walk { reader, kubelet, problems, claims: Vec::new() };
    for uid in walk.names(&kubelet.join("pods")) {
        walk.pod(&uid);
    }
    walk.mapped_without_pod();
    walk.claims
}

/// The persistent volume that kubelet holds with a loop device over this file, if that is what the file is.
///
/// Kubelet stacks such a device on each raw block volume, so that it cannot be detached while a pod uses it.
pub(crate) fn held_by_kubelet<'a>(kubelet_on_node: &Path, loop_file: &'a Path) -> Option<&'a str> {
    let inner = loop_file.strip_prefix(kubelet_on_node.join("plugins")).ok()?;
    let mut parts = inner.iter().skip_while(|part| *part != "volumeDevices").skip(1);
    parts.next()?.to_str()
}

struct Walk<'a> {
    reader: &'a Reader<'a>,
    kubelet: &'a Path,
    problems: &'a mut Vec<Problem>,
    claims: Vec<Claim>,
}

impl Walk<'_> {
    fn pod(&mut self, uid: &str) {
        let pod = self.kubelet.join("pods").join(uid);
        for (directory, mode) in [("volumes", ClaimMode::FileSystem), ("volumeDevices", ClaimMode::Block)] {
            let directory = pod.join(directory);
            for plugin in self.names(&directory) {
                if LEFT_OUT.contains(&plugin.as_str()) {
                    continue;
                }
                for name in self.names(&directory.join(&plugin)) {
                    let path = directory.join(&plugin).join(&name);
                    self.claim(uid, &plugin, name, mode, path);
                }
            }
        }
    }

    fn claim(&mut self, uid: &str, plugin: &str, name: String, mode: ClaimMode, path: PathBuf) {
        let is_csi = plugin == CSI;
        let data = is_csi.then(|| self.vol_data(&name, mode, &path)).flatten();
        let persistent_volume = match (&data, mode) {
            (Some(data), _) if data.volume_lifecycle_mode == "Ephemeral" => None,
            (Some(data), _) if !data.spec_vol_id.is_empty() => Some(data.spec_vol_id.clone()),
            // A pod cannot have a raw block volume of its own.
            (_, ClaimMode::Block) => Some(name.clone()),
            (Some(_), _) => Some(name.clone()),
            (None, _) => (plugin == LOCAL_VOLUME).then(|| name.clone()),
        };
        let csi = data.map(|data| CsiFacts { driver: data.driver_name, handle: data.volume_handle });
        let device_path = (mode == ClaimMode::Block).then(|| self.mapped_path(plugin, &name, uid));
        let path = if is_csi && mode == ClaimMode::FileSystem { path.join("mount") } else { path };
        let (plugin, pod_uid) = (plugin.to_owned(), uid.to_owned());
        self.claims.push(Claim {
            persistent_volume,
            name,
            plugin,
            csi,
            mode,
            pod_uid,
            pod: None,
            path,
            device_path,
        });
    }

    /// Where kubelet bind mounts the device of a raw block volume.
    fn mapped_path(&self, plugin: &str, name: &str, uid: &str) -> PathBuf {
        let plugins = self.kubelet.join("plugins");
        if plugin == CSI {
            return plugins.join("kubernetes.io/csi/volumeDevices").join(name).join("dev").join(uid);
        }
        plugins.join(plugin).join("volumeDevices").join(name).join(uid)
    }

    fn vol_data(&mut self, name: &str, mode: ClaimMode, path: &Path) -> Option<VolData> {
        let file = match mode {
            ClaimMode::FileSystem => path.join("vol_data.json"),
            ClaimMode::Block => {
                let volumes = self.kubelet.join("plugins/kubernetes.io/csi/volumeDevices");
                volumes.join(name).join("data/vol_data.json")
            }
        };
        let read = self.reader.bytes(&file).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        read.map_err(|error: io::Error| self.note(&file, "read", &error)).ok()
    }

    /// Devices that kubelet still maps, of pods whose own directory does not name them (any more).
    fn mapped_without_pod(&mut self) {
        let known: HashSet<(String, String)> =
            self.claims.iter().map(|claim| (claim.name.clone(), claim.pod_uid.clone())).collect();
        for (plugin, directory) in [(CSI, "kubernetes.io/csi"), (LOCAL_VOLUME, LOCAL_VOLUME)] {
            let volumes = self.kubelet.join("plugins").join(directory).join("volumeDevices");
            for name in self.names(&volumes) {
                // The driver's own directories beside those of the volumes.
                if plugin == CSI && (name == "staging" || name == "publish") {
                    continue;
                }
                let maps = if plugin == CSI { volumes.join(&name).join("dev") } else { volumes.join(&name) };
                for uid in self.names(&maps) {
                    if !known.contains(&(name.clone(), uid.clone())) {
                        self.claim(&uid, plugin, name.clone(), ClaimMode::Block, maps.join(&uid));
                    }
                }
            }
        }
    }

    fn names(&mut self, directory: &Path) -> Vec<String> {
        let names = match self.reader.names_if_any(directory) {
            Ok(names) => names,
            Err(error) => {
                self.note(directory, "list", &error);
                return Vec::new();
            }
        };
        let mut texts = Vec::with_capacity(names.len());
        for name in names {
            match name.into_string() {
                Ok(text) => texts.push(text),
                Err(odd) => self.problems.push(Problem::odd_name(&directory.join(odd))),
            }
        }
        texts
    }

    fn note(&mut self, path: &Path, step: &'static str, error: &io::Error) {
        if !is_gone(error) {
            self.problems.push(Problem::new(path, step, error));
        }
    }
}
