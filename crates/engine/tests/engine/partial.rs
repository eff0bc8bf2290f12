//! A partial point is there for who wants what it has, and counts for nothing.

use coffer_engine::backup::run_backup;
use coffer_engine::{
    Clock, ForgetRequest, Intent, KeepRules, PruneRequest, forget_by_rules, forget_points, pick, run_prune,
};
use coffer_format::{Id, PointState};
use jiff::tz::TimeZone;

use crate::history::Made;
use crate::sources::{Trouble, with_trouble};
use crate::world::{Image, World};

const BLOCK: usize = 65_536;

fn partial(world: &World, a: &Image, b: &Image) -> Id {
    let request = with_trouble(world, a, Trouble::Once(0), b);
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    assert_eq!(report.state, PointState::Partial);
    report.point
}

fn forget_all_but_last(world: &World) -> Vec<Id> {
    let rules = KeepRules { last: Some(2), ..KeepRules::default() };
    let as_of = Some(world.clock.now());
    let request = ForgetRequest {
        plan: &world.plan,
        rules: &rules,
        as_of,
        zone: &TimeZone::UTC,
        dry_run: false,
        unverified: false,
    };
    forget_by_rules(&world.repository(), &request).unwrap().forgotten
}

/// Rule partial_never_counts.
#[test]
fn a_partial_point_is_never_picked_never_built_on_and_goes_when_a_complete_one_stands() {
    let world = World::new(1, true);
    let (mut a, b) = (Image::mixed(1, 4 * BLOCK, BLOCK), Image::mixed(2, 3 * BLOCK, BLOCK));
    a.bytes[0] = 1;
    let first = world.make(&[("a", &a), ("b", &b)]);
    let half = partial(&world, &a, &b);
    let points = world.points();
    assert_eq!(points.iter().map(|point| point.id).collect::<Vec<_>>(), [first.id, half]);
    for intent in ["latest", "oldest", "oldest-day:last", "day=-0:last"] {
        let intent: Intent = intent.parse().unwrap();
        assert_eq!(pick(&points, &intent, &TimeZone::UTC).unwrap().id, first.id, "{intent:?}");
    }
    // While it is the newest it stays: it may hold the only copy of what it has.
    assert_eq!(forget_all_but_last(&world), []);
    let refused = forget_points(&world.repository(), &[first.id], &Default::default(), false).unwrap_err();
    assert!(refused.to_string().contains("newest complete"), "{refused}");
    let second = world.make(&[("a", &a), ("b", &b)]);
    assert_eq!(world.find(second.id).unwrap().summary.parent, Some(first.id));
    assert_eq!(forget_all_but_last(&world), [half]);
    run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    world.assert_nothing_unneeded("after prune");
    world.assert_all_restore([&first, &second], "after prune");
    world.assert_sound();
}

/// Rules partial_never_counts and end_only_after_later: a later partial point ends nothing.
#[test]
fn a_partial_point_ends_no_unfinished_run() {
    let world = World::new(2, false).in_small_steps();
    let (mut a, b) = (Image::mixed(1, 4 * BLOCK, BLOCK), Image::mixed(2, 3 * BLOCK, BLOCK));
    a.bytes[0] = 1;
    let first = world.make(&[("a", &a), ("b", &b)]);
    let plan = coffer_store::FaultPlan::none().nth(
        coffer_store::Operation::Put,
        1,
        coffer_store::fault::Fault::After(coffer_store::fault::Failure::Unavailable),
    );
    let faulty = coffer_store::FaultStore::new(world.store.clone(), plan);
    let dying = world.over(std::sync::Arc::new(faulty));
    dying.try_backup_of(coffer_engine::backup::TypeWish::Full, &[("a", &a), ("b", &b)]).unwrap_err();
    let half = partial(&world, &a, &b);
    let before = coffer_store::list_all(world.store.as_ref(), "t/default/data/").unwrap().len();
    let report = run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    let after = coffer_store::list_all(world.store.as_ref(), "t/default/data/").unwrap().len();
    assert_eq!((report.objects_deleted, after), (0, before));
    let second = world.make(&[("a", &a), ("b", &b)]);
    assert!(run_prune(&world.repository(), &PruneRequest::default()).unwrap().objects_deleted > 0);
    let point = world.find(half).unwrap();
    world.restore_made(&point, &Made::new(half, &[("b", &b)])).unwrap();
    world.assert_all_restore([&first, &second], "after prune");
    world.assert_nothing_unneeded("after prune");
}
