//! What a listing costs, counted in reads and not in time.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::fs;
use std::time::Instant;

use coffer_volume::{DirectoryUse, Effort};

#[path = "support/tree.rs"]
mod tree;

use tree::Tree;

/// A node with `count` devices, each with a stable name and a file system that a pod uses, and `count` directories.
fn listing_of(count: usize) -> Effort {
    let mut tree = Tree::new();
    tree.directory_root("srv", DirectoryUse::HostPath);
    tree.disk("vda", "254:0", 2048, &[]);
    tree.mount("254:0", "/", "/", "ext4", "/dev/vda");
    for index in 0..count {
        let (name, number) = (format!("dm-{index}"), format!("253:{index}"));
        tree.disk(&name, &number, 2048, &[("dm/name", &name), ("dm/uuid", &format!("LVM-{index}"))]);
        tree.link(format!("dev/disk/by-id/dm-uuid-LVM-{index}"), format!("../../{name}"));
        tree.csi_mount(
            &format!("uid-{index}"),
            &format!("pvc-{index}"),
            "local.csi.openebs.io",
            &number,
            "/",
        );
        fs::create_dir(tree.root().join(format!("srv/pvc-{index}"))).unwrap();
    }
    let begun = Instant::now();
    let listing = tree.list();
    println!("{} volumes in {:?}: {:?}", listing.volumes.len(), begun.elapsed(), listing.effort);
    assert_eq!((listing.volumes.len(), listing.problems.len()), (2 * count + 1, 0));
    assert!((0..count).all(|index| listing.find(&format!("pv.pvc-{index}")).is_some()));
    listing.effort
}

#[test]
fn each_volume_costs_the_same_however_many_there_are() {
    let total = |count| listing_of(count).total();
    let (one, few, many) = (total(1), total(11), total(500));
    let each = (few - one) / 10;
    assert_eq!(
        (few - one, many - one),
        (10 * each, 499 * each),
        "no table is read twice, no list searched again"
    );
    assert!(each <= 20, "a device with its stable name, its pod, and a directory: {each}");
}
