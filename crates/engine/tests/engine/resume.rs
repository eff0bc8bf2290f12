//! A run that died is taken up by the next: finished packs are used again, and nothing else of it is believed.
//!
//! The rules that are cited are those of the protocol's model, `coffer-sim`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use coffer_engine::backup::{BackupReport, TypeWish, run_backup};
use coffer_engine::catalog::load_manifest;
use coffer_engine::{EngineError, PruneRequest, forget_points, rotate, run_prune};
use coffer_format::{
    BlockSize, Compression, DataObject, Id, KeyFile, Manifest, PointState, PointType, SecretsWish, object_key,
};
use coffer_store::fault::{Failure, Fault, Moment};
use coffer_store::{FaultPlan, FaultStore, Key, MemoryStore, ObjectStore, Operation};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::history::{Made, copy_of};
use crate::sources::{Trouble, with_trouble};
use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;
/// Four blocks that do not compress fill a pack, which is sent in two parts.
const PACK_BLOCKS: usize = 4;
const PACK_BYTES: u64 = 192 + PACK_BLOCKS as u64 * (BLOCK as u64 + 24);

/// A store with what a run left that died, and what lay there before.
struct Scene {
    world: World,
    store: Arc<MemoryStore>,
    made: Vec<Made>,
    before: BTreeSet<Key>,
}

fn random(seed: u64, blocks: usize) -> Image {
    let mut bytes = vec![0; blocks * BLOCK];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    Image::new(bytes)
}

/// An image of which every block differs from the other's.
fn other(image: &Image) -> Image {
    let mut image = image.clone();
    image.bytes.chunks_mut(BLOCK).for_each(|block| block[0] ^= 0x55);
    image
}

impl Scene {
    fn new(seed: u64, encrypted: bool) -> Scene {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, encrypted).in_small_steps();
        world.resources.pack_bytes = PACK_BYTES;
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        Scene { world, store, made: Vec::new(), before: BTreeSet::new() }.remember()
    }

    /// With one point of `image`, so that what comes is incremental.
    fn on(seed: u64, encrypted: bool, image: &Image) -> Scene {
        let mut scene = Scene::new(seed, encrypted);
        scene.made.push(scene.world.make(&[("vol", image)]));
        scene.remember()
    }

    fn remember(mut self) -> Scene {
        self.before = self.store.keys().into_iter().collect();
        self
    }

    fn copy(&self) -> Scene {
        let store = copy_of(&self.store);
        let (made, before) = (self.made.clone(), self.before.clone());
        Scene { world: self.world.over(store.clone()), store, made, before }
    }

    /// A run that dies when it made `step` requests; `None` if it comes to its end before that.
    fn dies_at(&self, step: u64, moment: Moment, wish: TypeWish, volumes: &[(&str, &Image)]) -> Option<()> {
        let store = Arc::new(FaultStore::new(self.store.clone(), FaultPlan::none().die_at(step, moment)));
        let result = self.world.over(store.clone()).try_backup_of(wish, volumes);
        // The last request looks for an announcement and finds none; there is no moment after that.
        if store.struck() == 0 || result.is_ok() {
            result.unwrap();
            return None;
        }
        Some(())
    }

    /// A run that stores all its data and dies before its manifest.
    fn dies_before_manifest(&self, wish: TypeWish, volumes: &[(&str, &Image)]) {
        let store = Arc::new(FaultStore::new(self.store.clone(), FaultPlan::none()).with_hook(|request| {
            assert!(!(request.operation == Operation::Put && request.key.contains("/points/")), "dies");
        }));
        let world = self.world.over(store);
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.try_backup_of(wish, volumes).unwrap();
        }));
        assert!(died.is_err());
    }

    /// Packs that are new since `before`, with their lengths.
    fn left_packs(&self) -> Vec<(Key, u64)> {
        let is_pack =
            |key: &Key| matches!(object_key::parse_data(key.as_str()), Ok((_, _, DataObject::Pack { .. })));
        let new = self.store.keys().into_iter().filter(|key| !self.before.contains(key) && is_pack(key));
        new.map(|key| (key.clone(), self.store.peek(&key).unwrap().len() as u64)).collect()
    }

    fn left_bytes(&self) -> u64 {
        self.left_packs().iter().map(|(_, len)| len).sum()
    }

    /// The id of the run that died.
    fn left_run(&self) -> Id {
        owner(&self.left_packs()[0].0)
    }

    fn has_new_manifest(&self) -> bool {
        self.store.keys().iter().any(|key| key.as_str().contains("/points/") && !self.before.contains(key))
    }

    /// Backs `image` up, and checks that the point and all before it come back, now and after a prune that leaves nothing unneeded.
    fn goes_on(&mut self, image: &Image, context: &str) -> BackupReport {
        let report = self.world.try_backup_of(TypeWish::Auto, &[("vol", image)]);
        let report = report.unwrap_or_else(|error| panic!("{context}: {error:?}"));
        self.made.push(Made::new(report.point, &[("vol", image)]));
        self.check(context);
        report
    }

    fn check(&self, context: &str) {
        self.world.assert_all_restore(&self.made, context);
        assert_eq!(self.world.verify(true).problems, [], "{context}");
        for _ in 0..2 {
            let report = run_prune(&self.world.repository(), &PruneRequest::default()).unwrap();
            assert_eq!(report.notices, Vec::<String>::new(), "{context}");
        }
        self.world.assert_nothing_unneeded(context);
        self.world.assert_all_restore(&self.made, &format!("{context}, after prune"));
        assert_eq!(self.world.verify(true).problems, [], "{context}, after prune");
    }

    fn manifest(&self, id: Id) -> Manifest {
        load_manifest(&self.world.repository(), &self.world.find(id).unwrap()).unwrap().payload
    }
}

fn owner(key: &Key) -> Id {
    match object_key::parse_data(key.as_str()).unwrap() {
        (_, chain, DataObject::ChainKey(_)) => chain,
        (_, _, object) => object.owner().unwrap(),
    }
}

/// Kills the run before and after each of its requests, and runs it again.
fn check_every_cut(name: &str, scene: &Scene, image: &Image, wish: TypeWish, packs: usize) {
    let (mut resumed, mut most) = (0, 0);
    for moment in [Moment::Before, Moment::After] {
        for step in 0.. {
            let mut cut = scene.copy();
            if cut.dies_at(step, moment, wish, &[("vol", image)]).is_none() {
                break;
            }
            let context = format!("{name}, dies {moment:?} request {step}");
            // From its manifest on the run made a point that counts for nothing, and its packs are that point's.
            let expected = if cut.has_new_manifest() { 0 } else { cut.left_bytes() };
            let finished = if expected > 0 { cut.left_packs().len() } else { 0 };
            let unconfirmed = cut.has_new_manifest();
            let before = cut.store.keys().len();
            let report = cut.world.try_backup_of(wish, &[("vol", image)]);
            let report = report.unwrap_or_else(|error| panic!("{context}: {error:?}"));
            assert_eq!(report.resumed_bytes, expected, "{context}");
            let new_packs = report.objects_written - 1;
            // Only the answer to its last request was lost: the next run builds on its point, and nothing has changed.
            let packs = if report.parent.is_some_and(|parent| scene.made.iter().all(|made| made.id != parent))
            {
                0
            } else {
                packs
            };
            assert_eq!(
                new_packs as usize,
                packs - finished,
                "{context}: only what was in flight is stored anew"
            );
            assert!(cut.store.keys().len() > before);
            if !unconfirmed {
                cut.made.push(Made::new(report.point, &[("vol", image)]));
                cut.check(&context);
            }
            resumed += u64::from(expected > 0);
            most = most.max(finished);
        }
    }
    println!("{name}: {resumed} cuts left packs that were taken over, at most {most} of {packs}");
    assert!(resumed > 6 && most == packs, "{name}: {resumed} {most}");
}

#[test]
fn a_full_cut_at_any_request_is_taken_up_encrypted() {
    check_every_cut("full", &Scene::new(1, true), &random(1, 13), TypeWish::Auto, 4);
}

#[test]
fn a_full_cut_at_any_request_is_taken_up_unencrypted() {
    check_every_cut("unencrypted full", &Scene::new(2, false), &random(2, 13), TypeWish::Full, 4);
}

#[test]
fn an_incremental_cut_at_any_request_is_taken_up() {
    let image = random(3, 13);
    let scene = Scene::on(3, true, &image);
    let mut next = other(&image);
    // The first block stays as it was, so that base and leftovers both have a part in the point.
    next.bytes[..BLOCK].copy_from_slice(&image.bytes[..BLOCK]);
    check_every_cut("incremental", &scene, &next, TypeWish::Auto, 3);
}

/// Deaths in a row: each run takes over what all before it finished, and what one of them took over from another stays where it is.
#[test]
fn several_dead_runs_are_taken_up_together() {
    let image = random(4, 30);
    let mut scene = Scene::new(4, true);
    for (step, packs) in [(14, 1), (27, 2), (38, 3)] {
        for more in 0.. {
            let copy = scene.copy();
            copy.dies_at(step + more, Moment::After, TypeWish::Auto, &[("vol", &image)]).unwrap();
            if copy.left_packs().len() >= packs {
                scene = copy;
                break;
            }
        }
    }
    let owners: BTreeSet<Id> = scene.left_packs().iter().map(|(key, _)| owner(key)).collect();
    assert_eq!(owners.len(), 3, "three runs left packs");
    let left = scene.left_bytes();
    let report = scene.goes_on(&image, "after three deaths");
    assert_eq!(report.resumed_bytes, left);
    let manifest = scene.manifest(report.point);
    assert_eq!(manifest.reused_runs, owners.iter().copied().collect::<Vec<_>>());
    assert_eq!(manifest.chain, *owners.first().unwrap(), "the chain is the first run's");
    assert_eq!((report.kind, report.parent), (PointType::Full, None));
    // The chain goes on as any other.
    let next = other(&image);
    let report = scene.goes_on(&next, "the next incremental");
    assert_eq!((report.kind, report.resumed_bytes), (PointType::Incremental, 0));
    assert_eq!(report.chain, manifest.chain);
}

#[test]
fn only_what_still_matches_is_reused() {
    for incremental in [false, true] {
        let image = random(5, 32);
        let mut scene = match incremental {
            true => Scene::on(5, true, &other(&image)),
            false => Scene::new(5, true),
        };
        scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
        assert_eq!(scene.left_packs().len(), 8);
        let mut now = image.clone();
        // All of packs 1 and 7, one block of pack 2, and a block that is zero now.
        for block in (4..8).chain(28..32).chain([9]) {
            now.bytes[block * BLOCK + 5] ^= 1;
        }
        now.bytes[12 * BLOCK..13 * BLOCK].fill(0);
        let run = scene.left_run();
        let report = scene.goes_on(&now, "changed in between");
        let manifest = scene.manifest(report.point);
        let record = manifest.volume_records().next().unwrap();
        let taken = record.lineage.iter().find(|entry| entry.point == run).unwrap();
        let numbers: Vec<u32> = taken.taken.as_ref().unwrap().numbers().collect();
        assert_eq!(numbers, [0, 2, 3, 4, 5, 6], "packs of which a block still matches");
        assert_eq!((report.resumed_bytes, &manifest.reused_runs), (taken.bytes, &vec![run]));
        assert_eq!(report.objects_written, 3 + 1, "nine blocks in three packs, and the map");
        assert_eq!(report.bytes_written, record.stored, "what was taken over does not count as stored");
        assert!(report.bytes_written < 10 * (BLOCK as u64 + 24));
        // Prune ran: packs 1 and 7 and the dead run's map are gone, the others are not.
        let left: Vec<u32> = (0..8)
            .filter(|number| {
                let key = object_key::pack(&record.path_of(run), *number);
                scene.store.peek(&Key::new(&key).unwrap()).is_some()
            })
            .collect();
        assert_eq!(left, numbers);
    }
}

#[test]
fn a_source_that_is_wholly_other_takes_nothing() {
    let image = random(6, 9);
    let mut scene = Scene::new(6, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let report = scene.goes_on(&other(&image), "another source");
    assert_eq!(report.resumed_bytes, 0);
    let grown = Image::new([&image.bytes[..], &[7; 3]].concat());
    let mut scene = Scene::new(6, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &grown)]);
    let left = scene.left_bytes();
    // The short last block is another one when the volume ends elsewhere; all else matches.
    let mut longer = grown.clone();
    longer.bytes.push(7);
    let report = scene.goes_on(&longer, "one byte more");
    assert_eq!(
        (report.resumed_bytes, report.objects_written),
        (left, 2),
        "the last block's pack and the map"
    );
}

/// Every byte of header and trailer of a leftover counts; a pack with a wrong one is not used, and nothing else suffers.
#[test]
fn a_leftover_with_a_wrong_byte_is_not_used() {
    for encrypted in [true, false] {
        let image = random(7, 8);
        let scene = Scene::new(7, encrypted);
        scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
        let packs = scene.left_packs();
        let (pack, len) = packs[0].clone();
        let sound = packs[1].1;
        let trailer = usize::try_from(len).unwrap() - (PACK_BLOCKS * 56 + 16 + 64);
        let places: Vec<usize> = (0..192).chain(trailer..usize::try_from(len).unwrap()).collect();
        for at in places.into_iter().step_by(if encrypted { 1 } else { 7 }) {
            let mut scene = scene.copy();
            scene.store.tamper(&pack, |bytes| bytes[at] ^= 1 << (at % 8));
            let report = scene.world.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
            assert_eq!(report.resumed_bytes, sound, "byte {at}");
            if at % 16 == 0 {
                scene.made.push(Made::new(report.point, &[("vol", &image)]));
                scene.check(&format!("byte {at}"));
            }
        }
    }
}

type Harm = Box<dyn Fn(&MemoryStore, &Key)>;

fn cut(store: &MemoryStore, key: &Key, change: impl FnOnce(&mut Vec<u8>)) {
    assert!(store.tamper(key, change));
}

#[test]
fn a_leftover_that_is_cut_extended_exchanged_or_gone_is_not_used() {
    let image = random(8, 8);
    let scene = Scene::new(8, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let packs = scene.left_packs();
    let elsewhere = Scene::new(80, true);
    elsewhere.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let foreign = elsewhere.store.peek(&elsewhere.left_packs()[0].0).unwrap();
    let harms: [(&str, Harm); 6] = [
        ("cut", Box::new(|store, key| cut(store, key, |bytes| bytes.truncate(bytes.len() - 1)))),
        ("half", Box::new(|store, key| cut(store, key, |bytes| bytes.truncate(bytes.len() / 2)))),
        ("empty", Box::new(|store, key| cut(store, key, Vec::clear))),
        ("extended", Box::new(|store, key| cut(store, key, |bytes| bytes.push(0)))),
        ("gone", Box::new(|store, key| assert!(store.lose(key)))),
        (
            "another repository's",
            Box::new(move |store, key| {
                store.tamper(key, |bytes| *bytes = foreign.to_vec());
            }),
        ),
    ];
    for (name, harm) in harms {
        let mut scene = scene.copy();
        harm(&scene.store, &packs[0].0);
        let report = scene.goes_on(&image, name);
        assert_eq!(report.resumed_bytes, packs[1].1, "{name}");
    }
    let mut swapped = scene.copy();
    let (a, b) = (swapped.store.peek(&packs[0].0).unwrap(), swapped.store.peek(&packs[1].0).unwrap());
    swapped.store.tamper(&packs[0].0, |bytes| *bytes = b.to_vec());
    swapped.store.tamper(&packs[1].0, |bytes| *bytes = a.to_vec());
    assert_eq!(swapped.goes_on(&image, "swapped").resumed_bytes, 0);
}

/// Verify knows what was taken over as it knows everything else: each byte of the map that describes it and of its packs' metadata.
#[test]
fn every_byte_of_what_was_taken_over_counts() {
    let image = random(25, 12);
    let mut scene = Scene::new(25, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let packs = scene.left_packs();
    assert!(scene.store.lose(&packs[1].0));
    let report = scene.goes_on(&image, "with a gap");
    let manifest = scene.manifest(report.point);
    let record = manifest.volume_records().next().unwrap();
    let map = Key::new(object_key::map(&record.path_of(report.point))).unwrap();
    let mut tried = 0;
    for key in [&map, &packs[0].0, &packs[2].0] {
        let len = scene.store.peek(key).unwrap().len();
        let frames = if *key == map { 0..0 } else { 192..len - (PACK_BLOCKS * 56 + 16 + 64) };
        for at in (0..len).filter(|at| !frames.contains(at)) {
            assert!(scene.store.tamper(key, |bytes| bytes[at] ^= 1 << (at % 8)));
            let found = scene.world.try_verify(false);
            assert!(found.is_err() || !found.unwrap().problems.is_empty(), "byte {at} of {key}");
            assert!(scene.store.tamper(key, |bytes| bytes[at] ^= 1 << (at % 8)));
            let notes = scene.store.keys().into_iter().filter(|key| key.as_str().contains("/damaged/"));
            notes.for_each(|key| assert!(scene.store.lose(&key)));
            tried += 1;
        }
    }
    assert!(tried > 1_000, "{tried}");
    assert!(scene.store.lose(&packs[2].0));
    let problems = scene.world.verify(false).problems;
    assert!(
        problems.iter().any(|problem| problem.key == packs[2].0.as_str() && problem.kind == "missing"),
        "{problems:?}"
    );
}

/// Blocks cannot be checked without the recovery key, which a machine that backs up does not have: that is for `verify --read-data`.
#[test]
fn a_damaged_block_of_a_leftover_is_found_by_reading_and_stored_again() {
    let image = random(9, 8);
    let mut scene = Scene::new(9, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let (pack, _) = scene.left_packs()[0].clone();
    scene.store.tamper(&pack, |bytes| bytes[300] ^= 1);
    let report = scene.world.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
    assert_eq!(report.resumed_bytes, scene.left_bytes() - own_packs(&scene, &report));
    assert_eq!(scene.world.verify(false).problems, []);
    let made = Made::new(report.point, &[("vol", &image)]);
    let refused = scene.world.restore_made(&scene.world.find(report.point).unwrap(), &made).unwrap_err();
    assert_eq!(refused.kind(), "damaged", "{refused}");
    let problems = scene.world.verify(true).problems;
    assert_eq!((problems.len(), problems[0].key.as_str()), (1, pack.as_str()));
    let report = scene.world.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
    assert_eq!(report.volumes[0].blocks_changed, PACK_BLOCKS as u64);
    scene.made = vec![Made::new(report.point, &[("vol", &image)])];
    scene.world.assert_all_restore(&scene.made, "after the mend");
}

fn own_packs(scene: &Scene, report: &BackupReport) -> u64 {
    let own = |(key, _): &&(Key, u64)| owner(key) == report.point;
    scene.left_packs().iter().filter(own).map(|(_, len)| len).sum()
}

#[test]
fn another_block_size_takes_nothing_and_another_compression_all() {
    let image = random(10, 12);
    let scene = Scene::new(10, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let mut larger = scene.copy();
    larger.world.block_size = Some(BlockSize::new(2 * BLOCK as u32).unwrap());
    assert_eq!(larger.goes_on(&image, "block size").resumed_bytes, 0);
    scene.world.clock.advance_ms(3_600_000);
    let mut request = scene.world.request(vec![("vol", Box::new(image.clone()))]);
    request.compression = Compression::Zstd(9);
    let left = scene.left_bytes();
    let report = run_backup(&scene.world.repository(), &scene.world.resources, &request).unwrap();
    assert_eq!((report.resumed_bytes, report.objects_written), (left, 1), "only the map is new");
    scene.world.assert_all_restore([&Made::new(report.point, &[("vol", &image)])], "compression");
}

/// Rule takeover_skips_ending.
#[test]
fn a_run_that_is_ending_is_not_taken_up() {
    let image = random(11, 9);
    let mut full = Scene::new(11, true);
    full.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let run = full.left_run();
    full.world.announce_end(run);
    let report = full.goes_on(&image, "full");
    assert_eq!((report.resumed_bytes, report.chain), (0, report.point), "its chain is left to prune");
    let mut incremental = Scene::on(12, false, &other(&image));
    incremental.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    incremental.world.announce_end(incremental.left_run());
    let report = incremental.goes_on(&image, "incremental");
    assert_eq!((report.resumed_bytes, report.kind), (0, PointType::Incremental));
}

/// What the run after a full that died finds instead of the chain's key.
#[test]
fn a_chain_whose_key_is_off_is_not_adopted() {
    let image = random(13, 9);
    let scene = Scene::new(13, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let chain = scene.left_run();
    let key = Key::new(object_key::chain_key(&scene.world.plan, &chain, 1)).unwrap();
    let len = scene.store.peek(&key).unwrap().len();
    for at in (0..len).step_by(11) {
        let scene = scene.copy();
        scene.store.tamper(&key, |bytes| bytes[at] ^= 1);
        let report = scene.world.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
        assert_eq!((report.resumed_bytes, report.chain), (0, report.point), "byte {at}");
    }
    let mut gone = scene.copy();
    gone.store.lose(&key);
    assert_eq!(gone.goes_on(&image, "no key").resumed_bytes, 0);
    let other_plan = Key::new(key.as_str().replace("/web/", "/shop/")).unwrap();
    let copied = scene.copy();
    for key in copied.store.keys().into_iter().filter(|key| key.as_str().contains("/web/")) {
        let bytes = copied.store.peek(&key).unwrap();
        copied.store.put(&Key::new(key.as_str().replace("/web/", "/shop/")).unwrap(), bytes).unwrap();
    }
    assert!(copied.store.peek(&other_plan).is_some());
    let mut shop = copied.world.over(copied.store.clone());
    shop.plan.plan = "shop".parse().unwrap();
    let report = shop.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
    assert_eq!(
        (report.resumed_bytes, report.chain),
        (0, report.point),
        "the same objects under another plan"
    );
}

#[test]
fn an_adopted_chain_opens_with_the_recovery_key_and_rotates() {
    let image = random(14, 9);
    let mut scene = Scene::new(14, true);
    let mut writer = scene.world.over(scene.store.clone());
    let mut draw = |out: &mut [u8]| out.iter_mut().zip(9..).for_each(|(byte, value)| *byte = value);
    writer.recovery = Some(
        scene.world.recovery.as_ref().unwrap().writer_key(Id::from_parts(1, [9; 10]), &mut draw).unwrap(),
    );
    writer.resources = scene.world.resources.clone();
    let died =
        Scene { world: writer, store: scene.store.clone(), made: Vec::new(), before: scene.before.clone() };
    died.dies_before_manifest(TypeWish::Full, &[("vol", &image)]);
    let report = died.world.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
    assert!(report.resumed_bytes > 0 && report.chain != report.point, "a writer key is enough");
    scene.made.push(Made::new(report.point, &[("vol", &image)]));
    scene.check("with the recovery key");
    let mut new = None;
    let mut save = |key: &KeyFile| {
        new = Some(key.clone());
        Ok(())
    };
    assert_eq!(rotate(&scene.world.repository(), SecretsWish::Keep, &mut save).unwrap().chains, 1);
    scene.world.recovery = new;
    scene.goes_on(&other(&image), "with the rotated key");
}

/// A chain whose secrets were replaced is not gone on with, whatever else is right; one that was sealed anew is.
#[test]
fn after_a_rotation_a_full_goes_on_with_a_chain_only_if_it_has_the_newest_secrets() {
    for secrets in [SecretsWish::Keep, SecretsWish::Replace] {
        full_after_a_rotation(secrets);
    }
}

fn full_after_a_rotation(secrets: SecretsWish) {
    let image = random(15, 9);
    let mut scene = Scene::new(15, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let mut new = None;
    let mut save = |key: &KeyFile| {
        new = Some(key.clone());
        Ok(())
    };
    rotate(&scene.world.repository(), secrets, &mut save).unwrap();
    scene.world.recovery = new;
    let report = scene.goes_on(&image, "after the rotation");
    let went_on = (report.resumed_bytes > 0, report.chain != report.point);
    assert_eq!(went_on, (secrets == SecretsWish::Keep, secrets == SecretsWish::Keep), "{secrets:?}");
}

/// Rule check_taken_ending: a person calls the dead run abandoned, and prune comes at any moment of the run that takes it up.
#[test]
fn prune_at_any_moment_fences_the_run_or_leaves_what_it_uses() {
    for incremental in [false, true] {
        let image = random(16, 9);
        let scene = match incremental {
            true => Scene::on(16, false, &other(&image)),
            false => Scene::new(16, false),
        };
        scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
        let run = scene.left_run();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for moment in [Moment::Before, Moment::After] {
            for step in 0.. {
                let mut scene = scene.copy();
                let came = Arc::new(Mutex::new(false));
                let hook = {
                    let (came, world) = (came.clone(), scene.world.over(scene.store.clone()));
                    move |request: &coffer_store::fault::Request<'_>| {
                        let is_now = request.step == step && request.moment == moment;
                        if is_now && !std::mem::replace(&mut *came.lock().unwrap(), true) {
                            let request =
                                PruneRequest { abandoned: BTreeSet::from([run]), ..PruneRequest::default() };
                            run_prune(&world.repository(), &request).unwrap();
                        }
                    }
                };
                let store = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(hook);
                let result =
                    scene.world.over(Arc::new(store)).try_backup_of(TypeWish::Auto, &[("vol", &image)]);
                if !*came.lock().unwrap() {
                    break;
                }
                let context = format!("incremental {incremental}, prune {moment:?} request {step}");
                let outcome = match result {
                    Ok(report) => {
                        scene.made.push(Made::new(report.point, &[("vol", &image)]));
                        if report.resumed_bytes > 0 { "done, resumed" } else { "done, anew" }
                    }
                    Err(EngineError::Fenced { .. }) => "fenced",
                    Err(error) => panic!("{context}: {error:?}"),
                };
                *counts.entry(outcome.to_owned()).or_default() += 1;
                scene.goes_on(&image, &context);
            }
        }
        println!("prune at any moment, incremental {incremental}: {counts:?}");
        for outcome in ["done, resumed", "done, anew", "fenced"] {
            assert!(counts.get(outcome).is_some_and(|count| *count >= 1), "{counts:?}");
        }
    }
}

/// Scenario take_over_alive: the run is not dead but slow; another takes its finished packs over, and both make points.
#[test]
fn a_run_that_lives_may_be_taken_up() {
    let mut resumed = 0;
    for (incremental, step) in (0..40).flat_map(|step| [(false, step), (true, step)]) {
        let image = random(17, 9);
        let mut scene = match incremental {
            true => Scene::on(17, true, &other(&image)),
            false => Scene::new(17, true),
        };
        let second: Arc<Mutex<Option<BackupReport>>> = Arc::default();
        let hook = {
            let (second, world, image) =
                (second.clone(), scene.world.over(scene.store.clone()), image.clone());
            move |request: &coffer_store::fault::Request<'_>| {
                let is_put = request.operation != Operation::List && request.key.contains("/data/");
                if is_put && request.step >= step && second.lock().unwrap().is_none() {
                    let report = world.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
                    *second.lock().unwrap() = Some(report);
                }
            }
        };
        let store = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(hook);
        let first =
            scene.world.over(Arc::new(store)).try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
        let Some(second) = second.lock().unwrap().take() else { continue };
        resumed += u64::from(second.resumed_bytes > 0);
        for report in [&first, &second] {
            scene.made.push(Made::new(report.point, &[("vol", &image)]));
        }
        let context = format!("incremental {incremental}, step {step}, {} resumed", second.resumed_bytes);
        scene.check(&context);
        // Whichever of the two is given up, the other one stays whole.
        for gone in [first.point, second.point] {
            let mut scene = scene.copy();
            scene.goes_on(&image, &context);
            forget_points(&scene.world.repository(), &[gone], &Default::default(), false).unwrap();
            scene.made.retain(|made| made.id != gone);
            scene.check(&format!("{context}, {gone} forgotten"));
        }
    }
    println!("a living run was taken up {resumed} times");
    assert!(resumed > 10, "{resumed}");
}

/// Pack numbers of a run that died have gaps, and there may be many: the table has pages, and an index.
#[test]
fn hundreds_of_packs_with_gaps_are_taken_over() {
    let blocks = 700;
    let image = random(18, blocks);
    let mut scene = Scene::new(18, true);
    scene.world.resources.pack_bytes = 1;
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let packs = scene.left_packs();
    assert_eq!(packs.len(), blocks);
    let is_lost = |number: usize| number.is_multiple_of(7) || (256..512).contains(&number) || number > 690;
    let lost: Vec<usize> = (0..blocks).filter(|number| is_lost(*number)).collect();
    lost.iter().for_each(|number| assert!(scene.store.lose(&packs[*number].0)));
    let left = scene.left_bytes();
    let report = scene.goes_on(&image, "gaps");
    assert_eq!((report.resumed_bytes, report.objects_written), (left, lost.len() as u64 + 1));
    let manifest = scene.manifest(report.point);
    let record = manifest.volume_records().next().unwrap();
    let numbers: Vec<u32> = record.lineage[0].taken.as_ref().unwrap().numbers().collect();
    assert!(numbers.iter().copied().eq((0..blocks as u32).filter(|number| !is_lost(*number as usize))));
    let mut next = image.clone();
    next.bytes[300 * BLOCK] ^= 1;
    let report = scene.goes_on(&next, "the next incremental");
    assert_eq!(
        report.volumes[0].blocks_changed, 1,
        "base and hashes come through the table of packs taken over"
    );
}

/// Many threads, each with a pack of its own: which pack a block is in is up to chance, and all of it is found.
#[test]
fn packs_of_many_threads_are_taken_over() {
    let mut image = Image::mixed(19, 24 << 20, BLOCK);
    image.bytes[5] = 1;
    let mut scene = Scene::new(19, true);
    scene.world.resources.workers = 3;
    scene.world.resources.uploads = 2;
    scene.world.resources.pack_bytes = 600 << 10;
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let left = scene.left_bytes();
    let report = scene.goes_on(&image, "threads");
    assert_eq!((report.resumed_bytes, report.objects_written), (left, 1));
}

#[test]
fn each_volume_takes_up_its_own_and_a_failed_one_nothing() {
    let (mut a, b) = (random(20, 9), random(21, 9));
    a.bytes[0] = 1;
    let scene = Scene::new(20, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("a", &a), ("b", &b)]);
    let left = scene.left_bytes();
    let mut both = scene.copy();
    let report = both.world.try_backup_of(TypeWish::Auto, &[("a", &a), ("b", &b)]).unwrap();
    assert_eq!((report.resumed_bytes, report.objects_written), (left, 2));
    both.made.push(Made::new(report.point, &[("a", &a), ("b", &b)]));
    both.check("both");
    // Under each other's names they are other volumes.
    let crossed = scene.copy();
    let report = crossed.world.try_backup_of(TypeWish::Auto, &[("a", &b), ("b", &a)]).unwrap();
    assert_eq!(report.resumed_bytes, 0);
    let mut partial = scene.copy();
    partial.world.clock.advance_ms(3_600_000);
    let request = with_trouble(&partial.world, &a, Trouble::Once(0), &b);
    let report = run_backup(&partial.world.repository(), &partial.world.resources, &request).unwrap();
    assert_eq!(report.state, PointState::Partial);
    assert!(report.resumed_bytes > 0 && report.resumed_bytes < left);
    let half = Made::new(report.point, &[("b", &b)]);
    partial.world.assert_all_restore([&half], "partial");
    let report = partial.world.try_backup_of(TypeWish::Auto, &[("a", &a), ("b", &b)]).unwrap();
    partial.made.extend([half, Made::new(report.point, &[("a", &a), ("b", &b)])]);
    partial.check("after the partial point");
}

#[test]
fn a_repeated_key_returns_the_resumed_point() {
    let image = random(22, 9);
    let scene = Scene::new(22, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let run = || {
        scene.world.clock.advance_ms(3_600_000);
        let mut request = scene.world.request(vec![("vol", Box::new(image.clone()))]);
        request.idempotency_key = Some("nightly".into());
        run_backup(&scene.world.repository(), &scene.world.resources, &request).unwrap()
    };
    let (first, second) = (run(), run());
    assert!(first.resumed_bytes > 0 && !first.repeated);
    assert!(second.repeated && second.point == first.point && second.resumed_bytes == 0);
}

/// A store that fails while leftovers are looked at: then they are not used, or the backup fails; never anything else.
#[test]
fn leftovers_that_cannot_be_read_never_make_a_backup_fail() {
    let image = random(23, 9);
    let scene = Scene::new(23, true);
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let run = scene.left_run().to_string();
    let mut counts: BTreeMap<bool, usize> = BTreeMap::new();
    for fault in
        [Fault::Before(Failure::Unavailable), Fault::Before(Failure::Denied), Fault::Short, Fault::Flip]
    {
        for step in 0.. {
            let mut scene = scene.copy();
            let struck: Arc<Mutex<Option<(Operation, String)>>> = Arc::default();
            let hook = {
                let struck = struck.clone();
                move |request: &coffer_store::fault::Request<'_>| {
                    if request.step == step {
                        *struck.lock().unwrap() = Some((request.operation, request.key.to_owned()));
                    }
                }
            };
            let plan = FaultPlan::new(step).fail_at(step, fault);
            let store = Arc::new(FaultStore::new(scene.store.clone(), plan).with_hook(hook));
            let result = scene.world.over(store).try_backup_of(TypeWish::Auto, &[("vol", &image)]);
            let Some((operation, key)) = struck.lock().unwrap().take() else { break };
            let reads = matches!(operation, Operation::GetRange | Operation::Get | Operation::List);
            let is_leftover = reads && key.contains(&format!("/{run}/")) && key.contains("/data/");
            let context = format!("{fault:?} at request {step}: {operation:?} {key}");
            match result {
                Ok(report) => {
                    scene.made.push(Made::new(report.point, &[("vol", &image)]));
                    *counts.entry(report.resumed_bytes > 0).or_default() += 1;
                    scene.check(&context);
                }
                Err(error) => assert!(!is_leftover, "{context}: {error:?}"),
            }
        }
    }
    println!("faults while looking, by whether anything was taken over: {counts:?}");
    assert!(counts[&true] > 10 && counts[&false] > 3, "{counts:?}");
}

/// What none of them needs of a dead run goes, and what one of them needs stays, through forgetting the point that took it over.
#[test]
fn what_was_taken_over_lives_as_long_as_its_chain() {
    let image = random(24, 12);
    let mut scene = Scene::on(24, true, &other(&image));
    scene.dies_before_manifest(TypeWish::Auto, &[("vol", &image)]);
    let taker = scene.goes_on(&image, "taken over");
    let mut next = image.clone();
    next.bytes[0] ^= 1;
    scene.goes_on(&next, "a child");
    forget_points(&scene.world.repository(), &[taker.point], &Default::default(), false).unwrap();
    scene.made.retain(|made| made.id != taker.point);
    scene.check("the taker is forgotten");
    let full = scene.world.try_backup_of(TypeWish::Full, &[("vol", &next)]).unwrap();
    let gone: Vec<Id> = scene.made.drain(..).map(|made| made.id).collect();
    forget_points(&scene.world.repository(), &gone, &Default::default(), false).unwrap();
    scene.made.push(Made::new(full.point, &[("vol", &next)]));
    scene.check("the chain is forgotten");
    let left = scene.store.keys().into_iter().filter(|key| key.as_str().contains("/data/")).count();
    assert_eq!(left, 1 + 3 + 1, "the new chain's key, packs and map");
}
