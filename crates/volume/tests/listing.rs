//! What a listing says about made-up nodes.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use coffer_volume::{
    ChangedBlocks, ClaimMode, Consistency, DeviceClass, DirectoryUse, Engine, IdSource, SnapshotMethod, Use,
    VolumeKind,
};

#[path = "support/tree.rs"]
mod tree;

use tree::{Tree, ids, uses, vol_data};

const LOCAL: &str = "kubernetes.io~local-volume";

#[test]
fn a_disk_is_named_by_its_hardware_and_described_from_sysfs() {
    let tree = Tree::new();
    tree.disk("sda", "8:0", 2048, &[("device/model", "  SSD 870  "), ("device/wwid", "naa.5002")]);
    tree.disk("sr0", "11:0", 0, &[]);
    for name in ["scsi-0ATA_SSD", "wwn-0x5002"] {
        tree.link(format!("dev/disk/by-id/{name}"), "../../sda");
    }
    tree.link("dev/disk/by-path/pci-0", "../../sda");
    tree.link("dev/disk/by-id/gone", "../../sdz");
    tree.link("dev/disk/by-id/evil", "../../../etc/passwd");
    let listing = tree.list();
    assert_eq!(
        (ids(&listing), &listing.problems[..]),
        (vec!["disk.wwn-0x5002"], &[][..]),
        "no medium, no volume"
    );
    let volume = &listing.volumes[0];
    assert_eq!(volume.id.source(), IdSource::DiskById);
    let aliases: Vec<_> = volume.aliases.iter().map(|alias| alias.as_str()).collect();
    assert_eq!(aliases, ["disk.scsi-0ATA_SSD", "dev.sda"]);
    for name in ["disk.wwn-0x5002", "disk.scsi-0ATA_SSD", "dev.sda"] {
        assert_eq!(listing.find(name), Some(volume), "{name}");
    }
    assert_eq!(listing.find("dev.sr0"), None);
    let device = volume.device.as_ref().unwrap();
    assert_eq!(
        (volume.kind, volume.size_bytes, device.class),
        (VolumeKind::Device, Some(1 << 20), DeviceClass::Disk)
    );
    assert_eq!((device.logical_block_bytes, device.physical_block_bytes), (Some(512), Some(4096)));
    assert_eq!((device.is_read_only, device.is_rotational), (Some(false), Some(false)));
    assert_eq!((device.model.as_deref(), device.serial.as_deref()), (Some("SSD 870"), Some("naa.5002")));
    assert_eq!(device.stable_names.len(), 3);
    assert_eq!(volume.path, tree.roots.dev.join("sda"));
    assert_eq!((volume.engine, volume.obstacle.as_ref()), (Engine::RawDevice, None));
    assert_eq!(
        (volume.abilities.snapshot.now, volume.abilities.changed_blocks.now),
        (SnapshotMethod::None, ChangedBlocks::Hash)
    );
    assert_eq!((volume.is_in_use(), volume.consistency()), (false, Consistency::Quiet));
}

#[test]
fn partitions_know_their_disk_and_its_queue_and_use_spreads_to_the_disk() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0", 4096, &[]);
    tree.partition("nvme0n1", "nvme0n1p1", "259:1", 1024);
    tree.partition("nvme0n1", "nvme0n1p2", "259:2", 1024);
    tree.partition("nvme0n1", "nvme0n1p3", "259:3", 1024);
    tree.mount("259:1", "/", "/data\\040dir", "xfs", "/dev/nvme0n1p1");
    fs::create_dir(tree.root().join("sys/devices/x/nvme0n1/nvme0n1p2/holders/dm-0")).unwrap();
    tree.write("proc/swaps", "Filename\tType\n/dev/nvme0n1p3 partition\t8\n");
    let listing = tree.list();
    let of = |name: &str| listing.find(&format!("dev.{name}")).unwrap();
    assert_eq!(uses(of("nvme0n1p1")), ["mounted on /data dir (xfs)"]);
    assert_eq!(uses(of("nvme0n1p2")), ["held by dm-0"]);
    assert_eq!(of("nvme0n1p3").uses, [Use::Swap]);
    assert!(of("nvme0n1p3").obstacle.as_ref().unwrap().contains("swap"));
    assert_eq!(of("nvme0n1").uses.len(), 3, "its three partitions");
    let device = of("nvme0n1p1").device.as_ref().unwrap();
    assert_eq!((device.class, device.whole.as_deref()), (DeviceClass::Partition, Some("nvme0n1")));
    assert_eq!(device.physical_block_bytes, Some(4096), "of the disk's queue");
    assert_eq!(of("nvme0n1p1").file_system.as_ref().unwrap().name, "xfs");
    assert_eq!(of("nvme0n1").consistency(), Consistency::CrashAtBest);
    assert_eq!(of("nvme0n1").id.source(), IdSource::KernelName);
}

#[test]
fn device_mapper_and_zfs_are_told_and_named_without_udev() {
    let tree = Tree::new();
    tree.disk("dm-3", "253:3", 2048, &[("dm/name", "vg-data"), ("dm/uuid", "LVM-abc")]);
    tree.disk("dm-4", "253:4", 2048, &[("dm/name", "crypt"), ("dm/uuid", "CRYPT-LUKS2-1")]);
    tree.disk("zd0", "230:0", 2048, &[]);
    tree.disk("zram0", "252:0", 2048, &[]);
    // A file system with a number of its own names its device by path.
    tree.mount("0:44", "/", "/btrfs", "btrfs", "/dev/mapper/vg-data");
    let listing = tree.list();
    let check = |id: &str, engine: Engine, snapshot: SnapshotMethod| {
        let volume = listing.find(id).unwrap();
        assert_eq!((volume.engine, volume.abilities.snapshot.engine_has), (engine, snapshot), "{id}");
        assert_eq!(volume.abilities.snapshot.now, SnapshotMethod::None, "{id}: this version takes none");
        assert!(!volume.abilities.snapshot.not_better_because.is_empty());
    };
    check("disk.dm-uuid-LVM-abc", Engine::Lvm, SnapshotMethod::Lvm);
    check("disk.dm-uuid-CRYPT-LUKS2-1", Engine::RawDevice, SnapshotMethod::None);
    check("dev.zd0", Engine::Zfs, SnapshotMethod::Zfs);
    assert_eq!(uses(listing.find("dev.dm-3").unwrap()), ["mounted on /btrfs (btrfs)"]);
    assert!(listing.find("dev.zram0").unwrap().obstacle.as_ref().unwrap().contains("memory"));
}

#[test]
fn a_whole_device_of_a_pod_is_the_device_and_a_bind_mount_of_a_directory_is_not() {
    let mut tree = Tree::new();
    tree.disk("vda", "254:0", 1 << 20, &[]);
    tree.disk("vdb", "254:16", 2048, &[("serial", "pvc-serial")]);
    tree.mount("254:0", "/", "/", "ext4", "/dev/vda");
    tree.csi_mount("uid-1", "pvc-whole", "ebs.csi.aws.com", "254:16", "/");
    tree.directory_root("var/openebs/local", DirectoryUse::HostPath);
    let hostpath = "var/openebs/local/pvc-dir";
    fs::create_dir_all(tree.root().join(hostpath)).unwrap();
    fs::create_dir_all(tree.root().join("var/openebs/local/idle")).unwrap();
    tree.write("var/openebs/local/stray-file", "");
    let place = format!("/var/lib/kubelet/pods/uid-1/volumes/{LOCAL}/pvc-dir");
    fs::create_dir_all(tree.root().join(&place[1..])).unwrap();
    tree.mount("254:0", "/var/openebs/local/pvc-dir", &place, "ext4", "/dev/vda");
    fs::create_dir_all(tree.root().join("var/log/pods/shop_db-0_uid-1")).unwrap();
    let listing = tree.list();

    let whole = listing.find("pv.pvc-whole").unwrap();
    assert_eq!(
        (whole.kind, whole.engine, whole.size_bytes),
        (VolumeKind::Device, Engine::CsiOther, Some(1 << 20))
    );
    assert_eq!(whole.path, tree.roots.dev.join("vdb"));
    assert_eq!(whole.device.as_ref().unwrap().serial.as_deref(), Some("pvc-serial"));
    let claim = &whole.claims[0];
    let csi = claim.csi.as_ref().unwrap();
    assert_eq!((csi.driver.as_str(), csi.handle.as_str()), ("ebs.csi.aws.com", "handle-of-pvc-whole"));
    assert_eq!((claim.mode, claim.pod_label().as_str()), (ClaimMode::FileSystem, "shop/db-0"));
    assert_eq!(listing.find("dev.vdb"), Some(whole), "the kernel's name is an alias");
    assert_eq!(whole.consistency(), Consistency::CrashAtBest);

    let part = listing.find("pv.pvc-dir").unwrap();
    assert_eq!(
        (part.kind, part.engine, part.size_bytes),
        (VolumeKind::Directory, Engine::LocalPvHostpath, None)
    );
    assert_eq!(part.path, tree.root().join(hostpath), "the provisioner's path outlasts the pod's");
    assert_eq!(part.device.as_ref().unwrap().name, "vda");
    assert!(part.obstacle.as_ref().unwrap().contains("dev/vda"));
    assert!(part.file_system.as_ref().unwrap().size_bytes.is_some());
    assert!(uses(part)[0].contains("its directory /var/openebs/local/pvc-dir"), "{:?}", uses(part));

    let idle = listing.volumes.iter().find(|volume| volume.path.ends_with("idle")).unwrap();
    assert_eq!(
        (idle.id.source(), idle.engine, idle.is_in_use()),
        (IdSource::Path, Engine::LocalPvHostpath, false)
    );
    assert_eq!(listing.volumes.len(), 4, "vda, vdb, two directories: {:?}", ids(&listing));
    assert_eq!(listing.problems, []);
}

#[test]
fn raw_block_volumes_lead_to_their_device_and_kubelets_hold_is_no_volume() {
    let mut tree = Tree::new();
    tree.disk("loop5", "7:5", 2048, &[("loop/backing_file", "/srv/block.img")]);
    let hold = format!("/var/lib/kubelet/plugins/{LOCAL}/volumeDevices/pv-block/uid-1");
    tree.disk("loop6", "7:6", 2048, &[("loop/backing_file", &hold)]);
    tree.disk("vdc", "254:32", 2048, &[]);
    tree.link("dev/disk/by-id/virtio-c", "../../vdc");
    // A local volume by a stable name, a CSI volume by the driver's own node, which is not to be seen here.
    tree.link(format!("var/lib/kubelet/pods/uid-1/volumeDevices/{LOCAL}/pv-block"), "/dev/loop5");
    let csi = "var/lib/kubelet/plugins/kubernetes.io/csi/volumeDevices";
    tree.link(
        "var/lib/kubelet/pods/uid-2/volumeDevices/kubernetes.io~csi/pv-csi",
        format!("/{csi}/publish/pv-csi/uid-2"),
    );
    tree.link(format!("{csi}/publish/pv-csi/uid-2"), "/dev/disk/by-id/virtio-c");
    tree.write(
        format!("{csi}/pv-csi/data/vol_data.json"),
        vol_data("pv-csi", "driver.longhorn.io", "Persistent"),
    );
    tree.link("var/lib/kubelet/pods/uid-3/volumeDevices/kubernetes.io~csi/pv-lost", "/run/elsewhere");
    tree.directory_root("srv", DirectoryUse::Images);
    tree.write("srv/block.img", [0; 4096]);
    tree.mount("254:0", "/", "/", "ext4", "/dev/vda");
    let listing = tree.list();

    let block = listing.find("pv.pv-block").unwrap();
    assert_eq!((block.path.clone(), block.engine), (tree.roots.dev.join("loop5"), Engine::LocalPvDevice));
    assert_eq!(uses(block), ["used by pod uid-1"]);
    let csi = listing.find("pv.pv-csi").unwrap();
    assert_eq!((csi.path.clone(), csi.engine), (tree.roots.dev.join("vdc"), Engine::Longhorn));
    assert_eq!(listing.find("disk.virtio-c"), Some(csi));
    let lost = listing.find("pv.pv-lost").unwrap();
    assert!(lost.device.is_none() && lost.obstacle.as_ref().unwrap().contains("no device is seen"));
    let held = listing.find("dev.loop6").unwrap();
    assert!(held.obstacle.as_ref().unwrap().contains("pv-block"), "{:?}", held.obstacle);
    let image = listing.volumes.iter().find(|volume| volume.kind == VolumeKind::Image).unwrap();
    assert_eq!((image.size_bytes, image.engine), (Some(4096), Engine::ImageFile));
    assert_eq!(
        (image.abilities.changed_blocks.now, uses(image)),
        (ChangedBlocks::HashOfData, vec!["shown as loop5".to_owned()])
    );
    assert_eq!(listing.problems, []);
}

#[test]
fn volumes_of_a_pods_own_have_no_persistent_name_and_secrets_are_left_out() {
    let tree = Tree::new();
    let pod = "var/lib/kubelet/pods/uid-1/volumes";
    for plugin in ["secret", "configmap", "projected", "empty-dir", "downward-api"] {
        fs::create_dir_all(tree.root().join(format!("{pod}/kubernetes.io~{plugin}/x"))).unwrap();
    }
    tree.write(format!("{pod}/kubernetes.io~csi/inline/vol_data.json"), vol_data("inline", "x", "Ephemeral"));
    fs::create_dir_all(tree.root().join(format!("{pod}/kubernetes.io~nfs/share"))).unwrap();
    tree.mount("0:50", "/", &format!("/{pod}/kubernetes.io~nfs/share"), "nfs4", "server:/x");
    let listing = tree.list();
    assert_eq!(listing.volumes.len(), 2, "{:?}", ids(&listing));
    assert!(listing.volumes.iter().all(|volume| volume.id.source() == IdSource::Path));
    let inline = listing.volumes.iter().find(|volume| volume.path.ends_with("inline/mount")).unwrap();
    assert!(inline.obstacle.as_ref().unwrap().contains("HostToContainer"), "{:?}", inline.obstacle);
    let share = listing.volumes.iter().find(|volume| volume.path.ends_with("share")).unwrap();
    let file_system = share.file_system.as_ref().unwrap();
    assert_eq!((file_system.name.as_str(), file_system.size_bytes), ("nfs4", None), "a server is not asked");
}

#[test]
fn one_volume_of_two_pods_is_listed_once() {
    let tree = Tree::new();
    tree.disk("vdb", "254:16", 2048, &[]);
    tree.csi_mount("uid-1", "pvc-1", "x.example", "254:16", "/");
    tree.csi_mount("uid-2", "pvc-1", "x.example", "254:16", "/");
    let csi = "volumes/kubernetes.io~csi";
    let place = format!("var/lib/kubelet/pods/uid-3/{csi}/pvc-1/vol_data.json");
    tree.write(place, vol_data("pvc-1", "x.example", "Persistent"));
    let listing = tree.list();
    assert_eq!(ids(&listing), ["pv.pvc-1"]);
    let pods: Vec<_> = listing.volumes[0].claims.iter().map(|claim| claim.pod_uid.as_str()).collect();
    assert_eq!(pods, ["uid-1", "uid-2", "uid-3"], "the third is not mounted yet");
}

#[test]
fn what_vanishes_is_left_out_and_what_makes_no_sense_is_told() {
    let tree = Tree::new();
    tree.disk("sda", "8:0", 2048, &[]);
    // Unplugged while it is looked at: the link is there, the directory is not.
    tree.link("sys/class/block/sdb", "../../devices/x/sdb");
    tree.disk("sdc", "nonsense", 2048, &[]);
    tree.write("sys/devices/x/sdd/dev", "8:48\n");
    fs::create_dir_all(tree.root().join("sys/devices/x/sdd/size")).unwrap();
    tree.link("sys/class/block/sdd", "../../devices/x/sdd");
    tree.disk("sde", "8:64", 2048, &[]);
    let ro = tree.root().join("sys/devices/x/sde/ro");
    fs::remove_file(&ro).unwrap();
    fs::create_dir(&ro).unwrap();
    let listing = tree.list();
    assert_eq!(ids(&listing), ["dev.sda", "dev.sde"]);
    let told: Vec<String> = listing.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("sdc: read the device") && told[1].contains("sdd: read the device"), "{told:?}");
    let sde = listing.find("dev.sde").unwrap();
    assert_eq!(sde.device.as_ref().unwrap().is_read_only, None);
    assert!(sde.problems[0].contains("/ro cannot be read"), "{:?}", sde.problems);
}

#[test]
fn volumes_of_the_same_name_in_two_pods_are_two() {
    let tree = Tree::new();
    for uid in ["uid-1", "uid-2"] {
        let place = format!("var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/cache/vol_data.json");
        tree.write(place, vol_data("cache", "x.example", "Ephemeral"));
    }
    let listing = tree.list();
    assert_eq!(listing.volumes.len(), 2, "{:?}", ids(&listing));
}

#[test]
fn odd_bytes_never_stop_a_listing() {
    let mut tree = Tree::new();
    let odd = OsStr::from_bytes(b"od\xffd~ \\040");
    tree.disk("sda", "8:0", 2048, &[("device/model", "x")]);
    fs::write(tree.root().join("sys/devices/x/sda/device/model"), b"\xff\xfe\n").unwrap();
    symlink("../../devices/x/sda", tree.root().join("sys/class/block").join(odd)).unwrap();
    for place in
        ["var/lib/kubelet/pods", "var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~nfs", "var/log/pods"]
    {
        fs::create_dir_all(tree.root().join(place).join(odd)).unwrap();
    }
    tree.write(
        "var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~csi/broken/vol_data.json",
        b"{\"driverName\": 7\xff",
    );
    tree.directory_root("srv", DirectoryUse::HostPath);
    fs::create_dir_all(tree.root().join("srv").join(odd)).unwrap();
    tree.link(Path::new("dev/disk/by-id").join(odd), "../../sda");
    tree.write("proc/self/mountinfo", b"\xff\xff\n40 22 8:0 /\xff /m\xff\\04 ro - \xff \xff ro\n - \n");
    let listing = tree.list();
    let told: Vec<String> = listing.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "the device, the pod, its volume, its vol_data.json: {told:?}");
    let disk = listing.find("dev.sda").unwrap();
    assert_eq!(disk.id.as_str(), "disk.od~FFd~7E~20~5C040");
    assert_eq!(disk.consistency(), Consistency::Quiet, "mounted read-only");
    assert!(listing.volumes.iter().any(|volume| volume.path == tree.root().join("srv").join(odd)));
    let safe = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
    assert!(ids(&listing).into_iter().all(safe), "{:?}", ids(&listing));
}

#[test]
fn a_node_without_anything_lists_nothing_and_says_what_is_missing() {
    let tree = Tree::new();
    fs::remove_dir_all(tree.root().join("sys")).unwrap();
    fs::remove_dir_all(tree.root().join("proc")).unwrap();
    let listing = tree.list();
    assert_eq!(listing.volumes, []);
    assert_eq!(listing.problems.len(), 3, "{:?}", listing.problems);
}
