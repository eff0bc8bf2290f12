//! Where on this node to look: every path can be moved, for containers that see the node below `/host`, and for tests.
//!
//! This file only holds paths; it must never look at the file system.

use std::path::{Path, PathBuf};

/// From where the mount table was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountView {
    /// From this process: mount points are paths that we can open.
    Ours,
    /// From the node: its `/` is at this path for us.
    Node {
        /// Where we see the node's `/`.
        root: PathBuf,
    },
}

/// What lies directly below a configured directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DirectoryUse {
    /// A directory for each volume, made by a hostpath provisioner (`/var/openebs/local`).
    HostPath,
    /// Regular files that are disk images.
    Images,
}

/// A directory whose entries are volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRoot {
    /// As we see it.
    pub path: PathBuf,
    /// What lies in it.
    pub holds: DirectoryUse,
}

/// Every place that a listing looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/proc/self/mountinfo`, or `/proc/1/mountinfo` of the node (which only root may read).
    pub mountinfo: PathBuf,
    /// From where the mount table was written.
    pub mount_view: MountView,
    /// `/proc/swaps`.
    pub swaps: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
    /// Kubelet's directory, as we see it.
    pub kubelet: PathBuf,
    /// Kubelet's directory, as kubelet calls it: its links say so.
    pub kubelet_on_node: PathBuf,
    /// `/var/log/pods`.
    pub pod_logs: PathBuf,
    /// Directories whose entries are volumes.
    pub directories: Vec<DirectoryRoot>,
}

impl Roots {
    /// The places of a process that sees the node as it is.
    pub fn of_node() -> Self {
        Self::seen_at(Path::new("/"))
    }

    /// The places of a container that sees `/sys`, `/dev`, kubelet's directory and the pods' logs of its node below
    /// `root`, and has the mounts below them from the node (`mountPropagation: HostToContainer`).
    pub fn seen_at(root: &Path) -> Self {
        Self {
            sys: root.join("sys"),
            mountinfo: "/proc/self/mountinfo".into(),
            mount_view: MountView::Ours,
            swaps: "/proc/swaps".into(),
            dev: root.join("dev"),
            kubelet: root.join("var/lib/kubelet"),
            kubelet_on_node: "/var/lib/kubelet".into(),
            pod_logs: root.join("var/log/pods"),
            directories: Vec::new(),
        }
    }

    /// Translates a path as the node writes it (what a link of kubelet says) into one that we can open; `None` if we
    /// know no such place.
    pub(crate) fn to_ours(&self, path: &Path) -> Option<PathBuf> {
        let moved = |theirs: &Path, ours: &Path| path.strip_prefix(theirs).ok().map(|rest| ours.join(rest));
        moved(&self.kubelet_on_node, &self.kubelet)
            .or_else(|| moved(Path::new("/dev"), &self.dev))
            .or_else(|| moved(&self.kubelet, &self.kubelet))
            .or_else(|| moved(&self.dev, &self.dev))
    }

    /// Translates a path of ours into one of the mount table.
    pub(crate) fn in_mount_table(&self, path: &Path) -> PathBuf {
        let MountView::Node { root } = &self.mount_view else { return path.to_path_buf() };
        if let Ok(rest) = path.strip_prefix(&self.kubelet) {
            return self.kubelet_on_node.join(rest);
        }
        path.strip_prefix(root).map_or_else(|_| path.to_path_buf(), |rest| Path::new("/").join(rest))
    }
}
