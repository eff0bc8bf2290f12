//! One team at work through the engine in this process: back up, restore, forget, prune, verify a volume in memory.
//!
//! What a store does wrong must show here as wrong bytes or as objects left over, never be smoothed over.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use coffer_blockio::{BlockSource, BlockTarget, ReadError, SourceKind, WriteError};
use coffer_engine::backup::{
    BackupReport, BackupRequest, ChangeSource, Progress, TypeWish, VolumeSource, run_backup,
};
use coffer_engine::catalog::{Filter, PointEntry, list_points, load_manifest};
use coffer_engine::{
    CancelToken, Clock, EngineError, Entropy, Environment, PruneReport, PruneRequest, Repository, Resources,
    RestoreMode, RestoreReport, RestoreRequest, RestoreVolume, VerifyRequest, forget_points, run_prune,
    run_restore, run_verify,
};
use coffer_format::{BlockSize, Compression, KeyFile, PlanId, Timestamp};
use coffer_store::{ObjectStore, list_all};

/// Name of the volume.
const VOLUME: &str = "vol";
/// Prefixes of the small records of prune and restore, which stay.
const RECORDS: [&str; 4] = ["t/default/ending/", "t/default/ended/", "t/default/pins/", "capabilities/"];

/// What the team has besides its repository.
pub struct Team {
    environment: Environment,
    recovery: KeyFile,
    resources: Resources,
    plan: PlanId,
}

impl Team {
    /// Makes a repository with a team in `store`.
    #[track_caller]
    pub fn init(store: &dyn ObjectStore) -> Team {
        let environment = Environment {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            cancel: CancelToken::default(),
        };
        let mut recovery = None;
        let mut save = |key: &KeyFile| {
            recovery = Some(key.clone());
            Ok(())
        };
        Repository::init(store, &environment, true, &mut save).expect("make a repository");
        let label = |text: &str| text.parse().expect("a label");
        let mut resources = Resources::within(64 << 20, 2).expect("the least memory is enough");
        // One pack at a time: so a volume larger than a part makes an object of more than one.
        resources.workers = 1;
        Team {
            environment,
            recovery: recovery.expect("an encrypted repository has a key"),
            resources,
            plan: PlanId {
                team: label("default"),
                cluster: label("c1"),
                namespace: label("default"),
                plan: label("web"),
            },
        }
    }

    /// Opens the repository.
    pub fn open(&self, store: &Arc<dyn ObjectStore>) -> Result<Repository, EngineError> {
        Repository::open(store.clone(), self.environment.clone(), Some(self.recovery.clone()))
    }

    /// A backup of a volume that holds `bytes`.
    pub fn back_up(
        &self,
        store: &Arc<dyn ObjectStore>,
        bytes: &Arc<Vec<u8>>,
        wish: TypeWish,
    ) -> Result<BackupReport, EngineError> {
        let volume = VolumeSource {
            name: VOLUME.parse().expect("a volume's name"),
            source: Ok(Box::new(Image(bytes.clone()))),
        };
        let request = BackupRequest {
            plan: self.plan.clone(),
            volumes: vec![volume],
            type_wish: wish,
            full_every: 24,
            changes: ChangeSource::Auto,
            lists: None,
            block_size: Some(BlockSize::new(16 << 10).expect("a block size")),
            compression: Compression::Lz4,
            snapshot_time: None,
            idempotency_key: None,
            description: String::new(),
            tags: BTreeMap::new(),
            writer: "test".into(),
            progress: Arc::new(Silent),
        };
        run_backup(&self.open(store)?, &self.resources, &request)
    }

    /// The points, oldest first.
    pub fn points(&self, store: &Arc<dyn ObjectStore>) -> Result<Vec<PointEntry>, EngineError> {
        list_points(&self.open(store)?, &Filter::default())
    }

    /// Restores onto garbage, so that a block that is not written shows.
    pub fn restore(
        &self,
        store: &Arc<dyn ObjectStore>,
        point: &PointEntry,
    ) -> Result<(Vec<u8>, RestoreReport), EngineError> {
        let size = usize::try_from(point.summary.size).expect("a test's volume fits");
        let disk = Disk(Arc::new(Mutex::new(vec![0xa5; size])));
        let volume = RestoreVolume {
            name: VOLUME.parse().expect("a volume's name"),
            target: Some(Box::new(disk.clone())),
            label: "memory".into(),
            mode: RestoreMode::Write,
            write_all_zeroes: false,
        };
        let request = RestoreRequest { point, volumes: vec![volume], progress: &Silent };
        let report = run_restore(&self.open(store)?, &self.resources, &request)?;
        let bytes = disk.lock().clone();
        Ok((bytes, report))
    }

    /// Forgets all points but the newest `count`.
    pub fn forget_all_but(&self, store: &Arc<dyn ObjectStore>, count: usize) -> Result<(), EngineError> {
        let repository = self.open(store)?;
        // Also those of runs that ended before they could confirm them.
        let points = list_points(&repository, &Filter { unconfirmed: true, ..Filter::default() })?;
        let old: Vec<_> = points.iter().rev().skip(count).map(|point| point.id).collect();
        forget_points(&repository, &old, &Filter::default(), false).map(drop)
    }

    /// Removes the pins that broken-off restores left, as if their seven days had passed.
    pub fn drop_pins(&self, store: &Arc<dyn ObjectStore>) -> Result<(), EngineError> {
        let pins: Vec<_> =
            list_all(store.as_ref(), "t/default/pins/")?.into_iter().map(|it| it.key).collect();
        Ok(store.delete(&pins)?)
    }

    /// A prune; it also gives up what runs left that began before the newest point.
    pub fn prune(&self, store: &Arc<dyn ObjectStore>) -> Result<PruneReport, EngineError> {
        run_prune(&self.open(store)?, &PruneRequest::default())
    }

    /// What verify finds wrong, every byte read.
    pub fn problems(&self, store: &Arc<dyn ObjectStore>) -> Result<Vec<String>, EngineError> {
        let request = VerifyRequest { read_data_percent: Some(100.0), ..VerifyRequest::default() };
        let report = run_verify(&self.open(store)?, &self.resources, &request)?;
        Ok(report.problems.iter().map(|problem| format!("{problem:?}")).collect())
    }

    /// Objects that no point needs and that are no small records, and uploads that nobody finishes. Follows `docs/format.md`.
    pub fn left_over(&self, store: &Arc<dyn ObjectStore>) -> Result<Vec<String>, EngineError> {
        let repository = self.open(store)?;
        let mut needed = BTreeSet::from(["coffer.json".to_owned(), "t/default/team.json".to_owned()]);
        let mut starts: Vec<String> = RECORDS.iter().map(|&prefix| prefix.to_owned()).collect();
        for point in list_points(&repository, &Filter::default())? {
            let manifest = load_manifest(&repository, &point)?.payload;
            let plan = "c1/default/web";
            let chain = format!("t/default/data/{plan}/{}", manifest.chain);
            needed.insert(format!("t/default/points/{plan}/{}", point.id));
            starts.push(format!("t/default/confirmed/{plan}/{}.", point.id));
            starts.push(format!("{chain}/keys/"));
            for record in manifest.volume_records() {
                for entry in &record.lineage {
                    let volume = format!("{chain}/{}/{}", entry.point, record.name);
                    needed.insert(format!("{volume}/map"));
                    needed.extend((0..entry.packs).map(|number| format!("{volume}/p{number:08}")));
                }
            }
        }
        let objects = list_all(store.as_ref(), "")?.into_iter().map(|object| object.key.to_string());
        let is_left = |name: &String| {
            !needed.contains(name) && !starts.iter().any(|start| name.starts_with(start.as_str()))
        };
        let uploads = store.list_uploads("")?.into_iter().map(|it| format!("upload of {}", it.upload.key));
        Ok(objects.filter(is_left).chain(uploads).collect())
    }
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EngineError> {
        getrandom::fill(out).map_err(|error| EngineError::Entropy(error.to_string()))
    }
}

struct Silent;

impl Progress for Silent {
    fn volume(&self, _volume: &str, _total_bytes: u64) {}
    fn advance(&self, _done_bytes: u64, _moved_bytes: u64) {}
}

/// A volume in memory without holes.
struct Image(Arc<Vec<u8>>);

impl BlockSource for Image {
    fn size_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        buf.copy_from_slice(&self.0[index(offset)..index(offset) + buf.len()]);
        Ok(())
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        let all = start..end;
        Ok(vec![all])
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        Ok((offset < self.size_bytes()).then_some(offset))
    }

    fn knows_holes(&self) -> bool {
        false
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        Ok(self.size_bytes())
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Image
    }
}

/// A target in memory.
#[derive(Clone)]
struct Disk(Arc<Mutex<Vec<u8>>>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockTarget for Disk {
    fn size_bytes(&self) -> u64 {
        self.lock().len() as u64
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError> {
        self.lock()[index(offset)..index(offset) + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        self.lock()[index(offset)..index(offset + len_bytes)].fill(0);
        Ok(())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        buf.copy_from_slice(&self.lock()[index(offset)..index(offset) + buf.len()]);
        Ok(())
    }

    fn flush(&self) -> Result<(), WriteError> {
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        false
    }
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("inside of something in memory")
}
