//! What a run may build on: never on a point whose end was announced, however it looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_engine::backup::{TypeWish, run_backup};
use coffer_engine::{EngineError, forget_points};
use coffer_format::PointType;
use coffer_store::fault::Moment;
use coffer_store::{FaultPlan, FaultStore, MemoryStore, ObjectStore, Operation};

use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;

/// Rule parent_not_ending.
#[test]
fn a_point_that_is_being_ended_is_no_parent() {
    let world = World::new(21, false);
    let mut image = Image::mixed(21, 6 * BLOCK, BLOCK);
    let first = world.backup(&image);
    world.announce_end(first.point);
    image.bytes[0] ^= 1;

    let mut request = world.request(vec![("vol", Box::new(image.clone()))]);
    request.type_wish = TypeWish::Incremental;
    let refused = run_backup(&world.repository(), &world.resources, &request).unwrap_err();
    assert_eq!(refused.kind(), "refused", "{refused:?}");
    assert!(refused.to_string().contains(&first.point.to_string()), "{refused}");

    let second = world.backup(&image);
    assert_eq!((second.kind, second.parent), (PointType::Full, None), "{}", second.reason.text());
    assert!(second.chain != first.chain);
    assert_eq!(world.restore(world.points().last().unwrap()), image.bytes);
}

/// Rule parent_by_ending: the parent is forgotten while a run builds on it, and a late duplicate of the PUT of its
/// manifest brings it back before the run looks.
#[test]
fn a_parent_that_was_forgotten_and_came_back_fences_the_run() {
    let store = Arc::new(MemoryStore::new());
    let world = Arc::new(World::on(store.clone(), 22, false));
    let mut image = Image::mixed(22, 6 * BLOCK, BLOCK);
    let parent = world.backup(&image).point;
    image.bytes[0] ^= 1;
    let (came, next) = (Arc::new(AtomicBool::new(false)), image.clone());
    let hook = {
        let (world, store, came) = (world.clone(), store.clone(), came.clone());
        move |request: &coffer_store::fault::Request<'_>| {
            let manifest = request.operation == Operation::Put && request.key.contains("/points/");
            if !manifest || request.moment != Moment::Before || came.swap(true, Ordering::SeqCst) {
                return;
            }
            // A later point stands, so that the parent may go.
            let mut full = world.request(vec![("vol", Box::new(next.clone()))]);
            full.type_wish = TypeWish::Full;
            run_backup(&world.repository(), &world.resources, &full).unwrap();
            let id = parent.to_string();
            let manifest =
                store.keys().into_iter().find(|key| key.as_str().ends_with(&format!("/{id}"))).unwrap();
            let bytes = store.peek(&manifest).unwrap();
            forget_points(&world.repository(), &[parent], &Default::default(), false).unwrap();
            assert!(store.peek(&manifest).is_none(), "forget deletes the manifest");
            store.put(&manifest, bytes).unwrap();
        }
    };
    let faulty = world.over(Arc::new(FaultStore::new(store.clone(), FaultPlan::none()).with_hook(hook)));
    let result = faulty.try_backup(&image);
    assert!(came.load(Ordering::SeqCst), "the run never put its manifest");
    assert!(matches!(result, Err(EngineError::Fenced { .. })), "{result:?}");
}
