//! Who is asked to stop stops: at every request of every kind of operation, and in every wait, with the reason why.
//!
//! A store that is slow is played by counting: whoever starts no more than a few requests after the wish to stop ends as soon as those return,
//! and a store of its own sees the same flag.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use coffer_blockio::{BlockSource, ReadError, SourceKind};
use coffer_engine::backup::{ChangeLists, RangeMerger, TypeWish, run_backup};
use coffer_engine::{
    CancelReason, CancelToken, EngineError, PruneRequest, RateLimiter, RestoreMode, forget_points,
    restore_to_stream, run_prune,
};
use coffer_format::{BlockSize, Compression, Id};
use coffer_store::fault::{Moment, Request};
use coffer_store::{FaultPlan, FaultStore, MemoryStore, Operation};

use crate::history::{Made, copy_of};
use crate::world::{Disk, Image, World};

const BLOCK: usize = 16 << 10;
/// Requests that may begin after the wish to stop: a handful in a row that no loop stands between, and one of each thread.
const LATE_MAX: u64 = 10;

/// Two points that stand, and chains whose points were forgotten, for prune.
struct Past {
    world: World,
    store: Arc<MemoryStore>,
    made: Vec<Made>,
    next: Image,
}

impl Past {
    fn new(seed: u64) -> Past {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, true).in_small_steps();
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        world.resources.pack_bytes = 192 + 4 * (BLOCK as u64 + 24);
        world.full_every = 2;
        let mut image = Image::noise(seed, 60 * BLOCK);
        let mut made = Vec::new();
        for step in 0..6 {
            made.push(world.make(&[("vol", &image)]));
            image.bytes.chunks_mut(BLOCK).skip(step).step_by(2).for_each(|block| block[0] ^= 1);
        }
        let gone: Vec<Id> = made.drain(..4).map(|made| made.id).collect();
        forget_points(&world.repository(), &gone, &Default::default(), false).unwrap();
        Past { world, store, made, next: image }
    }
}

type Job = fn(&World, &Past) -> Result<(), EngineError>;

/// Runs `job` and asks it to stop at each of its requests in turn; whatever is left then is sound.
fn check(name: &str, past: &Past, job: Job) {
    let mut stopped = 0;
    for step in 0.. {
        let store = copy_of(&past.store);
        let cancel = CancelToken::default();
        let (late, token) = (Arc::new(AtomicU64::new(0)), cancel.clone());
        let counter = late.clone();
        let hook = move |request: &Request<'_>| {
            if request.moment != Moment::Before {
                return;
            }
            // Whoever stops says goodbye: an upload is aborted, a pin removed.
            let farewell = matches!(request.operation, Operation::AbortUpload | Operation::Delete);
            if token.is_cancelled() && !farewell {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            if request.step == step {
                token.cancel_because(CancelReason::Deadline);
            }
        };
        let mut world =
            past.world.over(Arc::new(FaultStore::new(store.clone(), FaultPlan::none()).with_hook(hook)));
        world.environment.cancel = cancel.clone();
        let result = job(&world, past);
        let context = format!("{name}, stopped at request {step}");
        let late = late.load(Ordering::SeqCst);
        assert!(late <= LATE_MAX, "{context}: {late} more requests");
        match result {
            // It was over but for its last requests.
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error.cause(), EngineError::DeadlinePassed), "{context}: {error:?}");
                stopped += 1;
            }
        }
        if step % 7 == 0 {
            let after = past.world.over(store);
            after.assert_all_restore(&past.made, &context);
            after.assert_sound();
        }
        if !cancel.is_cancelled() {
            break;
        }
    }
    println!("{name}: stopped at {stopped} requests");
    assert!(stopped > 10, "{name}: {stopped}");
}

fn backup(world: &World, past: &Past, wish: TypeWish) -> Result<(), EngineError> {
    world.try_backup_of(wish, &[("vol", &past.next)]).map(drop)
}

fn restore(world: &World, past: &Past, mode: RestoreMode) -> Result<(), EngineError> {
    let repository = world.open()?;
    let made = &past.made[1];
    let point = coffer_engine::find_point(&repository, &Default::default(), made.id)?;
    let disk = Disk::filled(made.volumes[0].1.len(), 0xa5);
    world.restore_to(&point, &disk, mode).map(drop)
}

#[test]
fn a_backup_stops() {
    check("full", &Past::new(1), |world, past| backup(world, past, TypeWish::Full));
    check("incremental", &Past::new(2), |world, past| backup(world, past, TypeWish::Incremental));
}

#[test]
fn a_restore_stops() {
    check("restore", &Past::new(3), |world, past| restore(world, past, RestoreMode::Write));
    check("restore in place", &Past::new(4), |world, past| restore(world, past, RestoreMode::InPlace));
    check("stream", &Past::new(5), |world, past| {
        let repository = world.open()?;
        let point = coffer_engine::find_point(&repository, &Default::default(), past.made[1].id)?;
        let name = "vol".parse().unwrap();
        restore_to_stream(&repository, &world.resources, &point, &name, &mut Vec::new()).map(drop)
    });
}

#[test]
fn a_verify_stops() {
    check("verify", &Past::new(6), |world, _| world.try_verify(true).map(drop));
}

#[test]
fn a_prune_stops() {
    check("prune", &Past::new(7), |world, _| run_prune(&world.open()?, &PruneRequest::default()).map(drop));
}

/// Counts reads.
struct Counting {
    image: Image,
    reads: Arc<AtomicUsize>,
}

impl BlockSource for Counting {
    fn size_bytes(&self) -> u64 {
        self.image.size_bytes()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.image.read_exact_at(offset, buf)
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        self.image.data_ranges(start, end)
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        self.image.next_data(offset)
    }

    fn knows_holes(&self) -> bool {
        true
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        Ok(self.size_bytes())
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Image
    }
}

/// Spins until `holds`; ends because a thread works towards it.
fn until(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}

/// A limiter that nothing passes for ages, and the thread that is asked to stop while it waits there.
#[test]
fn waits_for_a_limit_end_and_samples_wait_too() {
    let sets: [fn(&mut World, Arc<RateLimiter>); 3] = [
        |world, limit| world.resources.read_limit = Some(limit),
        |world, limit| world.resources.read_operations_limit = Some(limit),
        |world, limit| world.resources.upload_limit = Some(limit),
    ];
    for (number, set) in sets.into_iter().enumerate() {
        for listed in [false, true] {
            let mut world = World::new(8, true);
            let image = Image::noise(8, 100 * BLOCK);
            let first = world.backup(&image);
            world.clock.advance_ms(1_000);
            let limit = Arc::new(RateLimiter::new(NonZeroU64::MIN));
            limit.pass(1 << 40, &CancelToken::default()).unwrap();
            set(&mut world, limit.clone());
            let reads = Arc::new(AtomicUsize::new(0));
            let mut changed = image.clone();
            changed.bytes[5] ^= 1;
            let source = Counting { image: changed, reads: reads.clone() };
            let mut request = world.request(vec![("vol", Box::new(source))]);
            if listed {
                let mut ranges = RangeMerger::new(10);
                ranges.push(0..BLOCK as u64);
                let volumes = BTreeMap::from([("vol".parse().unwrap(), ranges.finish())]);
                request.lists = Some(ChangeLists { base: first.point, sample: Some(3), volumes });
            }
            request.compression = Compression::None;
            let result = std::thread::scope(|scope| {
                let run = scope.spawn(|| run_backup(&world.repository(), &world.resources, &request));
                until(|| limit.waiting() > 0);
                if number < 2 {
                    assert_eq!(reads.load(Ordering::SeqCst), 0, "listed: {listed}");
                }
                world.environment.cancel.cancel_because(CancelReason::ShuttingDown);
                run.join().unwrap()
            });
            assert!(matches!(result, Err(EngineError::ShuttingDown)), "{number} {listed}: {result:?}");
        }
    }
}

/// An operation that asks for memory.
type Wait = fn(&World) -> Result<(), EngineError>;

/// All memory is held by somebody else: who waits for it is woken.
#[test]
fn waits_for_memory_end() {
    let jobs: [Wait; 3] = [
        |world| world.try_backup(&Image::noise(9, 9 * BLOCK)).map(drop),
        |world| {
            let point = &world.points()[0];
            let disk = Disk::filled(point.summary.size as usize, 1);
            world.restore_to(point, &disk, RestoreMode::Write).map(drop)
        },
        |world| world.try_verify(true).map(drop),
    ];
    for (number, job) in jobs.into_iter().enumerate() {
        let world = World::new(9, true);
        world.backup(&Image::noise(10, 20 * BLOCK));
        let arena = world.resources.arena.clone();
        let all = arena.alloc(arena.budget_bytes()).unwrap();
        let result = std::thread::scope(|scope| {
            let run = scope.spawn(|| job(&world));
            until(|| arena.waiting_requests() > 0);
            world.environment.cancel.cancel();
            run.join().unwrap()
        });
        let is_cancelled = |error: EngineError| matches!(error.cause(), EngineError::Cancelled);
        assert!(result.is_err_and(is_cancelled), "{number}");
        drop(all);
    }
}

#[test]
fn of_several_reasons_the_first_is_told() {
    let token = CancelToken::default();
    token.check().unwrap();
    token.cancel_because(CancelReason::Deadline);
    token.clone().cancel();
    token.cancel_because(CancelReason::ShuttingDown);
    let error = token.check().unwrap_err();
    assert_eq!((error.kind(), error.is_cancellation()), ("deadline-passed", true));
}
