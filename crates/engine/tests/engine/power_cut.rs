//! A directory repository after a power cut at any moment: what was reported done is there, byte for byte.
//!
//! Every change to the disk is recorded, and the states that a disk may be in after a cut are made from the record: what was
//! not synced may be there, or not, or in part. `POWER_CUT_ROUNDS` sets how many states are tried.

use std::path::Path;
use std::sync::{Arc, Mutex};

use coffer_engine::backup::TypeWish;
use coffer_engine::{EngineError, PruneRequest, Repository, forget_points, run_prune};
use coffer_format::{BlockSize, Id};
use coffer_store::file::power_cut::materialise;
use coffer_store::file::real::RealFs;
use coffer_store::file::recording::{Change, Lapses, RecordingFs};
use coffer_store::{FileStore, OpenOptions};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::history::Made;
use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;
const ROUNDS: u64 = 400;

/// What the job said, by the number of its mark in the log.
enum Said {
    Initialised,
    Done(Made),
    ForgetBegins(Vec<Id>),
    Pruned,
}

struct Record {
    log: Vec<Change>,
    said: Vec<Said>,
    world: World,
    next: Image,
}

/// In memory where there is such a place: the tests sync nothing for good.
fn quick_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// init, two chains of two points, forget of the first chain, prune, one more point.
fn record(seed: u64, encrypted: bool, lapses: Lapses) -> Record {
    let dir = quick_dir();
    let recording = RecordingFs::new(RealFs::open(dir.path()).unwrap(), lapses);
    let store = Arc::new(FileStore::with_fs(recording.clone(), "recorded".to_owned()));
    let said = Mutex::new(Vec::new());
    let say = |what: Said| {
        let mut said = said.lock().unwrap();
        recording.mark(said.len() as u64);
        said.push(what);
    };
    let mut world = World::on(store, seed, encrypted).in_small_steps();
    say(Said::Initialised);
    world.full_every = 2;
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    let mut image = Image::mixed(seed, 7 * BLOCK + 3, 512);
    let mut made = Vec::new();
    for step in 0..4 {
        made.push(world.make(&[("vol", &image)]));
        say(Said::Done(made[step].clone()));
        image.mutate(seed + step as u64, BLOCK, 0.4);
        image.bytes[step] ^= 1;
    }
    let gone: Vec<Id> = made.drain(..2).map(|made| made.id).collect();
    say(Said::ForgetBegins(gone.clone()));
    forget_points(&world.repository(), &gone, &Default::default(), false).unwrap();
    run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    say(Said::Pruned);
    let last = world.make(&[("vol", &image)]);
    say(Said::Done(last));
    image.bytes[9] ^= 1;
    let log = recording.changes();
    Record { log, said: said.into_inner().unwrap(), world, next: image }
}

/// Whether the repository was reported made, and the points that must be there, after the first `len` changes.
fn due(record: &Record, len: usize) -> (bool, Vec<&Made>) {
    let marks = record.log[..len].iter().filter_map(|change| match change {
        Change::Mark(note) => Some(&record.said[usize::try_from(*note).unwrap()]),
        _ => None,
    });
    let (mut initialised, mut due) = (false, Vec::new());
    for said in marks {
        match said {
            Said::Initialised => initialised = true,
            Said::Done(made) => due.push(made),
            Said::ForgetBegins(ids) => due.retain(|made: &&Made| !ids.contains(&made.id)),
            Said::Pruned => {}
        }
    }
    (initialised, due)
}

/// Power fails after `len` changes; another process goes on with what the disk then holds.
fn check(record: &Record, len: usize, seed: u64) {
    let dir = quick_dir();
    materialise(&record.log, len, seed, dir.path()).unwrap();
    let context = format!("cut after {len} of {} changes, seed {seed}", record.log.len());
    let (initialised, due) = due(record, len);
    let world = record.world.over(Arc::new(FileStore::open(dir.path(), OpenOptions::default()).unwrap()));
    match world.open() {
        Ok(_) => {}
        Err(EngineError::NotFound(_)) if !initialised => return,
        Err(error) => panic!("{context}: {error}"),
    }
    world.assert_all_restore(due.iter().copied(), &context);
    assert_eq!(world.verify(true).problems, [], "{context}");
    let report = world.try_backup_of(TypeWish::Auto, &[("vol", &record.next)]);
    let report = report.unwrap_or_else(|error| panic!("{context}: the next backup: {error}"));
    let next = Made::new(report.point, &[("vol", &record.next)]);
    for _ in 0..2 {
        run_prune(&world.repository(), &PruneRequest::default())
            .unwrap_or_else(|error| panic!("{context}: prune: {error}"));
    }
    world.assert_nothing_unneeded(&context);
    world.assert_all_restore(due.into_iter().chain([&next]), &format!("{context}, after prune"));
    assert_eq!(world.verify(true).problems, [], "{context}, after prune");
}

fn check_many(seed: u64, encrypted: bool) {
    let rounds = std::env::var("POWER_CUT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let record = record(seed, encrypted, Lapses::default());
    assert!(record.log.len() > 200, "{} changes", record.log.len());
    let mut rng = SmallRng::seed_from_u64(seed);
    for round in 0..rounds / 2 {
        let len = rng.random_range(0..=record.log.len());
        // Every third is an extreme: nothing unsynced, all names without data, everything.
        check(&record, len, if round % 3 == 0 { round / 3 % 3 } else { 3 + round });
    }
    println!("{} states of {} changes", rounds / 2, record.log.len());
}

#[test]
fn what_was_reported_survives_a_power_cut_encrypted() {
    check_many(1, true);
}

#[test]
fn what_was_reported_survives_a_power_cut_unencrypted() {
    check_many(2, false);
}

/// The replayer sees what these tests are for: without syncs of files, reported points are lost.
#[test]
fn a_store_that_forgets_to_sync_is_caught() {
    let record = record(3, false, Lapses { file_syncs: true, ..Lapses::default() });
    let caught = (0..12_u64).any(|seed| {
        let len = record.log.len();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&record, len, seed))).is_err()
    });
    assert!(caught);
}

/// A repository that cannot be opened after a cut was never reported made, and its place can be used for nothing by mistake.
#[test]
fn an_interrupted_init_is_no_repository() {
    let record = record(4, true, Lapses::default());
    let made = record.log.iter().position(|change| matches!(change, Change::Mark(0))).unwrap();
    let (mut opened, mut absent) = (0, 0);
    for len in 0..=made {
        for seed in 0..4 {
            let dir = quick_dir();
            materialise(&record.log, len, seed, dir.path()).unwrap();
            let store = Arc::new(FileStore::open(dir.path(), OpenOptions::default()).unwrap());
            match Repository::open(store, record.world.environment.clone(), record.world.recovery.clone()) {
                Ok(_) => opened += 1,
                Err(EngineError::NotFound(_)) => absent += 1,
                Err(error) => panic!("cut after {len} changes, seed {seed}: {error}"),
            }
        }
    }
    assert!(opened > 0 && absent > 10, "{opened} opened, {absent} absent");
}
