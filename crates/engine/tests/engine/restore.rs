//! A restore touches no target before it knows that it can finish, says what it left half-written, and a salvage brings back all that can be
//! proved and nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use coffer_blockio::{BlockTarget, ReadError, WriteError};
use coffer_engine::catalog::{PointEntry, load_manifest};
use coffer_engine::{
    EngineError, Fact, RestoreMode, RestoreReport, RestoreRequest, RestoreVolume, map_volume,
    restore_to_stream, rotate, run_restore, run_salvage, salvage_from_map,
};
use coffer_format::{BlockSize, DataObject, object_key};
use coffer_store::fault::Moment;
use coffer_store::{FaultPlan, FaultStore, Key, MemoryStore, ObjectStore, Operation};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::history::copy_of;
use crate::world::{Image, Silent, World};

const BLOCK: usize = 16 << 10;
const BEFORE: u8 = 0xa5;

/// An existing target that is emptied when its restore begins, as a file that is overwritten.
#[derive(Clone)]
struct Existing {
    bytes: Arc<Mutex<Vec<u8>>>,
    is_finished: Arc<AtomicBool>,
}

impl Existing {
    fn new(len: usize) -> Existing {
        Existing { bytes: Arc::new(Mutex::new(vec![BEFORE; len])), is_finished: Arc::default() }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn is_untouched(&self) -> bool {
        self.bytes().iter().all(|byte| *byte == BEFORE)
    }
}

impl BlockTarget for Existing {
    fn size_bytes(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError> {
        let start = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[start..start + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        self.write_all_at(offset, &vec![0; usize::try_from(len_bytes).unwrap()])
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.bytes()[start..start + buf.len()]);
        Ok(())
    }

    fn flush(&self) -> Result<(), WriteError> {
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        false
    }

    fn begin(&self) -> Result<(), WriteError> {
        self.bytes.lock().unwrap().fill(0);
        Ok(())
    }

    fn finish(&self) -> Result<(), WriteError> {
        self.is_finished.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// Two volumes at one point, in packs of a few blocks.
struct Scene {
    world: World,
    store: Arc<MemoryStore>,
    point: PointEntry,
    images: [Image; 2],
}

impl Scene {
    fn new(seed: u64, encrypted: bool) -> Scene {
        Scene::of_packs(seed, encrypted, 12 * BLOCK)
    }

    fn of_packs(seed: u64, encrypted: bool, pack_bytes: usize) -> Scene {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, encrypted).in_small_steps();
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        world.resources.pack_bytes = pack_bytes as u64;
        let images = [Image::noise(seed, 40 * BLOCK + 77), Image::noise(seed + 1, 30 * BLOCK)];
        world.make(&[("a", &images[0]), ("b", &images[1])]);
        let point = world.points().pop().unwrap();
        Scene { world, store, point, images }
    }

    fn keys(&self, volume: &str, is_wanted: fn(&DataObject) -> bool) -> Vec<Key> {
        let is_of = |key: &Key| match object_key::parse_data(key.as_str()) {
            Ok((_, _, object)) => is_wanted(&object) && key.as_str().contains(&format!("/{volume}/")),
            Err(_) => false,
        };
        self.store.keys().into_iter().filter(is_of).collect()
    }

    fn packs(&self, volume: &str) -> Vec<Key> {
        self.keys(volume, |object| matches!(object, DataObject::Pack { .. }))
    }

    fn map(&self, volume: &str) -> Key {
        self.keys(volume, |object| matches!(object, DataObject::Map { .. })).pop().unwrap()
    }

    /// Flips a byte of the root page of a volume.
    fn damage_root(&self, volume: &str) {
        let manifest = load_manifest(&self.world.repository(), &self.point).unwrap().payload;
        let record = manifest.volume_records().find(|record| record.name.as_ref() == volume).unwrap().clone();
        let offset = usize::try_from(record.root.unwrap().offset).unwrap();
        assert!(self.store.tamper(&self.map(volume), |bytes| bytes[offset] ^= 1));
    }

    fn restore(&self, targets: &[Existing; 2]) -> Result<RestoreReport, EngineError> {
        let volumes =
            vec![volume("a", &targets[0], RestoreMode::Write), volume("b", &targets[1], RestoreMode::Write)];
        let request = RestoreRequest { point: &self.point, volumes, progress: &Silent };
        run_restore(&self.world.repository(), &self.world.resources, &request)
    }

    fn targets(&self) -> [Existing; 2] {
        [0, 1].map(|at| Existing::new(self.images[at].bytes.len()))
    }

    fn salvage(&self, target: &Existing, mode: RestoreMode) -> Result<RestoreReport, EngineError> {
        let volumes = vec![volume("a", target, mode)];
        let request = RestoreRequest { point: &self.point, volumes, progress: &Silent };
        run_salvage(&self.world.repository(), &self.world.resources, &request)
    }
}

fn volume(name: &str, target: &Existing, mode: RestoreMode) -> RestoreVolume {
    RestoreVolume {
        name: name.parse().unwrap(),
        target: Some(Box::new(target.clone())),
        label: format!("target of {name}"),
        mode,
        write_all_zeroes: false,
    }
}

fn fact(error: &EngineError, name: &str) -> Option<String> {
    error.context().into_iter().find(|(given, _)| *given == name).map(|(_, fact)| match fact {
        Fact::Text(text) => text,
        Fact::Number(number) => number.to_string(),
    })
}

#[test]
fn one_volume_that_cannot_be_restored_leaves_all_targets_as_they_were() {
    for encrypted in [false, true] {
        let sound = Scene::new(1, encrypted);
        let harms: [(&str, Harm<'_>); 3] = [
            ("root", &|scene| scene.damage_root("b")),
            ("map gone", &|scene| assert!(scene.store.lose(&scene.map("b")))),
            ("first frame", &|scene| {
                assert!(scene.store.tamper(&scene.packs("b")[0], |bytes| bytes[500] ^= 1));
            }),
        ];
        for (name, harm) in harms {
            let store = copy_of(&sound.store);
            let (world, images) = (sound.world.over(store.clone()), sound.images.clone());
            let scene = Scene { world, store, point: sound.point.clone(), images };
            harm(&scene);
            let targets = scene.targets();
            let error = scene.restore(&targets).unwrap_err();
            assert_eq!(
                error.kind(),
                if name == "root" { error.kind() } else { "damaged" },
                "{name}: {error}"
            );
            assert!(targets.iter().all(Existing::is_untouched), "{name}: {error}");
            assert_eq!(fact(&error, "half_written"), None, "{name}");
        }
        let targets = sound.targets();
        sound.restore(&targets).unwrap();
        for (target, image) in targets.iter().zip(&sound.images) {
            assert!(target.bytes() == image.bytes && target.is_finished.load(Ordering::SeqCst));
        }
    }
}

#[test]
fn a_key_that_cannot_open_the_chain_leaves_the_target_as_it_was() {
    let mut scene = Scene::new(2, true);
    let mut newer = None;
    let mut save = |key: &coffer_format::KeyFile| {
        newer = Some(key.clone());
        Ok(())
    };
    rotate(&scene.world.repository(), coffer_format::SecretsWish::Keep, &mut save).unwrap();
    // A chain that only the newer key opens: a full, made after the rotation.
    let old = scene.world.recovery.take();
    scene.world.recovery = newer;
    let report = scene
        .world
        .try_backup_of(
            coffer_engine::backup::TypeWish::Full,
            &[("a", &scene.images[0]), ("b", &scene.images[1])],
        )
        .unwrap();
    scene.point = scene.world.find(report.point).unwrap();
    scene.world.recovery = old;
    let targets = scene.targets();
    let error = scene.restore(&targets).unwrap_err();
    assert!(targets.iter().all(Existing::is_untouched), "{error}");
}

#[test]
fn an_error_in_the_middle_says_what_is_half_written_and_leaves_later_targets_alone() {
    let scene = Scene::new(3, true);
    let harmed = scene.packs("a").pop().unwrap();
    scene.store.tamper(&harmed, |bytes| bytes[BLOCK + 500] ^= 1);
    let targets = scene.targets();
    let error = scene.restore(&targets).unwrap_err();
    assert_eq!((error.kind(), error.advice().as_str()), ("damaged", "corrupt"), "{error}");
    assert_eq!(fact(&error, "half_written").as_deref(), Some("target of a"));
    assert!(error.to_string().contains("target of a is half-written"), "{error}");
    assert!(!targets[0].is_finished.load(Ordering::SeqCst));
    assert!(targets[1].is_untouched());

    // Now the second fails, and the first stays done.
    scene.store.tamper(&harmed, |bytes| bytes[BLOCK + 500] ^= 1);
    scene.store.tamper(&scene.packs("b").pop().unwrap(), |bytes| bytes[BLOCK + 500] ^= 1);
    let targets = scene.targets();
    let error = scene.restore(&targets).unwrap_err();
    assert_eq!(fact(&error, "half_written").as_deref(), Some("target of b"));
    assert_eq!(fact(&error, "restored").as_deref(), Some("a"));
    assert!(targets[0].bytes() == scene.images[0].bytes);
}

#[test]
fn a_cancel_in_the_middle_is_a_cancel_and_still_says_what_is_half_written() {
    // More packs than threads, so that there is work left when the second is asked for.
    let scene = Scene::of_packs(4, true, BLOCK + 1000);
    let cancel = scene.world.environment.cancel.clone();
    let second = scene.packs("a").swap_remove(1);
    let store = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(move |request| {
        if request.operation == Operation::GetRange && request.key == second.as_str() {
            cancel.cancel();
        }
    });
    let world = scene.world.over(Arc::new(store));
    let target = Existing::new(scene.images[0].bytes.len());
    let volumes = vec![volume("a", &target, RestoreMode::Write)];
    let request = RestoreRequest { point: &scene.point, volumes, progress: &Silent };
    let error = run_restore(&world.repository(), &world.resources, &request).unwrap_err();
    assert!(error.is_cancellation() && error.kind() == "cancelled", "{error}");
    assert_eq!(fact(&error, "half_written").as_deref(), Some("target of a"));
}

/// What is done to a scene before its restore.
type Harm<'a> = &'a dyn Fn(&Scene);

/// What a salvage left of each block: the original, or what the mode leaves, and then only if the report lists it.
fn check_salvaged(
    image: &Image,
    target: &Existing,
    report: &RestoreReport,
    mode: RestoreMode,
    context: &str,
) -> u64 {
    let volume = &report.volumes[0];
    let bytes = target.bytes();
    let mut lost = BTreeSet::new();
    for range in &volume.lost {
        assert!(!range.reason.is_empty() && range.key.contains("/data/"), "{context}: {range:?}");
        let (start, end) = (usize::try_from(range.offset).unwrap(), range.offset + range.len);
        lost.extend((start..usize::try_from(end).unwrap()).step_by(BLOCK).map(|at| at / BLOCK));
    }
    let left = if mode == RestoreMode::Write { 0 } else { BEFORE };
    for (block, (have, wanted)) in bytes.chunks(BLOCK).zip(image.bytes.chunks(BLOCK)).enumerate() {
        if lost.contains(&block) {
            assert!(
                have.iter().all(|byte| *byte == left),
                "{context}: block {block} is lost and was written"
            );
        } else {
            assert!(have == wanted, "{context}: block {block} is not listed and is wrong");
        }
    }
    let listed: u64 = volume.lost.iter().map(|range| range.len).sum();
    assert_eq!(listed, volume.lost_bytes, "{context}");
    lost.len() as u64
}

#[test]
fn a_salvage_of_what_is_sound_is_a_restore() {
    for encrypted in [false, true] {
        let scene = Scene::new(5, encrypted);
        let target = Existing::new(scene.images[0].bytes.len());
        let report = scene.salvage(&target, RestoreMode::Write).unwrap();
        assert_eq!((report.volumes[0].lost.as_slice(), report.volumes[0].lost_bytes), (&[][..], 0));
        assert!(target.bytes() == scene.images[0].bytes);
    }
}

#[test]
fn one_flipped_bit_costs_one_block() {
    for mode in [RestoreMode::Write, RestoreMode::InPlace] {
        let scene = Scene::new(6, true);
        scene.store.tamper(&scene.packs("a")[1], |bytes| bytes[3 * BLOCK] ^= 4);
        let target = Existing::new(scene.images[0].bytes.len());
        if mode == RestoreMode::InPlace {
            // In place nothing is emptied.
            let keep = Kept(target.clone());
            let volumes = vec![RestoreVolume {
                target: Some(Box::new(keep)),
                ..volume("a", &target, RestoreMode::InPlace)
            }];
            let request = RestoreRequest { point: &scene.point, volumes, progress: &Silent };
            let report = run_salvage(&scene.world.repository(), &scene.world.resources, &request).unwrap();
            assert_eq!(check_salvaged(&scene.images[0], &target, &report, mode, "in place"), 1);
        } else {
            let report = scene.salvage(&target, mode).unwrap();
            assert_eq!(check_salvaged(&scene.images[0], &target, &report, mode, "write"), 1);
        }
    }
}

/// A target that begins as it is.
struct Kept(Existing);

impl BlockTarget for Kept {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError> {
        self.0.write_all_at(offset, buf)
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        self.0.write_zeroes(offset, len_bytes)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_exact_at(offset, buf)
    }

    fn flush(&self) -> Result<(), WriteError> {
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        false
    }
}

#[test]
fn whatever_is_damaged_a_salvage_brings_back_all_else_and_lists_it() {
    let (mut whole, mut partly, mut nothing) = (0, 0, 0);
    for encrypted in [false, true] {
        let sound = Scene::new(7, encrypted);
        let mut rng = SmallRng::seed_from_u64(7);
        let objects: Vec<Key> = sound.packs("a").into_iter().chain([sound.map("a")]).collect();
        for case in 0..150 {
            let store = copy_of(&sound.store);
            let (world, images) = (sound.world.over(store.clone()), sound.images.clone());
            let scene = Scene { world, store, point: sound.point.clone(), images };
            // The map is hit as often as all packs together.
            let key = if case % 2 == 0 {
                scene.map("a")
            } else {
                objects[rng.random_range(0..objects.len())].clone()
            };
            let len = scene.store.peek(&key).unwrap().len();
            let at = rng.random_range(0..len);
            match case % 5 {
                0..3 => assert!(scene.store.tamper(&key, |bytes| bytes[at] ^= 1 << (at % 8))),
                3 => assert!(scene.store.tamper(&key, |bytes| bytes.truncate(at))),
                _ => assert!(scene.store.lose(&key)),
            }
            let context = format!("case {case} encrypted {encrypted}: {key} at {at} of {len}");
            let target = Existing::new(scene.images[0].bytes.len());
            let report =
                scene.salvage(&target, RestoreMode::Write).unwrap_or_else(|e| panic!("{context}: {e}"));
            if report.volumes[0].lost_bytes == scene.images[0].bytes.len() as u64 {
                let untouched = target.is_untouched() || target.bytes().iter().all(|byte| *byte == 0);
                assert!(untouched, "{context}");
                nothing += 1;
                continue;
            }
            match check_salvaged(&scene.images[0], &target, &report, RestoreMode::Write, &context) {
                0 => whole += 1,
                blocks => {
                    assert!(blocks < 41, "{context}");
                    partly += 1;
                }
            }
        }
    }
    println!("whole {whole}, partly {partly}, nothing {nothing}");
    assert!(whole > 20 && partly > 60 && nothing > 20, "{whole} {partly} {nothing}");
}

#[test]
fn a_damaged_leaf_costs_its_blocks_and_not_the_volume() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), 8, true).in_small_steps();
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    // Two leaves of 4,096 blocks of 16 KiB, almost all of them zero.
    let mut image = Image::new(vec![0; (4096 + 100) * BLOCK]);
    for block in [1, 5, 4090, 4097, 4150] {
        image.bytes[block * BLOCK] = 7;
    }
    let made = world.make(&[("a", &image)]);
    let point = world.find(made.id).unwrap();
    let map = store.keys().into_iter().find(|key| key.as_str().ends_with("/a/map")).unwrap();
    // The first page behind the header is the first leaf.
    store.tamper(&map, |bytes| bytes[coffer_format::MAP_HEADER_LEN + 2] ^= 1);
    let target = Existing::new(image.bytes.len());
    let volumes = vec![volume("a", &target, RestoreMode::Write)];
    let request = RestoreRequest { point: &point, volumes, progress: &Silent };
    let report = run_salvage(&world.repository(), &world.resources, &request).unwrap();
    let lost: Vec<(u64, u64)> =
        report.volumes[0].lost.iter().map(|range| (range.offset, range.len)).collect();
    assert_eq!(lost, [(0, 4096 * BLOCK as u64)]);
    let bytes = target.bytes();
    assert!(bytes[..4096 * BLOCK].iter().all(|byte| *byte == 0));
    assert!(bytes[4096 * BLOCK..] == image.bytes[4096 * BLOCK..]);
}

#[test]
fn a_volume_whose_manifest_is_lost_comes_back_by_its_map() {
    for encrypted in [false, true] {
        let mut scene = Scene::new(9, encrypted);
        // An incremental, so that its map refers to pages and packs of the point before.
        scene.images[0].bytes[9 * BLOCK] ^= 1;
        let made = scene.world.make(&[("a", &scene.images[0]), ("b", &scene.images[1])]);
        let manifest = scene.world.find(made.id).unwrap();
        let map = scene.keys("a", |object| matches!(object, DataObject::Map { .. }));
        let key = map.iter().find(|key| key.as_str().contains(&made.id.to_string())).unwrap();
        assert!(scene.store.lose(&Key::new(&manifest.key).unwrap()));
        let repository = scene.world.repository();
        let found = map_volume(&repository, key.as_str()).unwrap();
        let size = scene.images[0].bytes.len();
        assert_eq!((found.point, found.name.as_ref(), found.size), (made.id, "a", size as u64));
        let target = Existing::new(size);
        let wanted = volume("a", &target, RestoreMode::Write);
        let resources = &scene.world.resources;
        let report = salvage_from_map(&repository, resources, key.as_str(), &wanted, &Silent).unwrap();
        assert_eq!((report.point, report.volumes[0].lost_bytes), (made.id, 0));
        assert!(target.bytes() == scene.images[0].bytes);

        // A footer that lies is no footer.
        let offset = scene.store.peek(key).unwrap().len() - 60;
        scene.store.tamper(key, |bytes| bytes[offset] ^= 1);
        assert_eq!(map_volume(&repository, key.as_str()).unwrap_err().advice().as_str(), "corrupt");
        let other = map_volume(&repository, "t/default/team.json").unwrap_err();
        assert_eq!(other.kind(), "usage", "{other}");
    }
}

struct Broken;

impl std::io::Write for Broken {
    fn write(&mut self, _buf: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_pins_its_point_and_a_reader_that_went_away_is_no_refusal() {
    let scene = Scene::new(10, true);
    let pinned = Arc::new(AtomicBool::new(false));
    let (seen, inner) = (pinned.clone(), scene.store.clone());
    let store = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(move |request| {
        let reads_data = request.operation == Operation::GetRange && request.moment == Moment::Before;
        if reads_data {
            seen.store(inner.keys().iter().any(|key| key.as_str().contains("/pins/")), Ordering::SeqCst);
        }
    });
    let world = scene.world.over(Arc::new(store));
    let name = "a".parse().unwrap();
    let mut out = Vec::new();
    restore_to_stream(&world.repository(), &world.resources, &scene.point, &name, &mut out).unwrap();
    assert!(out == scene.images[0].bytes);
    assert!(pinned.load(Ordering::SeqCst), "data was read while the point was not pinned");
    let error = restore_to_stream(&world.repository(), &world.resources, &scene.point, &name, &mut Broken);
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.advice().as_str()), ("stream", "retry"), "{error}");
    assert!(world.store.list("t/default/pins/", None, 10).unwrap().objects.is_empty(), "the pins are gone");
}
