//! What goes in comes out: sizes, contents, growth, shrinking, modes.

use coffer_engine::RestoreMode;
use coffer_format::BlockSize;

use crate::world::{Disk, Image, World};

const KIB: usize = 1024;

fn check_sizes(encrypted: bool) {
    for size in [0, 1, 511, 4096, 65_535, 65_536, 65_537, 300 * KIB + 7, 3 << 20, (9 << 20) + 13] {
        let world = World::new(size as u64, encrypted);
        let mut image = Image::mixed(size as u64, size, 16 * KIB);
        world.backup(&image);
        let first = image.clone();
        image.mutate(7, 16 * KIB, 0.1);
        world.backup(&image);
        let points = world.points();
        assert_eq!(points.len(), 2, "size {size}");
        assert!(world.restore(&points[0]) == first.bytes, "first point, size {size}");
        assert!(world.restore(&points[1]) == image.bytes, "second point, size {size}");
        world.assert_sound();
    }
}

#[test]
fn every_size_comes_back_encrypted() {
    check_sizes(true);
}

#[test]
fn every_size_comes_back_unencrypted() {
    check_sizes(false);
}

#[test]
fn a_volume_may_grow_and_shrink_between_points() {
    let mut world = World::new(1, true);
    world.block_size = Some(BlockSize::new(16 << 10).unwrap());
    let mut images = Vec::new();
    let sizes = [100 * KIB + 3, 100 * KIB + 9, 70 << 20, (64 << 20) + 1, 64 << 20, 10, 0, 5, 200 * KIB];
    for (index, size) in sizes.into_iter().enumerate() {
        let mut bytes = images.last().map_or_else(Vec::new, |image: &Image| image.bytes.clone());
        let filler = Image::mixed(index as u64, size, 16 * KIB).bytes;
        bytes.truncate(size);
        let have = bytes.len();
        bytes.extend_from_slice(&filler[have..]);
        let image = Image::new(bytes);
        world.backup(&image);
        images.push(image);
    }
    for (point, image) in world.points().iter().zip(&images) {
        assert!(world.restore(point) == image.bytes, "size {}", image.bytes.len());
    }
    world.assert_sound();
}

#[test]
fn only_changed_blocks_are_stored_again() {
    let world = World::new(2, true);
    let mut image = Image::mixed(2, 32 << 20, 64 * KIB);
    image.tells_holes = false;
    world.backup(&image);
    let before = image.clone();
    image.mutate(3, 64 * KIB, 0.02);
    let differs =
        |a: &[u8], b: &[u8]| a.chunks(64 * KIB).zip(b.chunks(64 * KIB)).filter(|(a, b)| a != b).count();
    let changed = differs(&before.bytes, &image.bytes);
    let report = world.backup(&image);
    assert_eq!(report.volumes[0].blocks_changed, changed as u64);
    assert_eq!(report.volumes[0].changed, (changed * 64 * KIB) as u64);
    assert_eq!(report.volumes[0].read, 32 << 20);
    assert!(
        report.volumes[0].stored < ((changed + 2) * 64 * KIB) as u64,
        "stored {}",
        report.volumes[0].stored
    );
    let unchanged = world.backup(&image);
    assert_eq!(unchanged.volumes[0].changed, 0);
    assert!(unchanged.volumes[0].stored < 4096, "stored {}", unchanged.volumes[0].stored);
}

#[test]
fn in_place_restore_writes_only_what_differs() {
    let world = World::new(3, true);
    let image = Image::mixed(4, (20 << 20) + 77, 64 * KIB);
    world.backup(&image);
    let mut other = image.clone();
    let changed = other.mutate(5, 64 * KIB, 0.05);
    let disk = Disk::of(other.bytes.clone());
    let report = world.restore_to(&world.points()[0], &disk, RestoreMode::InPlace).unwrap();
    assert!(disk.bytes() == image.bytes);
    let volume = &report.volumes[0];
    assert_eq!(volume.skipped + volume.written + volume.zeroed, image.bytes.len() as u64);
    assert!(volume.written + volume.zeroed <= (changed * 64 * KIB) as u64);
    let again = world.restore_to(&world.points()[0], &disk, RestoreMode::InPlace).unwrap();
    assert_eq!(again.volumes[0].skipped, image.bytes.len() as u64);
    assert_eq!(again.volumes[0].fetched, 0);
}

#[test]
fn a_fresh_target_needs_no_zeroes() {
    let world = World::new(4, false);
    let image = Image::mixed(6, 5 << 20, 64 * KIB);
    world.backup(&image);
    let disk = Disk::fresh(image.bytes.len());
    let report = world.restore_to(&world.points()[0], &disk, RestoreMode::Write).unwrap();
    assert!(disk.bytes() == image.bytes);
    assert_eq!(report.volumes[0].zeroed, 0);
}

#[test]
fn holes_are_not_read() {
    let world = World::new(5, true);
    let mut image = Image::new(vec![0; 400 << 20]);
    image.bytes[333 << 20] = 1;
    let report = world.backup(&image);
    assert_eq!(report.volumes[0].read, 64 * KIB as u64);
    assert_eq!(report.volumes[0].changes.to_string(), "fiemap");
    assert!(world.restore(&world.points()[0]) == image.bytes);
    image.bytes[333 << 20] = 0;
    let report = world.backup(&image);
    assert_eq!(report.volumes[0].read, 0);
    assert_eq!(report.volumes[0].blocks_changed, 1);
    assert!(world.restore(&world.points()[1]).iter().all(|byte| *byte == 0));
}

/// Records whose last fifth is blank: LZ4 gains about a seventh.
fn database_like(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Image::noise(seed, len).bytes;
    for record in bytes.chunks_mut(128) {
        let random = record.len().min(104);
        record[random..].fill(b' ');
    }
    bytes
}

#[test]
fn data_that_hardly_shrinks_is_mostly_stored_raw_but_scattered_changes_of_it_are_not() {
    let world = World::new(9, true);
    let mut image = Image::new(database_like(1, 1024 * 64 * KIB));
    let full = world.backup(&image);
    let [volume] = full.volumes.as_slice() else { panic!("one volume") };
    // Segments are 64 blocks or more, each a region of its own: 8 attempts, then one in 8.
    assert!(volume.stored > volume.size * 93 / 100, "{volume:?}");
    assert!(volume.stored < volume.size, "{volume:?}");
    for (index, block) in image.bytes.chunks_mut(64 * KIB).enumerate().filter(|(index, _)| index % 9 == 0) {
        block.copy_from_slice(&database_like(index as u64 + 2, 64 * KIB));
    }
    let incremental = world.backup(&image);
    let [volume] = incremental.volumes.as_slice() else { panic!("one volume") };
    assert_eq!(volume.blocks_changed, 114);
    assert!(volume.stored < volume.changed * 88 / 100, "{volume:?}");
    assert!(world.restore(&world.points()[1]) == image.bytes);
    world.assert_sound();
}
