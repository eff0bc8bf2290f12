//! Lists of changed ranges from outside: what they name is read and nothing else; what they leave out is found by the samples as often
//! as they say, and then nothing is lost; where they cannot be right they are refused.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use coffer_blockio::{BlockSource, ReadError, SourceKind};
use coffer_engine::backup::{
    BackupReport, BackupRequest, ChangeLists, ChangedRanges, LIST_RANGES_MAX, RangeMerger, SAMPLE_BLOCKS_MAX,
    TypeWish, run_backup,
};
use coffer_engine::{Advice, EngineError};
use coffer_format::{BlockSize, ChangeSource as ChangesFrom, Id, PointType};
use coffer_store::fault::Moment;
use coffer_store::{FaultPlan, FaultStore, MemoryStore, Operation};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::history::{Made, copy_of};
use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;
/// Bytes of a leaf.
const LEAF: usize = 4096 * BLOCK;

fn world(seed: u64, encrypted: bool) -> World {
    let mut world = World::new(seed, encrypted);
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    world
}

fn ranges(given: &[Range<usize>]) -> ChangedRanges {
    let mut merger = RangeMerger::new(LIST_RANGES_MAX);
    given.iter().for_each(|range| merger.push(range.start as u64..range.end as u64));
    merger.finish()
}

/// A list of the given blocks.
fn blocks(blocks: &[usize]) -> Vec<Range<usize>> {
    blocks.iter().map(|block| block * BLOCK..(block + 1) * BLOCK).collect()
}

/// An image that keeps a record of which blocks were read.
struct Watched {
    image: Image,
    read: Arc<Mutex<Vec<usize>>>,
}

impl BlockSource for Watched {
    fn size_bytes(&self) -> u64 {
        self.image.size_bytes()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let first = usize::try_from(offset).unwrap() / BLOCK;
        self.read.lock().unwrap().extend(first..first + buf.len().div_ceil(BLOCK));
        self.image.read_exact_at(offset, buf)
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        self.image.data_ranges(start, end)
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        self.image.next_data(offset)
    }

    fn knows_holes(&self) -> bool {
        self.image.knows_holes()
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        self.image.current_size_bytes()
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Image
    }
}

/// One backup of volume `vol` with a list, and the blocks that were read, ascending.
struct Listed {
    report: BackupReport,
    read: Vec<usize>,
}

impl Listed {
    fn volume(&self) -> &coffer_engine::backup::VolumeReport {
        &self.report.volumes[0]
    }
}

fn request(
    world: &World,
    image: &Image,
    base: Id,
    list: ChangedRanges,
    sample: Option<u32>,
) -> BackupRequest {
    let mut request = world.request(vec![("vol", Box::new(image.clone()))]);
    request.lists = Some(ChangeLists { base, sample, volumes: [("vol".parse().unwrap(), list)].into() });
    request
}

fn try_listed(
    world: &World,
    image: &Image,
    base: Id,
    list: &[Range<usize>],
    sample: Option<u32>,
) -> Result<Listed, EngineError> {
    world.clock.advance_ms(3_600_000);
    let read = Arc::new(Mutex::new(Vec::new()));
    let mut request = request(world, image, base, ranges(list), sample);
    request.volumes[0].source = Ok(Box::new(Watched { image: image.clone(), read: read.clone() }));
    let report = run_backup(&world.repository(), &world.resources, &request)?;
    let mut read = read.lock().unwrap().clone();
    read.sort_unstable();
    Ok(Listed { report, read })
}

fn listed(world: &World, image: &Image, base: Id, list: &[Range<usize>], sample: u32) -> Listed {
    try_listed(world, image, base, list, Some(sample)).unwrap()
}

fn restored(world: &World, point: Id) -> Vec<u8> {
    world.restore(&world.find(point).unwrap())
}

/// Rewrites these blocks so that each of them differs.
fn touch(image: &mut Image, blocks: &[usize], seed: u64) {
    for block in blocks {
        let end = ((block + 1) * BLOCK).min(image.bytes.len());
        let bytes = &mut image.bytes[block * BLOCK..end];
        let noise = Image::noise(seed * 1_000_003 + *block as u64, bytes.len()).bytes;
        bytes.copy_from_slice(&noise);
    }
}

#[test]
fn only_listed_blocks_and_samples_are_read_and_the_image_comes_back() {
    for encrypted in [true, false] {
        let world = world(1, encrypted);
        let mut image = Image::mixed(1, 700 * BLOCK + 77, BLOCK);
        let mut base = world.backup(&image).point;
        let mut rng = SmallRng::seed_from_u64(5);
        let mut history = Vec::new();
        for run in 0..6 {
            let mut changed: Vec<usize> = (0..700).filter(|_| rng.random_bool(0.05)).collect();
            changed.push(700);
            touch(&mut image, &changed, run);
            // The volume's last block is short, and so is its range.
            let mut list = blocks(&changed);
            list.last_mut().unwrap().end = image.bytes.len();
            let done = listed(&world, &image, base, &list, 50);
            let volume = done.volume();
            assert_eq!(
                (volume.changes.to_string().as_str(), volume.point_type),
                ("list", PointType::Incremental)
            );
            assert_eq!((volume.sampled_blocks, volume.sample_mismatches), (50, 0));
            assert_eq!(volume.blocks_changed as usize, changed.len());
            assert_eq!(volume.read, (changed.len() as u64 - 1) * BLOCK as u64 + 77);
            let read: BTreeSet<usize> = done.read.iter().copied().collect();
            assert_eq!((read.len(), done.read.len()), (changed.len() + 50, changed.len() + 50));
            assert!(changed.iter().all(|block| read.contains(block)));
            base = done.report.point;
            history.push(Made::new(base, &[("vol", &image)]));
        }
        world.assert_all_restore(&history, "after all runs");
        world.assert_sound();
    }
}

/// A block that is listed and did not change is read, compared, and not stored.
#[test]
fn a_list_may_name_too_much_in_any_order_unaligned_and_overlapping() {
    let world = world(2, true);
    let mut image = Image::mixed(2, 200 * BLOCK, BLOCK);
    let base = world.backup(&image).point;
    touch(&mut image, &[10, 11, 50], 1);
    let list = [
        50 * BLOCK + 4000..50 * BLOCK + 4001,
        11 * BLOCK + 100..12 * BLOCK,
        10 * BLOCK + BLOCK - 1..12 * BLOCK + 1,
        50 * BLOCK + 10..50 * BLOCK + 5000,
        100 * BLOCK..110 * BLOCK,
        105 * BLOCK + 1..106 * BLOCK,
    ];
    let done = listed(&world, &image, base, &list, 0);
    let read: Vec<usize> = [10, 11, 12, 50].into_iter().chain(100..110).collect();
    assert_eq!(done.read, read);
    assert_eq!(done.volume().blocks_changed, 3);
    assert!(restored(&world, done.report.point) == image.bytes);
    world.assert_sound();
}

#[test]
fn an_empty_list_reads_samples_only_and_the_point_is_the_same() {
    let world = world(3, true);
    let image = Image::mixed(3, 2 * LEAF + 33 * BLOCK + 5, 40 * BLOCK);
    let base = world.backup(&image).point;
    let done = try_listed(&world, &image, base, &[], None).unwrap();
    let volume = done.volume();
    assert_eq!((volume.read, volume.changed, volume.blocks_changed), (0, 0, 0));
    assert_eq!((volume.sampled_blocks, done.read.len()), (82, 82), "one in a hundred of 8,226");
    assert!(volume.stored < 2000, "{}", volume.stored);
    assert!(restored(&world, done.report.point) == image.bytes);
    world.assert_sound();
}

/// Leaves and trailers are read where something changed, and nowhere else.
#[test]
fn what_is_not_touched_costs_no_request() {
    let store = Arc::new(MemoryStore::new());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = seen.clone();
    let watching = FaultStore::new(store.clone(), FaultPlan::none()).with_hook(move |request| {
        if request.operation == Operation::GetRange && request.moment == Moment::Before {
            sink.lock().unwrap().push(request.key.to_owned());
        }
    });
    let mut world = World::on(Arc::new(watching), 4, true);
    world.resources.workers = 1;
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    let mut image = Image::noise(4, 3 * LEAF + BLOCK);
    let base = world.backup(&image).point;
    touch(&mut image, &[4096 + 7], 1);
    seen.lock().unwrap().clear();
    let done = listed(&world, &image, base, &blocks(&[4096 + 7]), 0);
    let requests = seen.lock().unwrap().clone();
    let map = |key: &&String| key.ends_with("/map");
    assert!(requests.iter().any(|key| map(&key)), "{requests:?}");
    // Root, node, one leaf, the pack table; of trailers the page of the changed block and those where segments begin and end.
    assert!(requests.iter().filter(map).count() <= 4, "{requests:?}");
    assert!(requests.len() <= 4 + 9, "{requests:?}");
    assert_eq!(done.read, [4096 + 7]);
    assert!(restored(&world, done.report.point) == image.bytes);
}

#[test]
fn a_volume_that_grows_or_shrinks_is_read_where_it_did() {
    let world = world(5, true);
    let sizes = [
        300 * BLOCK + 5,
        300 * BLOCK + 9,
        LEAF + 20 * BLOCK,
        LEAF + 20 * BLOCK + 100,
        2 * LEAF + 3,
        2 * LEAF,
        2 * LEAF - 1,
        LEAF + 1,
        100 * BLOCK,
        0,
        7,
        500 * BLOCK,
    ];
    let mut image = Image::mixed(0, 300 * BLOCK, 3 * BLOCK);
    let mut made = vec![world.make(&[("vol", &image)])];
    for (index, size) in sizes.into_iter().enumerate() {
        let before = image.bytes.len();
        let filler = Image::mixed(index as u64 + 1, size.saturating_sub(before), 3 * BLOCK).bytes;
        image.bytes.truncate(size);
        image.bytes.extend_from_slice(&filler);
        let common = before.min(size) / BLOCK;
        let changed: Vec<usize> = (0..common).step_by(97).collect();
        touch(&mut image, &changed, index as u64);
        // The list does not tell of the new size: whoever tracks writes to the old range does not know it.
        let done = listed(&world, &image, made.last().unwrap().id, &blocks(&changed), 64);
        let volume = done.volume();
        assert_eq!(
            (volume.changes.to_string().as_str(), volume.sample_mismatches),
            ("list", 0),
            "size {size}"
        );
        let at_the_edge = if before == size { 0 } else { size.div_ceil(BLOCK) - common };
        assert_eq!(
            volume.read.div_ceil(BLOCK as u64) as usize,
            changed.len() + at_the_edge,
            "{before} to {size}"
        );
        made.push(Made::new(done.report.point, &[("vol", &image)]));
    }
    world.assert_all_restore(&made, "every size");
    world.assert_sound();
}

#[test]
fn a_list_for_another_point_is_refused_and_nothing_is_written() {
    let world = world(6, true);
    let mut image = Image::mixed(6, 50 * BLOCK, BLOCK);
    let first = world.backup(&image).point;
    let second = world.backup(&image).point;
    touch(&mut image, &[3], 1);
    let objects = || coffer_store::list_all(world.store.as_ref(), "").unwrap();
    let before = objects();
    let error = try_listed(&world, &image, first, &blocks(&[3]), None).err().unwrap();
    assert_eq!(error.advice(), Advice::Refused);
    let text = error.to_string();
    assert!(text.contains(&first.to_string()) && text.contains(&second.to_string()), "{text}");
    assert_eq!(objects(), before);
    let done = listed(&world, &image, second, &blocks(&[3]), 10);
    assert_eq!(done.read.len(), 11);
}

#[test]
fn a_full_and_a_new_volume_are_read_whole_and_say_so() {
    let world = world(7, true);
    let image = Image { tells_holes: false, ..Image::mixed(7, 60 * BLOCK, BLOCK) };
    let id = Id::from_parts(1, [7; 10]);
    let check = |done: &Listed| {
        let volume = done.volume();
        assert_eq!((volume.point_type, volume.changes.to_string().as_str()), (PointType::Full, "hash"));
        assert!(volume.type_reason.contains("list of changes was not used"), "{}", volume.type_reason);
        assert_eq!((volume.sampled_blocks, done.read.len()), (0, 60));
        assert!(restored(&world, done.report.point) == image.bytes);
    };
    let first = try_listed(&world, &image, id, &[], None).unwrap();
    check(&first);
    let mut request = request(&world, &image, id, ranges(&[]), None);
    request.type_wish = TypeWish::Full;
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    assert!(report.volumes[0].type_reason.contains("not used"), "{}", report.volumes[0].type_reason);
    // A volume that the parent does not have, beside one that it has.
    world.clock.advance_ms(3_600_000);
    let mut request = world.request(vec![("vol", Box::new(image.clone())), ("a", Box::new(image.clone()))]);
    let volumes = ["vol", "a"].map(|name| (name.parse().unwrap(), ranges(&[])));
    request.lists = Some(ChangeLists { base: report.point, sample: None, volumes: volumes.into() });
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    assert_eq!(report.volumes[0].changes, ChangesFrom::list());
    assert_eq!(report.volumes[1].changes, ChangesFrom::hash());
    assert!(report.volumes[1].type_reason.contains("not used"), "{}", report.volumes[1].type_reason);
    let made = Made::new(report.point, &[("vol", &image), ("a", &image)]);
    world.assert_all_restore([&made], "with a new volume");
}

#[test]
fn volumes_without_a_list_are_read_as_ever() {
    let world = world(8, true);
    let (mut a, mut b) = (Image::mixed(8, 40 * BLOCK, BLOCK), Image::mixed(9, 50 * BLOCK, BLOCK));
    let base = world.make(&[("a", &a), ("b", &b)]).id;
    touch(&mut a, &[5], 1);
    touch(&mut b, &[6, 49], 1);
    world.clock.advance_ms(3_600_000);
    let mut request = world.request(vec![("a", Box::new(a.clone())), ("b", Box::new(b.clone()))]);
    let lists = [("a".parse().unwrap(), ranges(&blocks(&[5])))].into();
    request.lists = Some(ChangeLists { base, sample: None, volumes: lists });
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    assert_eq!(report.volumes[0].changes, ChangesFrom::list());
    assert_eq!(
        (report.volumes[1].changes.to_string().as_str(), report.volumes[1].blocks_changed),
        ("fiemap", 2)
    );
    world.assert_all_restore([&Made::new(report.point, &[("a", &a), ("b", &b)])], "both");
}

/// Content against content, zeroes that became content, content that became zeroes.
#[test]
fn a_list_that_is_found_to_lie_is_refused_and_nothing_is_lost() {
    for lie in 0..3 {
        let world = world(10 + lie, true);
        let mut image = Image::noise(10, 300 * BLOCK);
        image.bytes[100 * BLOCK..200 * BLOCK].fill(0);
        let base = world.backup(&image).point;
        touch(&mut image, &[7], 1);
        match lie {
            0 => touch(&mut image, &[20], 1),
            1 => image.bytes[150 * BLOCK + 5] = 1,
            _ => image.bytes[20 * BLOCK..21 * BLOCK].fill(0),
        }
        let done = listed(&world, &image, base, &blocks(&[7]), SAMPLE_BLOCKS_MAX);
        let volume = done.volume();
        assert_eq!((volume.sampled_blocks, volume.sample_mismatches), (299, 1));
        assert_eq!((volume.changes.to_string().as_str(), volume.blocks_changed), ("hash", 2));
        assert_eq!(volume.point_type, PointType::Incremental);
        assert_eq!(volume.read, image.bytes.len() as u64, "all of it, holes too, and no samples");
        let said =
            "the list of changes was refused: of 299 sampled blocks that it calls unchanged 1 had changed";
        assert!(volume.type_reason.contains(said), "{}", volume.type_reason);
        assert!(restored(&world, done.report.point) == image.bytes);
        let manifest = world.find(done.report.point).unwrap();
        let manifest = coffer_engine::catalog::load_manifest(&world.repository(), &manifest).unwrap();
        let record = &manifest.payload.volumes[0].payload;
        assert_eq!((record.changes.to_string().as_str(), record.sample_mismatches), ("hash", 1));
        world.assert_sound();
    }
}

/// What no sample hits is not noticed, and the point shows the old content there: the documented limit. The next comparison mends it.
#[test]
fn a_lie_that_no_sample_hits_leaves_old_content_until_everything_is_read_again() {
    let world = world(14, true);
    let mut image = Image::noise(14, 300 * BLOCK);
    let base = world.backup(&image).point;
    let mut seen = image.clone();
    touch(&mut image, &[7, 20], 1);
    touch(&mut seen, &[7], 1);
    let done = listed(&world, &image, base, &blocks(&[7]), 0);
    assert!(restored(&world, done.report.point) == seen.bytes);
    let mended = world.backup(&image);
    assert_eq!(mended.volumes[0].blocks_changed, 1);
    assert!(restored(&world, mended.point) == image.bytes);
}

/// One block in 100 of 1,000 had changed and is not on the list; 64 samples find it with a chance of 1 - 0.99^64, 47 %.
#[test]
fn whole_runs_find_lies_as_often_as_documented_and_never_lose_a_block_they_found() {
    const RUNS: u32 = 60;
    let mut world = world(15, false);
    world.full_every = 256;
    let mut image = Image::noise(15, 1000 * BLOCK);
    let base = world.backup(&image);
    let lies: Vec<usize> = (0..1000).step_by(100).collect();
    touch(&mut image, &lies, 1);
    let mut found = 0;
    let mut base = base.point;
    let mut old = world.restore(&world.find(base).unwrap());
    for _ in 0..RUNS {
        let done = listed(&world, &image, base, &[], 64);
        let volume = done.volume();
        assert_eq!(
            volume.changes,
            if volume.sample_mismatches > 0 { ChangesFrom::hash() } else { ChangesFrom::list() }
        );
        base = done.report.point;
        if volume.changes == ChangesFrom::hash() {
            found += 1;
            assert_eq!(volume.blocks_changed, 10);
            assert!(restored(&world, base) == image.bytes);
            // The next run has the truth as its base: go on with the other content.
            std::mem::swap(&mut image.bytes, &mut old);
        }
    }
    // 28 or 29 are expected; 4.5 standard deviations are 17.4.
    assert!((12..=46).contains(&found), "{found} of {RUNS}");
}

#[test]
fn what_the_base_has_lost_is_read_again_whatever_the_list_says() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), 16, true).in_small_steps();
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    let mut image = Image::noise(16, 12 * BLOCK);
    image.bytes.resize(2 * LEAF, 0);
    let first = world.make(&[("vol", &image)]);
    let second_leaf = 4096 + 5;
    touch(&mut image, &[second_leaf], 1);
    let base = listed(&world, &image, first.id, &blocks(&[second_leaf]), 0).report.point;
    // The pack of the first point is lost; verify notes it.
    let pack =
        store.keys().into_iter().find(|key| key.as_str().contains(&format!("{}/vol/p", first.id))).unwrap();
    store.tamper(&pack, |bytes| bytes[5 * BLOCK] ^= 4);
    assert_eq!(world.verify(true).problems.len(), 1);
    let done = listed(&world, &image, base, &[], 4096);
    let volume = done.volume();
    assert_eq!((volume.changes.to_string().as_str(), volume.blocks_changed), ("list", 12));
    assert!(volume.type_reason.contains("damaged"), "{}", volume.type_reason);
    let all: Vec<usize> = (0..12).collect();
    assert!(all.iter().all(|block| done.read.contains(block)));
    world.assert_all_restore([&Made::new(done.report.point, &[("vol", &image)])], "after the mend");
}

/// One flipped byte anywhere in the base's map: the new point is whole, or verify says what it lacks and a comparison mends it.
#[test]
fn a_base_with_a_damaged_map_never_goes_unnoticed() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), 17, true).in_small_steps();
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    let mut image = Image::noise(17, 40 * BLOCK);
    let base = world.backup(&image).point;
    touch(&mut image, &[7], 1);
    let map = store.keys().into_iter().find(|key| key.as_str().ends_with("/map")).unwrap();
    let len = store.peek(&map).unwrap().len();
    let (mut whole, mut told) = (0, 0);
    for at in (0..len).step_by(3) {
        let copy = copy_of(&store);
        let world = world.over(copy.clone());
        copy.tamper(&map, |bytes| bytes[at] ^= 1);
        let done = listed(&world, &image, base, &blocks(&[7]), 0);
        let made = Made::new(done.report.point, &[("vol", &image)]);
        match world.restore_made(&world.find(done.report.point).unwrap(), &made) {
            Ok(()) => whole += 1,
            Err(error) => {
                assert_eq!(error.advice(), Advice::Corrupt, "byte {at}: {error}");
                assert_ne!(world.verify(true).problems, [], "byte {at}");
                told += 1;
                let mended = world.backup(&image);
                assert!(restored(&world, mended.point) == image.bytes, "byte {at}");
            }
        }
    }
    assert!(whole > told, "{whole} {told}");
}

#[test]
fn lists_that_cannot_be_of_these_volumes_are_refused() {
    let world = world(18, true);
    let image = Image::mixed(18, 10 * BLOCK, BLOCK);
    let base = world.backup(&image).point;
    let check = |request: &BackupRequest, words: &[&str]| {
        let error = run_backup(&world.repository(), &world.resources, request).unwrap_err();
        assert_eq!(error.advice(), Advice::Configure, "{error}");
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    };
    let past_the_end = std::iter::once(0..10 * BLOCK + 1).collect::<Vec<_>>();
    check(&request(&world, &image, base, ranges(&past_the_end), None), &["vol", "163841", "163840"]);
    check(&request(&world, &image, base, ranges(&[]), Some(SAMPLE_BLOCKS_MAX + 1)), &["262145", "262144"]);
    let mut other = request(&world, &image, base, ranges(&[]), None);
    other.lists.as_mut().unwrap().volumes.insert("other".parse().unwrap(), ranges(&[]));
    check(&other, &["volume other"]);
    assert_eq!(world.points().len(), 1);
}

/// Ranges beyond the limit are joined: more is read, nothing is missed.
#[test]
fn too_many_ranges_cost_reads_and_no_block() {
    let world = world(19, true);
    let mut image = Image::noise(19, 600 * BLOCK);
    let base = world.backup(&image).point;
    let changed: Vec<usize> = (0..600).step_by(7).collect();
    touch(&mut image, &changed, 1);
    let mut merger = RangeMerger::new(10);
    blocks(&changed).iter().for_each(|range| merger.push(range.start as u64..range.end as u64));
    let list = merger.finish();
    assert_eq!(list.ranges().len(), 10);
    world.clock.advance_ms(3_600_000);
    let request = request(&world, &image, base, list, None);
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    assert_eq!(
        (report.volumes[0].changes.to_string().as_str(), report.volumes[0].blocks_changed),
        ("list", 86)
    );
    assert!(restored(&world, report.point) == image.bytes);
}
