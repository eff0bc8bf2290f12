//! Volumes that are not as they were: a device without a byte, and a volume less than half as long as before.

use coffer_engine::backup::{BackupReport, TypeWish, run_backup};
use coffer_engine::catalog::load_manifest;
use coffer_engine::{EngineError, ForgetRequest, KeepRules, Verdict, forget_by_rules, forget_points};
use coffer_format::PointState;
use jiff::tz::TimeZone;

use crate::sources::{Trouble, Troubled};
use crate::world::{Image, World};

const BLOCK: usize = 65_536;

fn volume(blocks: usize) -> Image {
    Image::noise(blocks as u64, blocks * BLOCK)
}

fn back_up(world: &World, volumes: &[(&'static str, &Image)], wish: TypeWish) -> BackupReport {
    world.clock.advance_ms(3_600_000);
    let volumes = volumes.iter().map(|(name, image)| (*name, Box::new((*image).clone()) as _)).collect();
    let mut request = world.request(volumes);
    request.type_wish = wish;
    run_backup(&world.repository(), &world.resources, &request).unwrap()
}

fn keep_last(world: &World, last: u32) -> Verdict {
    let rules = KeepRules { last: Some(last), ..KeepRules::default() };
    let request = ForgetRequest {
        plan: &world.plan,
        rules: &rules,
        as_of: Some(world.points().last().unwrap().summary.time),
        zone: &TimeZone::UTC,
        dry_run: false,
        unverified: false,
    };
    forget_by_rules(&world.repository(), &request).unwrap()
}

#[test]
fn a_device_without_a_byte_is_a_failed_volume_and_an_empty_image_is_not() {
    let world = World::new(1, true);
    let (empty, whole) = (Image::new(Vec::new()), volume(3));
    let made = back_up(&world, &[("a", &whole), ("b", &empty)], TypeWish::Auto);
    assert_eq!(made.state, PointState::Available, "the images");
    world.clock.advance_ms(3_600_000);
    // What the test calls troubled is a device.
    let gone = || Troubled::source(&empty, Trouble::GrowsTo(0));
    let request = world.request(vec![("a", gone()), ("b", Box::new(whole.clone()))]);
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    assert_eq!((report.state, &report.volumes[1].error), (PointState::Partial, &None));
    let error = report.volumes[0].error.as_ref().unwrap();
    assert!(error.contains("0 bytes") && error.contains("volume a"), "{error}");
    let request = world.request(vec![("a", gone())]);
    let error = run_backup(&world.repository(), &world.resources, &request).unwrap_err();
    assert!(matches!(error, EngineError::AllVolumesFailed(_)), "{error}");
    let verdict = keep_last(&world, 1);
    assert!(verdict.kept.iter().any(|(id, _)| *id == made.point), "{verdict:?}");
}

#[test]
fn a_volume_less_than_half_as_long_is_a_warning_in_fulls_and_incrementals() {
    for wish in [TypeWish::Auto, TypeWish::Full] {
        let world = World::new(2, true);
        let first = back_up(&world, &[("a", &volume(40)), ("b", &volume(4))], wish);
        assert!(first.volumes.iter().all(|volume| volume.warnings.is_empty()), "{first:?}");
        let half = back_up(&world, &[("a", &volume(20)), ("b", &volume(4))], wish);
        assert!(half.volumes.iter().all(|volume| volume.warnings.is_empty()), "half is half: {half:?}");
        let small = back_up(&world, &[("a", &volume(9)), ("b", &volume(4))], wish);
        let [warning] = small.volumes[0].warnings.as_slice() else { panic!("{small:?}") };
        let sizes = [(20 * BLOCK).to_string(), (9 * BLOCK).to_string(), half.point.to_string()];
        assert!(sizes.iter().all(|word| warning.contains(word)), "{warning}");
        assert!(small.volumes[1].warnings.is_empty(), "{small:?}");
        let point = world.points().pop().unwrap();
        let manifest = load_manifest(&world.repository(), &point).unwrap().payload;
        assert_eq!(manifest.volumes[0].payload.warnings, small.volumes[0].warnings);
        let grown = back_up(&world, &[("a", &volume(40)), ("b", &volume(4))], wish);
        assert!(grown.volumes.iter().all(|volume| volume.warnings.is_empty()), "{grown:?}");
    }
}

#[test]
fn rules_never_give_up_the_newest_point_from_before_a_shrink_and_a_person_may() {
    for other in [None, Some(volume(30))] {
        let world = World::new(3, true);
        let make = |blocks: usize| {
            let a = volume(blocks);
            let mut volumes = vec![("a", &a)];
            volumes.extend(other.as_ref().map(|other| ("b", other)));
            back_up(&world, &volumes, TypeWish::Auto).point
        };
        let points: Vec<_> = [40, 40, 2, 2, 2].into_iter().map(make).collect();
        let verdict = keep_last(&world, 1);
        assert_eq!(verdict.forgotten, [points[0], points[2], points[3]], "{verdict:?}");
        let reason = &verdict.kept.iter().find(|(id, _)| *id == points[1]).unwrap().1;
        assert!(reason.contains("volume a shrank"), "{reason}");
        assert_eq!(keep_last(&world, 1).forgotten, [], "nor by the next one");
        forget_points(&world.repository(), &[points[1]], &Default::default(), false).unwrap();
        assert_eq!(world.points().len(), 1);
    }
}
