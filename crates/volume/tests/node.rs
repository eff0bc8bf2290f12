//! Real loop devices and ext4 mounts: what a listing says of them, and that the gate opens them. Needs root and says
//! so where it has none.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::fs;
use std::os::unix::fs::{FileExt, FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use coffer_blockio::{BlockSource, BlockTarget, FileTarget, OpenError, PreadSource};
use coffer_volume::{
    Access, Consistency, DeviceClass, Engine, Gate, GateError, Inventory, Opened, Policy, Roots, Use,
    VolumeKind,
};

#[path = "../../blockio/tests/support/loop_device.rs"]
mod loop_device;

use loop_device::{LoopDevice, Mount, run};

const SIZE: u64 = 16 << 20;

fn gate(device_directories: &[&Path], classes: &[(DeviceClass, Access)]) -> Gate {
    let mut policy = Policy::new();
    for directory in device_directories {
        policy = policy.allow_devices_below(directory).unwrap();
    }
    for (class, access) in classes {
        policy = policy.allow_class(*class, *access);
    }
    Gate::new(policy, "/sys").unwrap()
}

fn formatted(test: &str) -> Option<LoopDevice> {
    let device = LoopDevice::try_new(test, SIZE, 512)?;
    match run(Command::new("mkfs.ext4").arg("-q").arg(&device.path)) {
        Ok(_) => Some(device),
        Err(reason) => {
            eprintln!("SKIPPED {test}: no mkfs.ext4: {reason}");
            None
        }
    }
}

fn kernel_name(device: &LoopDevice) -> String {
    device.path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_loop_device_is_listed_with_its_file_and_its_mount() {
    let Some(device) = formatted("listed loop device") else { return };
    let Some(mount) = Mount::try_new("listed loop device", &[device.path.to_str().unwrap()]) else { return };
    let id = format!("dev.{}", kernel_name(&device));
    let listing = Inventory::new(Roots::of_node()).list();
    let volume = listing.find(&id).unwrap();
    let found = volume.device.as_ref().unwrap();
    assert_eq!((volume.size_bytes, found.class), (Some(SIZE), DeviceClass::Loop));
    assert_eq!(found.loop_file.as_deref(), Some(device.backing.as_path()));
    assert_eq!((volume.path.as_path(), found.is_read_only), (device.path.as_path(), Some(false)));
    assert_eq!(volume.file_system.as_ref().unwrap().name, "ext4");
    // The directory's name has blanks, which the mount table escapes.
    let is_here = |usage: &Use| matches!(usage, Use::Mounted { point, .. } if point == mount.path());
    assert!(volume.uses.iter().any(is_here), "{:?}", volume.uses);
    assert_eq!(volume.consistency(), Consistency::CrashAtBest);
    drop(mount);
    let listing = Inventory::new(Roots::of_node()).list();
    assert_eq!(listing.find(&id).unwrap().consistency(), Consistency::Quiet);
}

#[test]
fn kubelets_mounts_and_nodes_lead_to_their_devices() {
    let Some(whole) = formatted("kubelet's mounts") else { return };
    let Some(raw) = LoopDevice::try_new("kubelet's mounts", SIZE, 512) else { return };
    let directory = tempfile::tempdir().unwrap();
    let kubelet = directory.path().join("kubelet");
    let local = "kubernetes.io~local-volume";
    let volumes = kubelet.join("pods/uid-1/volumes").join(local);
    let (fs_place, part_place) = (volumes.join("pv-whole"), volumes.join("pv-part"));
    let map = kubelet.join("plugins").join(local).join("volumeDevices/pv-raw/uid-1");
    let link = kubelet.join("pods/uid-1/volumeDevices").join(local).join("pv-raw");
    for place in [&fs_place, &part_place, &link.parent().unwrap().into(), &map.parent().unwrap().into()] {
        fs::create_dir_all(place).unwrap();
    }
    fs::write(&map, "").unwrap();
    symlink(&raw.path, &link).unwrap();
    let mut mounts = Undo::default();
    let ready = mounts.mount(&[whole.path.as_path(), &fs_place])
        && fs::create_dir(fs_place.join("tenant")).is_ok()
        && mounts.mount(&[Path::new("--bind"), &fs_place.join("tenant"), &part_place])
        && mounts.mount(&[Path::new("--bind"), &raw.path, &map]);
    if !ready {
        return;
    }
    let roots = Roots { kubelet: kubelet.clone(), kubelet_on_node: kubelet, ..Roots::of_node() };
    let listing = Inventory::new(roots).list();
    let find = |id: &str| listing.find(id).unwrap_or_else(|| panic!("{id}: {:?}", listing.problems));
    let volume = find("pv.pv-whole");
    assert_eq!(
        (volume.kind, volume.path.as_path(), volume.engine),
        (VolumeKind::Device, whole.path.as_path(), Engine::LocalPvDevice)
    );
    let part = find("pv.pv-part");
    assert_eq!(
        (part.kind, part.path.as_path(), part.engine),
        (VolumeKind::Directory, part_place.as_path(), Engine::LocalPvHostpath)
    );
    assert_eq!(part.device.as_ref().unwrap().path, whole.path);
    assert!(
        part.file_system.as_ref().unwrap().size_bytes.is_some_and(|bytes| bytes < SIZE),
        "of the file system"
    );
    let block = find("pv.pv-raw");
    assert_eq!((block.path.as_path(), block.size_bytes), (raw.path.as_path(), Some(SIZE)));
    assert!(block.uses.contains(&Use::Pod { pod: "uid-1".into() }), "{:?}", block.uses);

    // The bind mount of the node is crossed by the gate, and judged like the node below /dev.
    let devices = gate(&[map.parent().unwrap()], &[(DeviceClass::Loop, Access::Read)]);
    let opened = devices.open_volume(&map, Access::Read).unwrap();
    let Opened::Device(known) = &opened.what else { panic!("{:?}", opened.what) };
    assert_eq!(known.name, kernel_name(&raw));
}

#[test]
fn the_gate_opens_devices_of_allowed_classes_only() {
    let Some(device) = LoopDevice::try_new("classes", SIZE, 512) else { return };
    let dev = Path::new("/dev");
    let reading = gate(&[dev], &[(DeviceClass::Loop, Access::Read)]);
    let opened = reading.open_volume(&device.path, Access::Read).unwrap();
    assert!(opened.file.metadata().unwrap().file_type().is_block_device());
    let Opened::Device(known) = &opened.what else { panic!("{:?}", opened.what) };
    assert_eq!(
        (known.name.as_str(), known.class, known.whole_class),
        (kernel_name(&device).as_str(), DeviceClass::Loop, None)
    );
    let refused = |gate: &Gate, access, words: &[&str]| {
        let error = gate.open_volume(&device.path, access).unwrap_err();
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        error
    };
    let error = refused(&reading, Access::ReadWrite, &["class `loop`", "reading only"]);
    assert!(matches!(error, GateError::ReadOnly { .. }), "{error:?}");
    let others = gate(&[dev], &[(DeviceClass::Nvme, Access::ReadWrite)]);
    let error = refused(&others, Access::Read, &["`loop`", "allowed: nvme", "settings"]);
    assert!(matches!(error, GateError::ClassNotAllowed { class: DeviceClass::Loop, .. }), "{error:?}");
    let nowhere = gate(&[], &[(DeviceClass::Loop, Access::Read)]);
    assert!(matches!(refused(&nowhere, Access::Read, &["devices: none"]), GateError::NotAllowed { .. }));
}

#[test]
fn a_device_node_outside_of_the_device_directories_is_refused() {
    let Some(device) = LoopDevice::try_new("stray node", SIZE, 512) else { return };
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("node");
    let Some(()) = copy_node(&device.path, &node) else { return };
    let policy = Policy::new().allow_files_below(directory.path(), Access::ReadWrite).unwrap();
    let policy =
        policy.allow_devices_below("/dev").unwrap().allow_class(DeviceClass::Loop, Access::ReadWrite);
    let gate = Gate::new(policy, "/sys").unwrap();
    let error = gate.open_volume(&node, Access::Read).unwrap_err();
    assert!(matches!(error, GateError::DeviceNotAllowed { .. }), "{error:?}");
    assert!(error.to_string().contains("allowed: /dev"), "{error}");
}

#[test]
fn a_device_goes_through_the_gate_to_source_and_target() {
    let Some(device) = LoopDevice::try_new("by handle", SIZE, 512) else { return };
    let directory = tempfile::tempdir().unwrap();
    let links = directory.path().join("by-id");
    fs::create_dir(&links).unwrap();
    // A stable name, as udev makes them; its directory is allowed beside /dev.
    symlink(&device.path, links.join("stable")).unwrap();
    let gate = gate(&[Path::new("/dev"), &links], &[(DeviceClass::Loop, Access::ReadWrite)]);
    let opened = gate.open_volume(&links.join("stable"), Access::ReadWrite).unwrap();
    let Opened::Device(known) = &opened.what else { panic!("{:?}", opened.what) };
    assert_eq!(known.name, kernel_name(&device));
    let target = FileTarget::open_existing_handle(&opened.file, &opened.path).unwrap();
    assert!(target.is_direct() && !target.is_fresh());
    target.write_all_at(4096, b"through the gate").unwrap();
    target.flush().unwrap();
    let again = FileTarget::open_existing_handle(&opened.file, &opened.path);
    assert!(matches!(again, Err(OpenError::Busy { .. })), "a device is claimed by one target at a time");
    drop(target);
    let source = PreadSource::open_handle(&opened.file, &opened.path).unwrap();
    assert!(source.is_direct() && source.size_bytes() == SIZE);
    let mut found = [0; 16];
    source.read_exact_at(4096, &mut found).unwrap();
    assert_eq!(&found, b"through the gate");
    let behind = fs::File::open(&device.backing).unwrap();
    behind.read_exact_at(&mut found, 4096).unwrap();
    assert_eq!(&found, b"through the gate");
}

#[test]
fn a_mounted_device_may_be_read_by_handle_but_is_no_target() {
    let Some(device) = formatted("mounted, by handle") else { return };
    let Some(mount) = Mount::try_new("mounted, by handle", &[device.path.to_str().unwrap()]) else { return };
    let gate = gate(&[Path::new("/dev")], &[(DeviceClass::Loop, Access::ReadWrite)]);
    let opened = gate.open_volume(&device.path, Access::ReadWrite).unwrap();
    let error = FileTarget::open_existing_handle(&opened.file, &opened.path).unwrap_err();
    let place = mount.path().to_str().unwrap();
    assert!(matches!(&error, OpenError::Busy { reason, .. } if reason.contains(place)), "{error:?}");
    PreadSource::open_handle(&opened.file, &opened.path).unwrap();
}

#[test]
fn mounts_below_an_allowed_directory_are_crossed() {
    let directory = tempfile::tempdir().unwrap();
    let (allowed, outside) = (directory.path().join("allowed"), directory.path().join("outside"));
    fs::create_dir_all(allowed.join("bound")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("image"), "bound").unwrap();
    let mut mounts = Undo::default();
    if !mounts.mount(&[Path::new("--bind"), &outside, &allowed.join("bound")]) {
        return;
    }
    let policy = Policy::new().allow_files_below(&allowed, Access::Read).unwrap();
    let gate = Gate::new(policy, "/sys").unwrap();
    let opened = gate.open_volume(&allowed.join("bound/image"), Access::Read).unwrap();
    assert_eq!(opened.what, Opened::Image);
    // A path that asks to leave the mount upwards is refused before it is looked at.
    let error = gate.open_volume(&allowed.join("bound/../../outside/image"), Access::Read).unwrap_err();
    assert!(matches!(error, GateError::BadPath { .. }), "{error:?}");
}

/// Makes another node of the device at `path`, if this user may.
fn copy_node(path: &Path, node: &Path) -> Option<()> {
    use std::os::unix::fs::MetadataExt;
    let number = fs::metadata(path).unwrap().rdev();
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    let mknod =
        Command::new("mknod").arg(node).arg("b").arg(major.to_string()).arg(minor.to_string()).status();
    if mknod.is_ok_and(|status| status.success()) {
        return Some(());
    }
    eprintln!("SKIPPED stray node: no mknod");
    None
}

/// Mounts that are undone in the opposite order.
#[derive(Default)]
struct Undo {
    points: Vec<PathBuf>,
}

impl Undo {
    /// Mounts on the last path; says why not, if not.
    fn mount(&mut self, arguments: &[&Path]) -> bool {
        match run(Command::new("mount").args(arguments)) {
            Ok(_) => {
                self.points.push(arguments.last().unwrap().to_path_buf());
                true
            }
            Err(reason) => {
                eprintln!("SKIPPED: no mount: {reason}");
                false
            }
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for point in self.points.iter().rev() {
            if let Err(reason) = run(Command::new("umount").arg("--lazy").arg(point)) {
                eprintln!("left behind {}: {reason}", point.display());
            }
        }
    }
}
