//! A made-up node in a temporary directory: sysfs, /dev/disk, mountinfo, kubelet's directory, the pods' logs.
//!
//! Device nodes are left out: making them takes root, and their names say enough.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use coffer_volume::{DirectoryRoot, DirectoryUse, Inventory, Listing, MountView, Roots, Volume};
use tempfile::TempDir;

pub(crate) struct Tree {
    directory: TempDir,
    pub(crate) roots: Roots,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let roots = Roots {
            sys: root.join("sys"),
            mountinfo: root.join("proc/self/mountinfo"),
            mount_view: MountView::Node { root: root.into() },
            swaps: root.join("proc/swaps"),
            dev: root.join("dev"),
            kubelet: root.join("var/lib/kubelet"),
            kubelet_on_node: "/var/lib/kubelet".into(),
            pod_logs: root.join("var/log/pods"),
            directories: Vec::new(),
        };
        fs::create_dir_all(roots.sys.join("class/block")).unwrap();
        let tree = Self { directory, roots };
        tree.write("proc/self/mountinfo", "");
        tree.write("proc/swaps", "Filename\t\t\tType\n");
        tree
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    pub(crate) fn link(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// A whole device of 512-byte sectors with its queue; `facts` are further files below its directory.
    pub(crate) fn disk(&self, name: &str, number: &str, sectors: u64, facts: &[(&str, &str)]) {
        let directory = PathBuf::from("sys/devices/x").join(name);
        self.device(&directory, name, number, sectors, facts);
        for (file, value) in
            [("logical_block_size", "512"), ("physical_block_size", "4096"), ("rotational", "0")]
        {
            self.write(directory.join("queue").join(file), format!("{value}\n"));
        }
    }

    /// A partition of a disk that exists.
    pub(crate) fn partition(&self, whole: &str, name: &str, number: &str, sectors: u64) {
        let directory = PathBuf::from("sys/devices/x").join(whole).join(name);
        self.device(&directory, name, number, sectors, &[("partition", "1")]);
    }

    fn device(&self, directory: &Path, name: &str, number: &str, sectors: u64, facts: &[(&str, &str)]) {
        let sectors = sectors.to_string();
        for (file, value) in [("dev", number), ("size", &sectors), ("ro", "0")].iter().chain(facts) {
            self.write(directory.join(file), format!("{value}\n"));
        }
        for list in ["holders", "slaves"] {
            fs::create_dir_all(self.root().join(directory).join(list)).unwrap();
        }
        self.link(
            format!("sys/class/block/{name}"),
            Path::new("../..").join(directory.strip_prefix("sys").unwrap()),
        );
    }

    pub(crate) fn mount(&self, number: &str, root: &str, point: &str, file_system: &str, source: &str) {
        let line =
            format!("40 22 {number} {root} {point} rw,relatime shared:1 - {file_system} {source} rw\n");
        let mut table = OpenOptions::new().append(true).open(&self.roots.mountinfo).unwrap();
        table.write_all(line.as_bytes()).unwrap();
    }

    /// A CSI volume with a file system, mounted from `number`, its directory `root`.
    pub(crate) fn csi_mount(&self, uid: &str, pv: &str, driver: &str, number: &str, root: &str) {
        let directory = format!("var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/{pv}");
        self.write(format!("{directory}/vol_data.json"), vol_data(pv, driver, "Persistent"));
        fs::create_dir_all(self.root().join(&directory).join("mount")).unwrap();
        self.mount(number, root, &format!("/{directory}/mount"), "ext4", "/dev/x");
    }

    pub(crate) fn directory_root(&mut self, path: &str, holds: DirectoryUse) {
        let path = self.root().join(path);
        fs::create_dir_all(&path).unwrap();
        self.roots.directories.push(DirectoryRoot { path, holds });
    }

    pub(crate) fn list(&self) -> Listing {
        Inventory::new(self.roots.clone()).list()
    }
}

pub(crate) fn vol_data(pv: &str, driver: &str, lifecycle: &str) -> String {
    format!(
        r#"{{"attachmentID":"csi-1","driverName":"{driver}","nodeName":"n1","specVolID":"{pv}",
            "volumeHandle":"handle-of-{pv}","volumeLifecycleMode":"{lifecycle}"}}"#
    )
}

pub(crate) fn ids(listing: &Listing) -> Vec<&str> {
    listing.volumes.iter().map(|volume| volume.id.as_str()).collect()
}

pub(crate) fn uses(volume: &Volume) -> Vec<String> {
    volume.uses.iter().map(ToString::to_string).collect()
}
