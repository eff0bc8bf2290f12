//! How objects leave: a slow line makes packs short, a thread that panics ends the run and not the wait, a map that could not be sent is
//! refused before anything is read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coffer_blockio::{BlockSource, ReadError, SourceKind};
use coffer_engine::RequestError;
use coffer_engine::backup::{TypeWish, run_backup};
use coffer_format::{BlockSize, DataObject, object_key};
use coffer_store::fault::Moment;
use coffer_store::{FaultPlan, FaultStore, Key, MemoryStore, ObjectStore, Operation};

use crate::world::{Image, World};

const MIB: usize = 1 << 20;
const BLOCK: usize = 64 << 10;
/// Milliseconds that each request with data takes on the slow line: 1 MiB in 20 s.
const SLOW_MS: i64 = 20_000;

fn is_pack(key: &str) -> bool {
    matches!(object_key::parse_data(key), Ok((_, _, DataObject::Pack { .. })))
}

/// A world whose parts are of 1 MiB and whose packs may have the format's length, with one worker.
fn world_of(store: Arc<MemoryStore>, seed: u64) -> World {
    let mut world = World::on(store, seed, true);
    world.resources.workers = 1;
    world.resources.uploads = 1;
    world.resources.part_len = MIB as u64;
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    world
}

/// Requests with data of packs take `ms` each; counts them, and dies before the one with number `dies_at`.
fn on_a_line(world: &World, store: &Arc<MemoryStore>, ms: i64, dies_at: u64) -> (World, Arc<AtomicU64>) {
    let (clock, sent) = (world.clock.clone(), Arc::new(AtomicU64::new(0)));
    let count = sent.clone();
    let cancel = world.environment.cancel.clone();
    let hook = move |request: &coffer_store::fault::Request<'_>| {
        let carries =
            matches!(request.operation, Operation::Put | Operation::PutPart) && is_pack(request.key);
        if !carries || request.moment == Moment::After {
            return;
        }
        clock.advance_ms(ms);
        if count.fetch_add(1, Ordering::SeqCst) == dies_at {
            cancel.cancel();
        }
    };
    let store = FaultStore::new(store.clone(), FaultPlan::none()).with_hook(hook);
    (world.over(Arc::new(store)), sent)
}

fn packs(store: &MemoryStore) -> Vec<(Key, u64)> {
    let keys = store.keys().into_iter().filter(|key| is_pack(key.as_str()));
    keys.map(|key| (key.clone(), store.peek(&key).unwrap().len() as u64)).collect()
}

#[test]
fn a_run_that_is_killed_on_a_slow_line_loses_about_a_minute_of_sending() {
    let image = Image::noise(1, 40 * MIB);
    let store = Arc::new(MemoryStore::new());
    let world = world_of(store.clone(), 1);
    let dying = world_of_same(&world);
    let (slow, sent) = on_a_line(&dying, &store, SLOW_MS, 20);
    slow.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap_err();
    let finished: u64 = packs(&store).iter().map(|(_, len)| len).sum();
    let sent_bytes = sent.load(Ordering::SeqCst) * MIB as u64;
    assert!(sent_bytes >= 20 * MIB as u64);
    // A minute is three requests of 1 MiB; what is on its way, and the end of the pack before, come to that.
    assert!(
        finished + 6 * MIB as u64 >= sent_bytes,
        "{finished} of {sent_bytes} bytes are in finished packs"
    );
    let report = world.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
    assert_eq!(report.resumed_bytes, finished);
    let point = world.find(report.point).unwrap();
    assert!(world.restore(&point) == image.bytes);
}

/// The same world with a cancel of its own, which the death of a run sets.
fn world_of_same(world: &World) -> World {
    let mut other = world.over(world.store.clone());
    other.environment.cancel = coffer_engine::CancelToken::default();
    other
}

#[test]
fn on_a_fast_line_packs_are_as_long_as_ever_but_the_first() {
    let image = Image::noise(2, 40 * MIB);
    let store = Arc::new(MemoryStore::new());
    let world = world_of(store.clone(), 2);
    let (fast, _) = on_a_line(&world, &store, 0, u64::MAX);
    fast.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
    let lens: Vec<u64> = packs(&store).iter().map(|(_, len)| *len / MIB as u64).collect();
    // It is short if it was full before a part was sent.
    assert!(lens.len() == 1 || (lens.len() == 2 && lens[0] == 7), "{lens:?} MiB");
    let whole: u64 = packs(&store).iter().map(|(_, len)| len).sum();
    assert!(whole < 41 * MIB as u64);
}

#[test]
fn a_panic_of_a_sending_thread_ends_the_run_and_not_the_wait() {
    for operation in [Operation::Put, Operation::PutPart, Operation::CompleteUpload] {
        let store = Arc::new(MemoryStore::new());
        let world = world_of(store.clone(), 3);
        let broken = FaultStore::new(store.clone(), FaultPlan::none()).with_hook(move |request| {
            assert!(
                request.operation != operation
                    || !request.key.contains("/data/")
                    || request.key.contains("/keys/"),
                "on purpose"
            );
        });
        let image = Image::noise(3, 3 * MIB);
        let failed =
            world.over(Arc::new(broken)).try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap_err();
        assert_eq!(failed.kind(), "bug", "{failed}");
        assert!(failed.to_string().contains("panicked") && failed.to_string().contains("/data/"), "{failed}");
        assert_eq!(world.points().len(), 0);
        assert_eq!(store.list_uploads("").unwrap(), [], "{operation:?}: an upload is left open");
    }
}

/// A volume of zeroes, of any size.
struct Vast(u64);

impl BlockSource for Vast {
    fn size_bytes(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, _offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        buf.fill(0);
        Ok(())
    }

    fn data_ranges(&self, _start: u64, _end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        Ok(Vec::new())
    }

    fn next_data(&self, _offset: u64) -> Result<Option<u64>, ReadError> {
        Ok(None)
    }

    fn knows_holes(&self) -> bool {
        true
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        Ok(self.0)
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Image
    }
}

#[test]
fn a_map_that_can_be_longer_than_an_upload_is_refused_before_the_run() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), 4, true);
    world.block_size = Some(BlockSize::new(16 << 10).unwrap());
    // In parts of 2 MiB, as this store likes them, 10,000 parts hold the map of 0.9 x 10^9 blocks whatever they hold.
    for (blocks, fits) in [(800_000_000_u64, true), (1_100_000_000, false)] {
        let before = store.keys().len();
        let request = world.request(vec![("vol", Box::new(Vast(blocks * (16 << 10))))]);
        let result = run_backup(&world.repository(), &world.resources, &request);
        assert_eq!(result.is_ok(), fits, "{blocks}: {:?}", result.as_ref().err());
        if let Err(error) = result {
            assert_eq!(error.kind(), "usage", "{error}");
            assert!(matches!(error.request(), Some(RequestError::MapTooLong { .. })), "{error}");
            let new: Vec<Key> = store.keys().into_iter().skip(before).collect();
            assert!(new.iter().all(|key| !key.as_str().ends_with("/map")), "{new:?}");
        }
    }
}
