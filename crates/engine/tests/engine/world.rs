//! A small world: a store, a clock that stands still until it is moved, seeded chance, volumes in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use coffer_blockio::{BlockSource, BlockTarget, ReadError, SourceKind, WriteError};
use coffer_engine::backup::{
    BackupReport, BackupRequest, ChangeSource, Progress, TypeWish, VolumeSource, run_backup,
};
use coffer_engine::catalog::{Filter, PointEntry, list_points};
use coffer_engine::{
    CancelToken, Clock, EngineError, Entropy, Environment, Repository, Resources, RestoreMode, RestoreReport,
    RestoreRequest, RestoreVolume, VerifyReport, VerifyRequest, run_restore, run_verify,
};
use coffer_format::{BlockSize, Compression, KeyFile, PlanId, Timestamp, VolumeName};
use coffer_store::{MemoryStore, ObjectStore};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

/// 2026-11-01T00:00:00Z.
pub(crate) const START_MS: i64 = 1_793_491_200_000;

pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}

impl TestClock {
    pub(crate) fn at(ms: i64) -> Arc<TestClock> {
        Arc::new(TestClock(AtomicI64::new(ms)))
    }

    pub(crate) fn set_ms(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    pub(crate) fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

struct TestEntropy(Mutex<SmallRng>);

impl Entropy for TestEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EngineError> {
        self.0.lock().unwrap().fill_bytes(out);
        Ok(())
    }
}

pub(crate) struct Silent;

impl Progress for Silent {
    fn volume(&self, _volume: &str, _total_bytes: u64) {}
    fn advance(&self, _done_bytes: u64, _moved_bytes: u64) {}
}

pub(crate) struct World {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) environment: Environment,
    pub(crate) recovery: Option<KeyFile>,
    pub(crate) resources: Resources,
    pub(crate) plan: PlanId,
    pub(crate) full_every: u32,
    pub(crate) block_size: Option<BlockSize>,
}

impl World {
    pub(crate) fn new(seed: u64, encrypted: bool) -> World {
        World::on(Arc::new(MemoryStore::new()), seed, encrypted)
    }

    pub(crate) fn on(store: Arc<dyn ObjectStore>, seed: u64, encrypted: bool) -> World {
        let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
        let environment = Environment {
            clock: clock.clone(),
            entropy: Arc::new(TestEntropy(Mutex::new(SmallRng::seed_from_u64(seed)))),
            cancel: CancelToken::default(),
        };
        let mut recovery = None;
        let mut save = |key: &KeyFile| {
            recovery = Some(key.clone());
            Ok(())
        };
        Repository::init(store.as_ref(), &environment, encrypted, &mut save).unwrap();
        let label = |text: &str| text.parse().unwrap();
        World {
            store,
            clock,
            environment,
            recovery,
            resources: Resources::within(64 << 20, 2).unwrap(),
            plan: PlanId {
                team: label("default"),
                cluster: label("c1"),
                namespace: label("default"),
                plan: label("web"),
            },
            full_every: 24,
            block_size: None,
        }
    }

    /// The same world in front of another store: a copy of this one's, or this one behind faults.
    pub(crate) fn over(&self, store: Arc<dyn ObjectStore>) -> World {
        World {
            store,
            clock: self.clock.clone(),
            environment: self.environment.clone(),
            recovery: self.recovery.clone(),
            resources: self.resources.clone(),
            plan: self.plan.clone(),
            full_every: self.full_every,
            block_size: self.block_size,
        }
    }

    /// One thread for blocks and one for uploads, and parts of 64 KiB: the same requests in the same order, multipart ones too.
    pub(crate) fn in_small_steps(mut self) -> World {
        self.resources.workers = 1;
        self.resources.uploads = 1;
        self.resources.part_len = 64 << 10;
        self
    }

    pub(crate) fn open(&self) -> Result<Repository, EngineError> {
        Repository::open(self.store.clone(), self.environment.clone(), self.recovery.clone())
    }

    pub(crate) fn repository(&self) -> Repository {
        self.open().unwrap()
    }

    pub(crate) fn request(&self, volumes: Vec<(&str, Box<dyn BlockSource>)>) -> BackupRequest {
        let volumes = volumes
            .into_iter()
            .map(|(name, source)| VolumeSource { name: name.parse().unwrap(), source: Ok(source) });
        BackupRequest {
            plan: self.plan.clone(),
            volumes: volumes.collect(),
            type_wish: TypeWish::Auto,
            full_every: self.full_every,
            changes: ChangeSource::Auto,
            lists: None,
            block_size: self.block_size,
            compression: Compression::Lz4,
            snapshot_time: None,
            idempotency_key: None,
            description: String::new(),
            tags: BTreeMap::new(),
            writer: "test".into(),
            progress: Arc::new(Silent),
        }
    }

    pub(crate) fn backup(&self, image: &Image) -> BackupReport {
        self.try_backup(image).unwrap()
    }

    pub(crate) fn try_backup(&self, image: &Image) -> Result<BackupReport, EngineError> {
        self.clock.advance_ms(3_600_000);
        let request = self.request(vec![("vol", Box::new(image.clone()))]);
        run_backup(&self.repository(), &self.resources, &request)
    }

    pub(crate) fn points(&self) -> Vec<PointEntry> {
        list_points(&self.repository(), &Filter::default()).unwrap()
    }

    pub(crate) fn restore_to(
        &self,
        point: &PointEntry,
        target: &Disk,
        mode: RestoreMode,
    ) -> Result<RestoreReport, EngineError> {
        let volume = RestoreVolume {
            name: "vol".parse::<VolumeName>().unwrap(),
            target: Some(Box::new(target.clone())),
            label: "memory".into(),
            mode,
            write_all_zeroes: false,
        };
        let request = RestoreRequest { point, volumes: vec![volume], progress: &Silent };
        run_restore(&self.open()?, &self.resources, &request)
    }

    /// Restores onto garbage, so that a block that is not written shows.
    pub(crate) fn restore(&self, point: &PointEntry) -> Vec<u8> {
        let size = usize::try_from(point.summary.size).unwrap();
        let disk = Disk::filled(size, 0xa5);
        self.restore_to(point, &disk, RestoreMode::Write).unwrap();
        disk.bytes()
    }

    pub(crate) fn verify(&self, read_data: bool) -> VerifyReport {
        self.try_verify(read_data).unwrap()
    }

    pub(crate) fn try_verify(&self, read_data: bool) -> Result<VerifyReport, EngineError> {
        let read_data_percent = read_data.then_some(100.0);
        let request = VerifyRequest { read_data_percent, ..VerifyRequest::default() };
        run_verify(&self.open()?, &self.resources, &request)
    }

    pub(crate) fn assert_sound(&self) {
        let report = self.verify(true);
        assert_eq!(report.problems, [], "verify found problems");
    }
}

/// A volume in memory whose holes are told block by block of 4 KiB.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tells_holes: bool,
}

impl Image {
    pub(crate) fn new(bytes: Vec<u8>) -> Image {
        Image { bytes, tells_holes: true }
    }

    /// Blocks of `block` bytes: some random, some text-like, some zero.
    pub(crate) fn mixed(seed: u64, len: usize, block: usize) -> Image {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut bytes = vec![0; len];
        for chunk in bytes.chunks_mut(block) {
            fill(&mut rng, chunk);
        }
        Image::new(bytes)
    }

    /// Bytes that do not compress.
    pub(crate) fn noise(seed: u64, len: usize) -> Image {
        let mut bytes = vec![0; len];
        SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        Image::new(bytes)
    }

    /// Rewrites each block with probability `share`; returns how many.
    pub(crate) fn mutate(&mut self, seed: u64, block: usize, share: f64) -> usize {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut changed = 0;
        for chunk in self.bytes.chunks_mut(block) {
            if rng.random_bool(share) {
                fill(&mut rng, chunk);
                changed += 1;
            }
        }
        changed
    }
}

fn fill(rng: &mut SmallRng, chunk: &mut [u8]) {
    match rng.random_range(0..4) {
        0 => chunk.fill(0),
        1 => rng.fill_bytes(chunk),
        _ => {
            let word: [u8; 16] = rng.random();
            chunk.iter_mut().zip(word.iter().cycle()).for_each(|(out, byte)| *out = *byte);
            let at = rng.random_range(0..chunk.len());
            chunk[at] = rng.random();
        }
    }
}

impl BlockSource for Image {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        Ok(())
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut at = start;
        while at < end {
            let next = ((at / 4096 + 1) * 4096).min(end);
            let page = &self.bytes[usize::try_from(at).unwrap()..usize::try_from(next).unwrap()];
            if !self.tells_holes || page.iter().any(|byte| *byte != 0) {
                match ranges.last_mut() {
                    Some(last) if last.end == at => last.end = next,
                    _ => ranges.push(at..next),
                }
            }
            at = next;
        }
        Ok(ranges)
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        Ok(self.data_ranges(offset, self.size_bytes())?.first().map(|range| range.start))
    }

    fn knows_holes(&self) -> bool {
        self.tells_holes
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        Ok(self.size_bytes())
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Image
    }
}

/// A restore target in memory.
#[derive(Clone)]
pub(crate) struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    fresh: bool,
}

impl Disk {
    pub(crate) fn filled(size: usize, byte: u8) -> Disk {
        Disk { bytes: Arc::new(Mutex::new(vec![byte; size])), fresh: false }
    }

    pub(crate) fn fresh(size: usize) -> Disk {
        Disk { fresh: true, ..Disk::filled(size, 0) }
    }

    pub(crate) fn of(bytes: Vec<u8>) -> Disk {
        Disk { bytes: Arc::new(Mutex::new(bytes)), fresh: false }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl BlockTarget for Disk {
    fn size_bytes(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError> {
        let start = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[start..start + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        let start = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[start..start + usize::try_from(len_bytes).unwrap()].fill(0);
        Ok(())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.bytes.lock().unwrap()[start..start + buf.len()]);
        Ok(())
    }

    fn flush(&self) -> Result<(), WriteError> {
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        self.fresh
    }
}
