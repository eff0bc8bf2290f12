//! How many requests the work on much data takes: what object stores charge for.

use std::sync::Arc;

use coffer_engine::{PruneRequest, forget_points, run_prune};
use coffer_format::BlockSize;
use coffer_store::{MemoryStore, ObjectStore};

use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;
/// The packs of a full of 1 TiB that does not compress: packs are 128 MiB long, and end a little earlier.
const PACKS_PER_TIB: usize = 8_700;

#[test]
fn forget_and_prune_of_a_full_of_a_tib_take_fewer_than_100_requests() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), 1, true);
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    world.resources.pack_bytes = BLOCK as u64; // one block each
    world.full_every = 1;
    let full = world.backup(&Image::noise(1, PACKS_PER_TIB * BLOCK));
    assert!(full.objects_written as usize > PACKS_PER_TIB, "{}", full.objects_written);
    // A later point, so that the full is not the newest one.
    world.backup(&Image::noise(2, BLOCK));

    let before = store.requests();
    forget_points(&world.repository(), &[full.point], &Default::default(), false).unwrap();
    let report = run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    let asked = store.requests().total() - before.total();
    assert!(report.objects_deleted as usize > PACKS_PER_TIB, "{report:?}");
    println!("{} objects deleted with {asked} requests", report.objects_deleted);
    assert!(asked < 100, "{asked}");
}
