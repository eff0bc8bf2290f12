//! Clocks that are wrong, or were once: the order of points is their sequence, times are what the clocks said, and nothing is lost for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use coffer_engine::backup::{BackupReport, TypeWish, run_backup};
use coffer_engine::catalog::{Filter, PointEntry, list_points};
use coffer_engine::{
    Clock, EngineError, ForgetRequest, Intent, KeepRules, PruneRequest, Verdict, forget_by_rules,
    forget_points, pick_proven, run_prune,
};
use coffer_format::{BlockSize, Id, Timestamp};
use coffer_store::fault::{Fault, Moment};
use coffer_store::{FaultPlan, FaultStore, MemoryStore, ObjectStore, Operation};
use jiff::tz::TimeZone;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::history::Made;
use crate::world::{Image, START_MS, TestClock, World};

const BLOCK: usize = 16 << 10;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A store with a clock that is right, and hosts whose clocks are what they are.
struct Hosts {
    truth: Arc<TestClock>,
    store: Arc<MemoryStore>,
    hosts: Vec<World>,
    made: Vec<(Made, i64)>,
    image: Image,
}

impl Hosts {
    fn new(seed: u64, count: usize, encrypted: bool) -> Hosts {
        let truth = TestClock::at(START_MS);
        let of_store = truth.clone();
        let store = Arc::new(MemoryStore::with_clock(move || {
            UNIX_EPOCH + Duration::from_millis(of_store.now().unix_ms().unsigned_abs())
        }));
        let mut first = World::on(store.clone(), seed, encrypted);
        first.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        first.full_every = 5;
        let hosts = (0..count).map(|_| {
            let mut world = first.over(store.clone()).in_small_steps();
            world.clock = TestClock::at(START_MS);
            world.environment.clock = world.clock.clone();
            world
        });
        let hosts = hosts.collect();
        Hosts { truth, store, hosts, made: Vec::new(), image: Image::mixed(seed, 2 * BLOCK, BLOCK) }
    }

    /// Sets the clock of a host to be wrong by `wrong_ms`.
    fn set(&self, host: usize, wrong_ms: i64) {
        self.hosts[host].clock.set_ms((self.truth.now().unix_ms() + wrong_ms).max(0));
    }

    fn backup(&mut self, host: usize, change: u8) -> BackupReport {
        self.image.bytes[usize::from(change) % (2 * BLOCK)] ^= change | 1;
        let world = &self.hosts[host];
        let request = world.request(vec![("vol", Box::new(self.image.clone()))]);
        let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
        let made = Made::new(report.point, &[("vol", &self.image)]);
        self.made.push((made, world.clock.now().unix_ms()));
        report
    }

    fn points(&self) -> Vec<PointEntry> {
        list_points(&self.hosts[0].repository(), &Filter::default()).unwrap()
    }

    fn forget(&self, host: usize, rules: &KeepRules) -> Result<Verdict, EngineError> {
        let world = &self.hosts[host];
        let request = ForgetRequest {
            plan: &world.plan,
            rules,
            as_of: None,
            zone: &TimeZone::UTC,
            dry_run: false,
            unverified: false,
        };
        forget_by_rules(&world.repository(), &request)
    }

    /// The points are in the order in which they were made, with ascending ids and the times that their hosts had.
    fn check_order(&self, context: &str) {
        let points = self.points();
        let expected: Vec<Id> = self.made.iter().map(|(made, _)| made.id).collect();
        let listed: Vec<Id> = points.iter().map(|point| point.id).collect();
        assert_eq!(listed, expected, "{context}");
        assert!(listed.is_sorted(), "{context}: ids are not in order");
        for (point, (_, time)) in points.iter().zip(&self.made) {
            assert_eq!(point.summary.time, Timestamp::from_unix_ms(*time), "{context}: not its true time");
        }
        let latest = pick_proven(&self.hosts[0].repository(), &points, &Intent::Latest, &TimeZone::UTC);
        assert_eq!(latest.unwrap().id, *expected.last().unwrap(), "{context}");
    }
}

#[test]
fn after_one_clock_years_ahead_points_have_their_true_times_and_the_latest_is_the_last() {
    let mut hosts = Hosts::new(1, 2, true);
    for (step, wrong) in [0, 5 * 365 * DAY, 0, 0, -START_MS + 5, 0].into_iter().enumerate() {
        hosts.truth.advance_ms(DAY);
        hosts.set(step % 2, wrong);
        hosts.backup(step % 2, step as u8);
    }
    hosts.check_order("six days");
    let world = &hosts.hosts[0];
    world.assert_all_restore(hosts.made.iter().map(|(made, _)| made), "six days");
    // Nothing is given up beside a point of a time that has not come; the message names it and the way out.
    hosts.set(0, 0);
    let daily = KeepRules { daily: Some(30), ..KeepRules::default() };
    let refused = hosts.forget(0, &daily).unwrap_err();
    let wrong = hosts.made[1].0.id;
    assert_eq!(refused.kind(), "refused");
    let text = refused.to_string();
    assert!(
        text.contains(&format!("coffer forget {wrong}")) && text.contains("lies in the future"),
        "{text}"
    );
    forget_points(&world.repository(), &[wrong], &Default::default(), false).unwrap();
    assert_eq!(hosts.forget(0, &daily).unwrap().forgotten, []);
    hosts.set(1, -START_MS + 5);
    assert_eq!(hosts.forget(1, &daily).unwrap_err().kind(), "refused", "its own clock is wrong");
}

#[test]
fn the_newest_point_in_the_future_has_a_way_out_too() {
    let mut hosts = Hosts::new(2, 1, false);
    hosts.backup(0, 1);
    hosts.set(0, DAY);
    let wrong = hosts.backup(0, 2).point;
    hosts.set(0, 0);
    let last = KeepRules { last: Some(1), ..KeepRules::default() };
    let text = hosts.forget(0, &last).unwrap_err().to_string();
    assert!(text.contains("make another backup") && text.contains(&wrong.to_string()), "{text}");
    hosts.set(0, MINUTE);
    hosts.backup(0, 3);
    forget_points(&hosts.hosts[0].repository(), &[wrong], &Default::default(), false).unwrap();
    assert_eq!(hosts.forget(0, &last).unwrap().forgotten, [hosts.made[0].0.id]);
}

/// Shown in the issue: a run whose clock was ahead made every later one "older than the newest", and prune aborted live uploads.
#[test]
fn after_a_clock_ahead_prune_leaves_a_running_backup_alone() {
    let mut steps = 0;
    for step in 0.. {
        let mut hosts = Hosts::new(3, 2, true);
        hosts.backup(0, 1);
        hosts.set(0, 30 * DAY);
        hosts.backup(0, 2);
        hosts.set(0, HOUR);
        let struck = Arc::new(AtomicU64::new(0));
        let pruner = hosts.hosts[1].over(hosts.store.clone());
        let hook = {
            let struck = struck.clone();
            move |request: &coffer_store::fault::Request<'_>| {
                if request.step == step && request.moment == Moment::After {
                    struck.store(1, Ordering::SeqCst);
                    run_prune(&pruner.repository(), &PruneRequest::default()).unwrap();
                }
            }
        };
        let store = FaultStore::new(hosts.store.clone(), FaultPlan::none()).with_hook(hook);
        let world = hosts.hosts[0].over(Arc::new(store)).in_small_steps();
        let image = Image::noise(3, 20 * BLOCK);
        let request = world.request(vec![("vol", Box::new(image.clone()))]);
        let report = run_backup(&world.repository(), &world.resources, &request)
            .unwrap_or_else(|error| panic!("prune at step {step}: {error}"));
        let made = Made::new(report.point, &[("vol", &image)]);
        hosts.hosts[1].assert_all_restore([&made], &format!("prune at step {step}"));
        if struck.load(Ordering::SeqCst) == 0 && step > 60 {
            break;
        }
        steps = step;
    }
    assert!(steps > 20, "{steps}");
}

/// A run whose uploads prune took away says that it was fenced, and gives no advice about the disk.
#[test]
fn a_run_whose_upload_was_aborted_says_that_it_was_ended() {
    let hosts = Hosts::new(4, 2, true);
    let pruner = hosts.hosts[1].over(hosts.store.clone());
    let once = Mutex::new(true);
    let hook = {
        let store = hosts.store.clone();
        move |request: &coffer_store::fault::Request<'_>| {
            let begun = request.operation == Operation::PutPart && request.moment == Moment::After;
            if begun && std::mem::replace(&mut *once.lock().unwrap(), false) {
                let owner = store.list_uploads("").unwrap()[0]
                    .upload
                    .key
                    .as_str()
                    .split('/')
                    .nth(7)
                    .unwrap()
                    .to_owned();
                let abandoned = [owner.parse::<Id>().unwrap()].into();
                let request = PruneRequest { abandoned, ..PruneRequest::default() };
                let report = run_prune(&pruner.repository(), &request).unwrap();
                assert_eq!(report.uploads_aborted, 1);
                let ending = format!("t/default/ending/{owner}");
                assert!(
                    store.keys().iter().any(|key| key.as_str() == ending),
                    "announced before it is aborted"
                );
            }
        }
    };
    let store = FaultStore::new(hosts.store.clone(), FaultPlan::none()).with_hook(hook);
    let world = hosts.hosts[0].over(Arc::new(store)).in_small_steps();
    let image = Image::noise(4, 40 * BLOCK);
    let error = world.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap_err();
    assert_eq!(error.kind(), "fenced", "{error}");
    assert!(error.to_string().contains("prune ended it"), "{error}");
}

/// Points that an unfinished run of wrong time left are no danger for later ones either.
fn leave_unfinished(hosts: &Hosts, host: usize) {
    let plan =
        FaultPlan::none().nth(Operation::Put, 1, Fault::Before(coffer_store::fault::Failure::Unavailable));
    let store = Arc::new(FaultStore::new(hosts.store.clone(), plan));
    let world = hosts.hosts[host].over(store).in_small_steps();
    let image = Image::noise(9, 2 * BLOCK);
    let request = world.request(vec![("vol", Box::new(image))]);
    let _died = run_backup(&world.repository(), &world.resources, &request);
}

/// Independent of the engine's own: of each of the `count` newest days the last time, and the last `last` of all.
fn must_stay(made: &[(Made, i64)], rules: &KeepRules) -> Vec<Id> {
    let mut days: BTreeMap<i64, (i64, Id)> = BTreeMap::new();
    for (made, time) in made {
        let day = days.entry(time.div_euclid(DAY)).or_insert((*time, made.id));
        if *time >= day.0 {
            *day = (*time, made.id);
        }
    }
    let daily = rules.daily.map_or(0, |count| count as usize);
    let last = rules.last.map_or(1, |count| count as usize).max(1);
    let of_days = days.into_values().rev().take(daily).map(|(_, id)| id);
    of_days.chain(made.iter().rev().take(last).map(|(made, _)| made.id)).collect()
}

/// Months of backups, forgets and prunes of hosts whose clocks jump by days and years in both directions.
fn simulate_months(seed: u64) -> (usize, usize, usize) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut hosts = Hosts::new(seed, 3, seed.is_multiple_of(2));
    let mut wrong = [0_i64; 3];
    let (mut made, mut given_up, mut refused) = (0, 0, 0);
    while hosts.truth.now().unix_ms() < START_MS + 92 * DAY {
        hosts.truth.advance_ms(rng.random_range(HOUR..30 * HOUR));
        let host = rng.random_range(0..3);
        if rng.random_bool(0.15) {
            wrong[host] = match rng.random_range(0..5) {
                0 => rng.random_range(-400 * DAY..400 * DAY),
                1 => rng.random_range(-3 * DAY..3 * DAY),
                2 => -START_MS,
                _ => 0,
            };
        }
        hosts.set(host, wrong[host]);
        let context = format!("seed {seed}, day {}", (hosts.truth.now().unix_ms() - START_MS) / DAY);
        match rng.random_range(0..10) {
            0 => leave_unfinished(&hosts, host),
            1 | 2 => {
                run_prune(&hosts.hosts[host].repository(), &PruneRequest::default()).unwrap();
            }
            3 | 4 if !hosts.made.is_empty() => {
                let rules = match rng.random_range(0..3) {
                    0 => KeepRules { last: Some(rng.random_range(1..6)), ..KeepRules::default() },
                    1 => KeepRules { daily: Some(rng.random_range(3..20)), ..KeepRules::default() },
                    _ => KeepRules { daily: Some(7), last: Some(3), weekly: Some(4), ..KeepRules::default() },
                };
                match forget_as_told(&mut hosts, host, wrong[host], &rules, &context) {
                    Some(gone) => given_up += gone,
                    None => refused += 1,
                }
            }
            _ => {
                hosts.backup(host, rng.random());
                made += 1;
            }
        }
        if !hosts.made.is_empty() {
            hosts.check_order(&context);
        }
    }
    run_prune(&hosts.hosts[0].repository(), &PruneRequest::default()).unwrap();
    hosts.hosts[0].assert_all_restore(hosts.made.iter().map(|(made, _)| made), "at the end");
    assert_eq!(hosts.hosts[0].verify(true).problems, []);
    (made, given_up, refused)
}

/// Forgets by rules as a person does who reads what is said. `None` where it is refused and nothing can be done on this host.
fn forget_as_told(
    hosts: &mut Hosts,
    host: usize,
    wrong: i64,
    rules: &KeepRules,
    context: &str,
) -> Option<usize> {
    loop {
        let before = hosts.points();
        let now = hosts.hosts[host].clock.now().unix_ms();
        match hosts.forget(host, rules) {
            Ok(verdict) => {
                assert!(
                    wrong.abs() <= 5 * MINUTE,
                    "{context}: forget with a clock that is wrong by {wrong} ms"
                );
                let stay = must_stay(&hosts.made, rules);
                let lost: Vec<&Id> = verdict.forgotten.iter().filter(|id| stay.contains(id)).collect();
                assert!(lost.is_empty(), "{context}: {lost:?} should stay by {rules:?}");
                hosts.made.retain(|(made, _)| !verdict.forgotten.contains(&made.id));
                return Some(verdict.forgotten.len());
            }
            Err(error) => {
                assert_eq!((error.kind(), hosts.points()), ("refused", before.clone()), "{context}: {error}");
                let future = before.iter().find(|point| point.summary.time.unix_ms() > now + 5 * MINUTE);
                let future = future.filter(|_| wrong.abs() <= 5 * MINUTE)?;
                assert!(
                    error.to_string().contains(&format!("coffer forget {}", future.id)),
                    "{context}: {error}"
                );
                if before.last().is_some_and(|newest| newest.id == future.id) {
                    hosts.backup(host, 1);
                }
                forget_points(&hosts.hosts[host].repository(), &[future.id], &Default::default(), false)
                    .unwrap();
                hosts.made.retain(|(made, _)| made.id != future.id);
            }
        }
    }
}

#[test]
fn months_of_wrong_clocks_lose_and_misorder_nothing() {
    let (mut made, mut given_up, mut refused) = (0, 0, 0);
    for seed in 1..=6 {
        let counts = simulate_months(seed);
        made += counts.0;
        given_up += counts.1;
        refused += counts.2;
    }
    println!("{made} points, {given_up} given up, {refused} times refused");
    assert!(made > 300 && given_up > 60 && refused > 10, "{made} {given_up} {refused}");
}
