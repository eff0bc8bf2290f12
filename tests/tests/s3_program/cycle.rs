//! Full, incremental, restore, verify, forget, prune; and how many requests that takes.

use std::sync::Arc;

use coffer_engine::backup::TypeWish;
use coffer_store::s3::Tuning;
use coffer_store::{MemoryStore, ObjectStore, list_all};
use coffer_tests::chance::Chance;
use coffer_tests::process::{Outcome, run};
use coffer_tests::s3::double::{self, Double};
use coffer_tests::s3::servers;
use coffer_tests::s3::team::Team;
use coffer_tests::{content, leftovers};

use crate::world::{World, noise, owners_place, point_of, tmp, visible_place};

const MIB: u64 = 1 << 20;
const POINTS: usize = 1_000;

#[test]
fn a_repository_on_versitygw_lives_its_life() {
    let server = servers::versitygw(tmp());
    let world = World::new(visible_place(&server, servers::BUCKET, "teams/a"));
    let last = live(&world);
    // This server's objects are files: what no point needs can be seen.
    assert_eq!(leftovers::unneeded(&world.repository, &[last]), Vec::<String>::new());
}

#[test]
fn a_repository_on_minio_over_tls_lives_its_life() {
    let server = servers::minio(tmp());
    live(&World::new(owners_place(server.endpoint(), servers::BUCKET, "teams/a")));
}

/// A full, three incrementals, restores of all, forget, prune; the newest point, which is the only one left.
fn live(world: &World) -> String {
    let mut chance = Chance::new(3);
    let mut image = content::mixed(&mut chance, 24 * MIB);
    let mut made = Vec::new();
    for number in 0..4 {
        let kind = if number == 0 { "full" } else { "incremental" };
        let outcome = world.back_up(&image, &[]);
        assert_eq!(outcome.json()["type"], kind, "{}", outcome.story());
        made.push((point_of(&outcome), image.clone()));
        content::change(&mut chance, &mut image);
    }
    world.repository.expect_clean(&["--read-data"]);
    for (point, image) in &made {
        world.compare(point, image);
    }
    // A chain of its own lets go of the old one.
    let outcome = world.back_up(&image, &["--type", "full"]);
    run(world.repository.forget(1)).expect_status(0);
    let pruned = run(world.repository.prune()).expect_status(0);
    assert!(pruned.json()["bytes_deleted"].as_u64() > Some(8 * MIB), "{}", pruned.story());
    let left = point_of(&outcome);
    assert_eq!(world.repository.point_ids(), [left.as_str()]);
    world.repository.expect_clean(&["--read-data"]);
    world.compare(&left, &image);
    let nothing = run(world.repository.prune()).expect_status(0);
    assert_eq!(nothing.json()["bytes_deleted"], 0, "{}", nothing.story());
    left
}

/// Requests of one command.
#[track_caller]
fn requests(outcome: &Outcome) -> u64 {
    let requests = outcome.json()["requests"].clone();
    let counts = requests.as_object().unwrap_or_else(|| panic!("no requests: {}", outcome.story()));
    counts.values().filter_map(serde_json::Value::as_u64).sum()
}

#[test]
fn requests_stay_few() {
    let server = servers::versitygw(tmp());
    let world = World::new(visible_place(&server, servers::BUCKET, "teams/a"));
    let mut image = noise(5, usize::try_from(160 * MIB).expect("it fits"));
    let full = world.back_up(&image, &[]);
    let stored = full.json()["bytes_written"].as_u64().expect("bytes are counted");
    // A pack has 8 parts of 17 MiB, its start and its end; workers share a volume, each ends with a short pack, and the run looks three times
    // for a rotation of the key.
    let most = 24 + 10 * stored.div_ceil(128 * MIB);
    assert!(requests(&full) <= most, "{} requests for {stored} bytes\n{}", requests(&full), full.story());
    image[7 << 20] ^= 1;
    let incremental = world.back_up(&image, &[]);
    assert!(requests(&incremental) <= 30, "{}", incremental.story());
    let restored = world.compare(&point_of(&full), &noise(5, image.len()));
    // One range for 16 MiB, and what finding the way takes.
    let most = 30 + stored.div_ceil(8 * MIB);
    assert!(requests(&restored) <= most, "{}", restored.story());
}

#[test]
fn a_thousand_points_are_listed_with_four_requests() {
    let memory: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let team = Team::init(memory.as_ref());
    for number in 0..POINTS {
        let image = Arc::new(vec![u8::try_from(number % 251).expect("small"); 16 << 10]);
        team.back_up(&memory, &image, TypeWish::Auto).expect("a backup in memory succeeds");
    }
    let server = Double::start();
    for object in list_all(memory.as_ref(), "").expect("a list in memory succeeds") {
        let body = memory.get(&object.key, u64::MAX).expect("it is there");
        server.hold(&format!("a/{}", object.key), body.into());
    }
    let store: Arc<dyn ObjectStore> =
        Arc::new(server.endpoint().store(double::BUCKET, "a", Tuning::default()));
    assert_eq!(team.points(&store).expect("a list succeeds").len(), POINTS);
    let requests = store.requests();
    // Points, confirmations, endings; and the team's statements, by which a key learns of rotations.
    assert!(requests.list <= 4 && requests.total() <= 6, "{requests:?}");
}
