//! Makes golden repositories: seeded chance, a clock that stands still between runs, one thread. Two runs make the same bytes, but for the
//! order of pages in the map with an index: a full page of its pack table is written when the 256th pack is stored, before or after a leaf.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use coffer_engine::backup::{BackupReport, TypeWish, VolumeSource, run_backup};
use coffer_engine::{EngineError, PruneRequest, forget_points, hold, rotate, run_prune};
use coffer_format::{BlockSize, Compression, Id, KeyFile, SecretsWish, object_key};
use coffer_store::{FaultPlan, FaultStore, Key, MemoryStore, ObjectStore, Operation};

use super::sparse::{BLOCK, Fill, Sparse};
use super::{Expected, ExpectedPoint, ExpectedVolume};
use crate::world::World;

/// A pack is closed when its next frame would pass this: four blocks that do not compress.
const PACK_BYTES: u64 = 192 + 4 * (BLOCK + 24);
/// A pack is closed after its first frame.
const ONE_FRAME: u64 = 193;

/// A repository being made, and what it must give back.
pub(super) struct Golden {
    world: World,
    store: Arc<MemoryStore>,
    keys: Vec<(String, KeyFile)>,
    points: Vec<ExpectedPoint>,
    void: Vec<String>,
    strange: Vec<String>,
}

/// A volume of a run: its name, and its content unless it fails.
type Volume<'a> = (&'a str, Option<&'a Sparse>);

impl Golden {
    fn new(seed: u64, encrypted: bool) -> Golden {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, encrypted).in_small_steps();
        world.resources.pack_bytes = PACK_BYTES;
        world.block_size = Some(BlockSize::new(u32::try_from(BLOCK).unwrap()).unwrap());
        let keys = world.recovery.iter().map(|key| ("recovery.1.key".to_owned(), key.clone())).collect();
        Golden { world, store, keys, points: Vec::new(), void: Vec::new(), strange: Vec::new() }
    }

    fn run(
        &self,
        wish: TypeWish,
        compression: Compression,
        volumes: &[Volume<'_>],
    ) -> Result<BackupReport, EngineError> {
        self.world.clock.advance_ms(3_600_000);
        let mut request = self.world.request(Vec::new());
        request.volumes = volumes.iter().map(source).collect();
        request.type_wish = wish;
        request.compression = compression;
        request.description = if wish == TypeWish::Full { "a \"full\"\n".to_owned() } else { String::new() };
        request.tags.insert("app".to_owned(), "shop ü".to_owned());
        run_backup(&self.world.open()?, &self.world.resources, &request)
    }

    /// Makes a point, which the newest recovery key opens.
    fn point(&mut self, wish: TypeWish, compression: Compression, volumes: &[Volume<'_>]) -> Id {
        let report = self.run(wish, compression, volumes).unwrap();
        self.expect(report.point, true, volumes);
        report.point
    }

    fn expect(&mut self, point: Id, confirmed: bool, volumes: &[Volume<'_>]) {
        let expected = |(name, source): &Volume<'_>| ExpectedVolume {
            name: (*name).to_owned(),
            size: source.map_or(0, Sparse::size),
            blake3: source.map(|source| source.blake3().to_string()),
        };
        let is_partial = volumes.iter().any(|(_, source)| source.is_none());
        self.points.push(ExpectedPoint {
            point: point.to_string(),
            state: if is_partial { "partial" } else { "available" }.to_owned(),
            confirmed,
            opened_by: self.keys.last().map(|(name, _)| name.clone()).into_iter().collect(),
            volumes: volumes.iter().map(expected).collect(),
        });
    }

    /// A run that dies when it is about to PUT an object whose key contains `at`.
    fn dies_before_put(&self, at: &'static str, wish: TypeWish, volumes: &[Volume<'_>]) {
        let store = Arc::new(FaultStore::new(self.store.clone(), FaultPlan::none()).with_hook(
            move |request: &coffer_store::fault::Request<'_>| {
                assert!(!(request.operation == Operation::Put && request.key.contains(at)), "dies");
            },
        ));
        let dying = Golden {
            world: self.world.over(store),
            store: self.store.clone(),
            keys: Vec::new(),
            points: Vec::new(),
            void: Vec::new(),
            strange: Vec::new(),
        };
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            dying.run(wish, Compression::Lz4, volumes).unwrap();
        }));
        assert!(died.is_err());
    }

    /// Points whose manifests stand and that are not expected yet.
    fn unexpected(&self) -> Vec<Id> {
        let points = self.world.points_and_unconfirmed().into_iter().map(|point| point.id);
        points.filter(|id| self.points.iter().all(|point| point.point != id.to_string())).collect()
    }

    fn forget(&mut self, point: Id) {
        forget_points(&self.world.repository(), &[point], &Default::default(), false).unwrap();
        self.points.retain(|expected| expected.point != point.to_string());
    }

    fn prune(&self) {
        run_prune(&self.world.repository(), &PruneRequest::default()).unwrap();
    }

    fn rotate(&mut self, secrets: SecretsWish) {
        let mut new = None;
        let mut save = |key: &KeyFile| {
            new = Some(key.clone());
            Ok(())
        };
        rotate(&self.world.repository(), secrets, &mut save).unwrap();
        self.adopt(new.unwrap());
    }

    /// Goes on with `key`, which opens all that is there.
    fn adopt(&mut self, key: KeyFile) {
        let name = format!("recovery.{}.key", key.generation);
        self.points.iter_mut().for_each(|point| point.opened_by.push(name.clone()));
        self.keys.push((name, key.clone()));
        self.world.recovery = Some(key);
    }

    /// Adds a writer key made from the newest recovery key, and goes on with it.
    fn write_with_writer_key(&mut self) {
        let recovery = self.world.recovery.clone().unwrap();
        let serial = self.world.environment.new_id().unwrap();
        let made = self.world.environment.with_entropy(|draw| recovery.writer_key(serial, draw));
        let writer = made.unwrap().unwrap();
        self.keys.insert(0, (format!("writer.{}.key", writer.generation), writer.clone()));
        self.world.recovery = Some(writer);
    }

    /// Puts the repository's objects, its key files and what is expected below `directory`.
    pub(super) fn write(mut self, directory: &Path) {
        for key in self.store.keys() {
            let path = directory.join("repository").join(key.as_str());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.store.peek(&key).unwrap()).unwrap();
        }
        for (name, key) in &self.keys {
            std::fs::write(directory.join(name), key.encode().as_bytes()).unwrap();
        }
        self.points.sort_by(|a, b| a.point.cmp(&b.point));
        let keys = self.keys.into_iter().map(|(name, _)| name).collect();
        let expected = Expected { keys, points: self.points, void: self.void, strange: self.strange };
        let json = serde_json::to_string_pretty(&expected).unwrap();
        std::fs::write(directory.join("expected.json"), format!("{json}\n")).unwrap();
    }
}

fn source((name, source): &Volume<'_>) -> VolumeSource {
    let failed = || EngineError::Usage("the disk cannot be opened".into());
    let source = source.cloned().ok_or_else(failed);
    VolumeSource { name: name.parse().unwrap(), source: source.map(|source| Box::new(source) as _) }
}

/// All sizes and fills without encryption: several leaves, a table of more than 256 packs, a trailer of two pages.
pub(super) fn suite0() -> Golden {
    let mut golden = Golden::new(10, false);
    let empty = Sparse::new(0);
    let zeroes = Sparse::new(5 * BLOCK + 7);
    // The middle leaf of three is zero; the last block is short.
    let leaves = Sparse::new(2 * 4_096 * BLOCK + 3 * BLOCK + 100)
        .with(Fill::Text, 0..3, 1)
        .with(Fill::Noise, 3..4, 1)
        .with(Fill::Text, 8_192..8_196, 1);
    let volumes = [("empty", Some(&empty)), (".zeroes ü/%", Some(&zeroes)), ("leaves", Some(&leaves))];
    golden.point(TypeWish::Auto, Compression::Lz4, &volumes);
    let changed = leaves.with(Fill::Text, 1..2, 2).without(8_192..8_193);
    let volumes = [("empty", Some(&empty)), ("leaves", Some(&changed))];
    golden.point(TypeWish::Auto, Compression::Zstd(3), &volumes);
    // One pack of 1,030 frames, so that its trailer has two pages.
    golden.world.resources.pack_bytes = 1 << 20;
    let frames = Sparse::new(1_030 * BLOCK).with(Fill::Text, 0..1_030, 3);
    golden.point(TypeWish::Full, Compression::Zstd(3), &[("frames", Some(&frames))]);
    // 259 packs of one frame each, so that their table has two pages and an index; then one more from a later point.
    golden.world.resources.pack_bytes = ONE_FRAME;
    let packs = Sparse::new(259 * BLOCK).with(Fill::Text, 0..259, 4);
    golden.point(TypeWish::Full, Compression::Lz4, &[("packs", Some(&packs))]);
    let packs = packs.with(Fill::Text, 7..8, 5);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("packs", Some(&packs))]);
    golden
}

/// A full and an incremental without encryption, small enough to be damaged byte by byte.
pub(super) fn suite0_small() -> Golden {
    let mut golden = Golden::new(15, false);
    let mut db = Sparse::new(4 * BLOCK + 1).with(Fill::Text, 0..3, 1);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&db))]);
    db = db.with(Fill::Text, 3..5, 2);
    golden.point(TypeWish::Auto, Compression::Zstd(3), &[("db", Some(&db))]);
    golden
}

/// A full and two incrementals of several volumes with every codec, a partial point and one that nobody confirmed.
pub(super) fn suite1() -> Golden {
    let mut golden = Golden::new(11, true);
    golden.write_with_writer_key();
    let mut db = Sparse::new(9 * BLOCK + 3).with(Fill::Noise, 0..2, 1).with(Fill::Text, 2..10, 1);
    let mut data = Sparse::new(6 * BLOCK).with(Fill::Text, 1..4, 2);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&db)), ("data", Some(&data))]);
    db = db.with(Fill::Text, 1..3, 3).without(6..8);
    data = data.grown(8 * BLOCK + 5).with(Fill::Text, 8..9, 3);
    golden.point(TypeWish::Auto, Compression::Zstd(3), &[("db", Some(&db)), ("data", Some(&data))]);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("data", None), ("db", Some(&db))]);
    data = data.with(Fill::Text, 5..6, 4);
    let new = Sparse::new(BLOCK).with(Fill::Text, 0..1, 5);
    let volumes = [("db", Some(&db)), ("data", Some(&data)), ("new", Some(&new))];
    golden.point(TypeWish::Auto, Compression::None, &volumes);
    db = db.with(Fill::Text, 0..1, 6);
    let volumes = [("db", Some(&db))];
    golden.dies_before_put("/confirmed/", TypeWish::Auto, &volumes);
    let unconfirmed = golden.unexpected();
    golden.expect(unconfirmed[0], false, &volumes);
    golden
}

/// A full that went on with a dead run's chain, and an incremental that took packs over from two dead runs.
pub(super) fn resumed() -> Golden {
    let mut golden = Golden::new(12, true);
    golden.world.resources.pack_bytes = ONE_FRAME;
    let first = Sparse::new(9 * BLOCK).with(Fill::Text, 0..9, 1);
    golden.dies_before_put("/points/", TypeWish::Auto, &[("db", Some(&first))]);
    // Some of its packs are needed by nothing: there is a gap in what is taken.
    let second = first.clone().with(Fill::Text, 4..6, 2);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&second))]);
    let third = second.clone().with(Fill::Text, 0..4, 3);
    golden.dies_before_put("/points/", TypeWish::Auto, &[("db", Some(&third))]);
    let fourth = third.clone().with(Fill::Text, 4..9, 4);
    golden.dies_before_put("/points/", TypeWish::Auto, &[("db", Some(&fourth))]);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&fourth))]);
    let fifth = fourth.clone().with(Fill::Text, 8..9, 5);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&fifth))]);
    golden
}

/// A forgotten chain and a forgotten middle, a hold, a record of damage, and a manifest that came back when its objects were gone.
pub(super) fn pruned() -> Golden {
    let mut golden = Golden::new(13, true);
    let mut db = Sparse::new(5 * BLOCK).with(Fill::Text, 0..5, 1);
    let first = golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&db))]);
    let entry = golden.world.find(first).unwrap();
    let manifest = Key::new(object_key::manifest(&entry.plan, &first)).unwrap();
    let late: Bytes = golden.store.peek(&manifest).unwrap();
    let mut made = Vec::new();
    for (step, wish) in
        [TypeWish::Full, TypeWish::Auto, TypeWish::Auto, TypeWish::Auto].into_iter().enumerate()
    {
        let block = u64::try_from(step).unwrap();
        db = db.with(Fill::Text, block..block + 1, 2 + block);
        made.push(golden.point(wish, Compression::Lz4, &[("db", Some(&db))]));
    }
    let held = golden.world.find(made[1]).unwrap();
    hold(&golden.world.repository(), &held, "audit 2026").unwrap();
    golden.forget(first);
    golden.forget(made[2]);
    golden.prune();
    golden.prune();
    golden.store.put(&manifest, late).unwrap();
    golden.void.push(first.to_string());
    note_damage(&golden, made[0]);
    golden
}

/// A pack is read damaged once, which verify notes, and is whole again.
fn note_damage(golden: &Golden, point: Id) {
    let is_pack = |key: &Key| key.as_str().contains(&format!("/{point}/db/p0"));
    let pack = golden.store.keys().into_iter().find(is_pack).unwrap();
    let flip = |bytes: &mut Vec<u8>| bytes[300] ^= 1;
    assert!(golden.store.tamper(&pack, flip));
    assert_eq!(golden.world.verify(true).problems.len(), 1);
    assert!(golden.store.tamper(&pack, flip));
}

/// A chain from before a rotation, gone on with after it, and chains of the new key alone.
pub(super) fn rotated() -> Golden {
    let mut golden = Golden::new(14, true);
    let mut db = Sparse::new(4 * BLOCK).with(Fill::Text, 0..4, 1);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&db))]);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&db))]);
    golden.rotate(SecretsWish::Keep);
    for (block, wish) in [(0, TypeWish::Auto), (1, TypeWish::Full)] {
        db = db.with(Fill::Text, block..block + 1, 2 + block);
        golden.point(wish, Compression::Lz4, &[("db", Some(&db))]);
    }
    golden.rotate(SecretsWish::Keep);
    db = db.with(Fill::Text, 3..4, 9);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&db))]);
    golden
}

/// As [`rotated`], with new secrets for metadata each time; a stranger's object has taken the number of a generation.
pub(super) fn rotated_writers() -> Golden {
    let mut golden = Golden::new(16, true);
    let mut db = Sparse::new(4 * BLOCK).with(Fill::Text, 0..4, 1);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&db))]);
    let taken = Key::new(object_key::team(&golden.world.plan.team, 2)).unwrap();
    golden.store.put(&taken, Bytes::from_static(b"none of ours\n")).unwrap();
    golden.strange.push(taken.as_str().to_owned());
    golden.rotate(SecretsWish::Replace);
    for (block, wish) in [(0, TypeWish::Auto), (1, TypeWish::Auto)] {
        db = db.with(Fill::Text, block..block + 1, 2 + block);
        golden.point(wish, Compression::Lz4, &[("db", Some(&db))]);
    }
    golden.rotate(SecretsWish::Replace);
    golden.write_with_writer_key();
    db = db.with(Fill::Text, 3..4, 9);
    golden.point(TypeWish::Auto, Compression::Lz4, &[("db", Some(&db))]);
    golden
}
