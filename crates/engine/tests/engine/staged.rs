//! What few changed blocks leave behind: one pack, whichever worker found them. What many leave: the same bytes.

use coffer_format::BlockSize;

use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;
const BLOCKS: usize = 2048;

/// Four workers, and room for what they stage.
fn world(seed: u64) -> World {
    let mut world = World::new(seed, true);
    world.resources = coffer_engine::Resources::within(128 << 20, 2).unwrap();
    assert_eq!(world.resources.workers, 4);
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    world
}

fn packs(world: &World) -> usize {
    let objects = coffer_store::list_all(world.store.as_ref(), "").unwrap();
    objects.iter().filter(|object| object.key.as_str().rsplit('/').next().unwrap().starts_with('p')).count()
}

/// Rewrites every `step`th block.
fn touch(image: &mut Image, step: usize, seed: u64) {
    for (number, block) in image.bytes.chunks_mut(BLOCK).enumerate().step_by(step) {
        block.copy_from_slice(&Image::noise(seed + number as u64, block.len()).bytes);
    }
}

#[test]
fn few_changes_all_over_a_volume_leave_one_pack_each_time() {
    let world = world(1);
    let mut image = Image::noise(1, BLOCKS * BLOCK - 77);
    world.backup(&image);
    let full = packs(&world);
    let mut images = vec![image.clone()];
    for run in 1..=4 {
        touch(&mut image, 41, run * 10_000);
        let report = world.backup(&image);
        assert_eq!(report.volumes[0].blocks_changed, 50);
        images.push(image.clone());
        assert_eq!(packs(&world), full + run as usize, "after incremental {run}");
    }
    for (point, image) in world.points().iter().zip(&images) {
        assert!(world.restore(point) == image.bytes);
    }
    world.assert_sound();
}

#[test]
fn more_changes_than_can_be_gathered_come_back_too() {
    let world = world(2);
    let mut image = Image::noise(2, BLOCKS * BLOCK);
    world.backup(&image);
    for (run, step) in [(1, 1), (2, 2), (3, 1)] {
        touch(&mut image, step, run * 10_000);
        let report = world.backup(&image);
        assert_eq!(report.volumes[0].blocks_changed, (BLOCKS / step) as u64);
        assert!(world.restore(world.points().last().unwrap()) == image.bytes);
    }
    world.assert_sound();
}

/// With the least memory nothing is set aside, and large blocks find room for few copies.
#[test]
fn where_little_can_be_gathered_blocks_go_the_usual_way() {
    for (memory, block) in [(64_u64 << 20, 64 << 10), (128 << 20, 1 << 20)] {
        let mut world = world(3);
        world.resources = coffer_engine::Resources::within(memory, 2).unwrap();
        world.block_size = Some(BlockSize::new(block).unwrap());
        let mut image = Image::noise(3, 40 << 20);
        world.backup(&image);
        touch(&mut image, 100, 1);
        world.backup(&image);
        assert!(world.restore(world.points().last().unwrap()) == image.bytes);
        world.assert_sound();
    }
}
