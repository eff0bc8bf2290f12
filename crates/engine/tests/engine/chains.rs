//! Types, chains, retention and intents over simulated days.

use std::collections::BTreeSet;

use coffer_engine::backup::run_backup;
use coffer_engine::{ForgetRequest, Intent, KeepRules, PruneRequest, forget_by_rules, pick, run_prune};
use coffer_format::{PointType, Timestamp};
use jiff::tz::TimeZone;

use crate::world::{Image, START_MS, World};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn the_first_is_full_the_next_23_are_incremental_and_the_25th_is_full() {
    let world = World::new(1, true);
    let mut image = Image::mixed(1, 1 << 20, 65_536);
    let mut kinds = Vec::new();
    for run in 0..50 {
        image.mutate(run, 65_536, 0.2);
        kinds.push(world.backup(&image).kind);
    }
    let full: Vec<usize> = (0..50).filter(|run| kinds[*run] == PointType::Full).collect();
    assert_eq!(full, [0, 24, 48]);
}

#[test]
fn a_hundred_hours_with_three_days_kept() {
    let world = World::new(2, true);
    let mut image = Image::mixed(2, 2 << 20, 65_536);
    let mut history = Vec::new();
    let rules = KeepRules { days: Some(3), ..KeepRules::default() };
    let mut largest = 0;
    for run in 0..100u64 {
        image.mutate(run, 65_536, 0.1);
        let report = world.backup(&image);
        history.push((report.point, image.bytes.clone()));
        let repository = world.repository();
        let request = ForgetRequest {
            plan: &world.plan,
            rules: &rules,
            as_of: None,
            zone: &TimeZone::UTC,
            dry_run: false,
            unverified: false,
        };
        forget_by_rules_at_any_clock(&world, &request);
        run_prune(&repository, &PruneRequest::default()).unwrap();
        let points = world.points();
        let kept: Vec<_> = points.iter().map(|point| point.id).collect();
        let expected: Vec<_> = history.iter().rev().take(72).rev().map(|(id, _)| *id).collect();
        assert_eq!(kept, expected, "exactly the points of the last 72 hours at run {run}");
        let chains: BTreeSet<_> = points.iter().map(|point| point.summary.chain).collect();
        assert!(chains.len() <= 4, "{} chains", chains.len());
        let bytes: u64 = coffer_store::list_all(world.store.as_ref(), "t/default/data/")
            .unwrap()
            .iter()
            .map(|o| o.len)
            .sum();
        if run >= 80 {
            assert!(bytes <= largest * 12 / 10, "the repository grows: {bytes} of {largest} at run {run}");
        } else {
            largest = largest.max(bytes);
        }
        if run % 10 == 9 {
            check_history(&world, &history);
        }
    }
    world.assert_sound();
    check_intents(&world);
}

/// Forget compares our clock with the store's; here only ours is simulated, so the time is given.
fn forget_by_rules_at_any_clock(world: &World, request: &ForgetRequest<'_>) {
    use coffer_engine::Clock;
    let as_of = Some(world.clock.now());
    forget_by_rules(&world.repository(), &ForgetRequest { as_of, ..*request }).unwrap();
}

fn check_history(world: &World, history: &[(coffer_format::Id, Vec<u8>)]) {
    for point in world.points().iter().step_by(7) {
        let (_, bytes) = history.iter().find(|(id, _)| *id == point.id).unwrap();
        assert!(world.restore(point) == *bytes, "point {}", point.id);
    }
}

/// Points stand at hours 29 to 100 after the start, which is a midnight: days 1 (19 points), 2, 3 (24 each) and 4 (5 points).
fn check_intents(world: &World) {
    let points = world.points();
    let hour = |text: &str| {
        let intent: Intent = text.parse().unwrap();
        (pick(&points, &intent, &TimeZone::UTC).unwrap().summary.time.unix_ms() - START_MS) / HOUR_MS
    };
    assert_eq!(hour("latest"), 100);
    assert_eq!(hour("previous"), 99);
    assert_eq!(hour("previous:3"), 97);
    assert_eq!(hour("oldest"), 29);
    assert_eq!(hour("oldest-day"), 47);
    assert_eq!(hour("oldest-day:first"), 29);
    assert_eq!(hour("day=-0"), 100);
    assert_eq!(hour("day=-1"), 95);
    assert_eq!(hour("day=-1:first"), 72);
    assert_eq!(hour("day=-3:last"), 47);
    let as_of = Timestamp::from_unix_ms(START_MS + 50 * HOUR_MS + 1);
    assert_eq!(hour(&format!("as-of={as_of}")), 50);
    assert!(pick(&points, &"day=-4".parse().unwrap(), &TimeZone::UTC).is_err());
    assert!(pick(&points, &"previous:72".parse().unwrap(), &TimeZone::UTC).is_err());
    let tokyo = TimeZone::fixed(jiff::tz::offset(9));
    let first = pick(&points, &"oldest-day:last".parse().unwrap(), &tokyo).unwrap();
    assert_eq!((first.summary.time.unix_ms() - START_MS) / HOUR_MS, 38, "hour 38 is 23:00 in Tokyo");
}

#[test]
fn one_idempotency_key_makes_one_point() {
    let world = World::new(3, true);
    let image = Image::mixed(3, 1 << 20, 65_536);
    let repository = world.repository();
    let run = || {
        let mut request = world.request(vec![("vol", Box::new(image.clone()))]);
        request.idempotency_key = Some("k1".into());
        run_backup(&repository, &world.resources, &request).unwrap()
    };
    let first = run();
    let second = run();
    assert_eq!(first.point, second.point);
    assert!(second.repeated);
    assert_eq!(world.points().len(), 1);
}
