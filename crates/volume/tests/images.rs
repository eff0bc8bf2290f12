//! Images below configured directories: chosen by page or by path, so that very many of them cost neither memory nor reads; and stopping.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use coffer_volume::{Access, DeviceClass, DirectoryUse, Gate, Images, Inventory, Policy, Stopped, VolumeId};

#[path = "support/tree.rs"]
mod tree;

use tree::{Tree, ids};

/// A node with so many images in `srv`, and what is none.
fn images(count: usize) -> (Tree, Vec<PathBuf>) {
    let mut tree = Tree::new();
    tree.directory_root("srv", DirectoryUse::Images);
    let path = |index: usize| tree.root().join(format!("srv/{index:06}.img"));
    let paths: Vec<PathBuf> = (0..count).map(path).collect();
    paths.iter().for_each(|path| fs::write(path, "x").unwrap());
    fs::create_dir(tree.root().join("srv/directory")).unwrap();
    std::os::unix::fs::symlink(&paths[0], tree.root().join("srv/link")).unwrap();
    (tree, paths)
}

#[test]
fn pages_have_every_image_once_and_look_at_no_more_than_they_have() {
    let (tree, paths) = images(2_000);
    let inventory = Inventory::new(tree.roots.clone());
    let mut seen = BTreeSet::new();
    let (mut after, mut pages) = (String::new(), 0);
    loop {
        let page = Images::Page { after: &after, max: 300, fits: &|_, _| true };
        let listing = inventory.look(page, &|| false).unwrap();
        assert!(listing.volumes.len() <= 300);
        assert!(listing.effort.looks <= 300 + 10, "{:?}", listing.effort);
        seen.extend(listing.volumes.iter().map(|volume| volume.path.clone()));
        pages += 1;
        let Some(cut) = listing.images_cut_after else { break };
        after = cut.to_string();
    }
    assert_eq!((pages, seen), (7, paths.into_iter().collect()));
}

#[test]
fn what_does_not_fit_is_not_looked_at_and_takes_no_place() {
    let (tree, _) = images(100);
    let even = |_: &VolumeId, path: &Path| path.to_str().is_some_and(|path| path.ends_with("7.img"));
    let page = Images::Page { after: "", max: 10, fits: &even };
    let listing = Inventory::new(tree.roots.clone()).look(page, &|| false).unwrap();
    assert_eq!((listing.volumes.len(), listing.images_cut_after), (10, None));
    assert!(listing.effort.looks <= 20, "{:?}", listing.effort);
}

#[test]
fn images_by_path_list_no_directory_however_full_it_is() {
    let (tree, paths) = images(1_000);
    let single = tree.root().join("alone.img");
    fs::write(&single, "x").unwrap();
    let outside = tree.root().join("elsewhere.img");
    fs::write(&outside, "x").unwrap();
    let inventory = Inventory::new(tree.roots.clone()).with_images([single.clone()]);
    let few = inventory.look(Images::At(&[]), &|| false).unwrap().effort;
    let mut wanted: Vec<&Path> = paths.iter().take(256).map(PathBuf::as_path).collect();
    let (link, directory, missing) =
        (tree.root().join("srv/link"), tree.root().join("srv/directory"), tree.root().join("srv/none"));
    wanted.extend([single.as_path(), &outside, &link, &directory, &missing]);
    let listing = inventory.look(Images::At(&wanted), &|| false).unwrap();
    assert_eq!(listing.volumes.len(), 257, "{:?}", ids(&listing));
    assert_eq!(listing.effort.directories, few.directories);
    assert!(listing.effort.looks <= few.looks + 260, "{:?}", listing.effort);
}

#[test]
fn a_walk_stops_at_whatever_step_it_is_told_to() {
    let (mut tree, _) = images(50);
    tree.directory_root("hostpath", DirectoryUse::HostPath);
    for index in 0..5 {
        tree.disk(&format!("dm-{index}"), &format!("253:{index}"), 2048, &[("dm/uuid", "LVM-x")]);
        tree.csi_mount(&format!("uid-{index}"), "pvc-1", "driver", &format!("253:{index}"), "/");
        fs::create_dir(tree.root().join(format!("hostpath/{index}"))).unwrap();
    }
    let inventory = Inventory::new(tree.roots.clone());
    let asked = Cell::new(0);
    let count = || {
        asked.set(asked.get() + 1);
        false
    };
    inventory.look(Images::All, &count).unwrap();
    let steps = asked.get();
    assert!(steps > 150, "asked at each read and at each entry: {steps}");
    for step in 0..steps {
        asked.set(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > step
        };
        assert_eq!(inventory.look(Images::All, &stop).unwrap_err(), Stopped, "at step {step}");
        assert_eq!(asked.get(), step + 1, "it asked once, and believed it");
    }
}

#[test]
fn a_device_of_a_class_that_is_not_allowed_says_so() {
    let tree = Tree::new();
    tree.disk("vda", "254:0", 2048, &[]);
    tree.partition("vda", "vda1", "254:1", 1024);
    let listing = tree.list();
    let obstacle = |classes: &[DeviceClass], name: &str| {
        let allow = |policy: Policy, class: &DeviceClass| policy.allow_class(*class, Access::ReadWrite);
        let gate = Gate::new(classes.iter().fold(Policy::new(), allow), "/sys").unwrap();
        gate.class_obstacle(listing.find(&format!("dev.{name}")).unwrap().device.as_ref().unwrap())
    };
    let (virtio, partition) = (DeviceClass::Virtio, DeviceClass::Partition);
    assert!(obstacle(&[], "vda").unwrap().contains("add `virtio`"));
    assert!(obstacle(&[partition], "vda1").unwrap().contains("add `virtio`"));
    assert!(obstacle(&[virtio], "vda1").unwrap().contains("add `partition`"));
    assert_eq!(obstacle(&[virtio], "vda"), None);
    assert_eq!(obstacle(&[virtio, partition], "vda1"), None);
}
