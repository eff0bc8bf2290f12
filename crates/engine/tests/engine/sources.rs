//! Sources that misbehave, and the settings that decide how a volume is cut up: a failed volume says where, and hurts no other.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_blockio::{BlockSource, ReadError, SourceKind};
use coffer_engine::backup::{BackupReport, BackupRequest, ChangeSource, TypeWish, VolumeSource, run_backup};
use coffer_engine::catalog::load_manifest;
use coffer_engine::{
    Advice, EngineError, IncrementalObstacle, PruneRequest, RequestError, forget_points, hold, release,
    run_prune,
};
use coffer_format::{BlockSize, Compression, Id, PointState, PointType, Reason, Timestamp};

use crate::history::Made;
use crate::world::{Image, World};

const BLOCK: usize = 65_536;

/// What is wrong with a source.
#[derive(Clone)]
pub(crate) enum Trouble {
    /// Reads that touch these bytes fail.
    Bad(Range<u64>),
    /// The n-th read fails, once.
    Once(usize),
    /// Reads behind this offset are short, and so is the size when it is asked for again.
    ShrinksTo(u64),
    /// The size is larger when it is asked for again.
    GrowsTo(u64),
    /// Its holes cannot be asked for.
    NoHoles,
}

pub(crate) struct Troubled {
    pub(crate) image: Image,
    pub(crate) trouble: Trouble,
    reads: AtomicUsize,
}

impl Troubled {
    pub(crate) fn source(image: &Image, trouble: Trouble) -> Box<dyn BlockSource> {
        Box::new(Troubled { image: image.clone(), trouble, reads: AtomicUsize::new(0) })
    }
}

fn path() -> PathBuf {
    PathBuf::from("/dev/troubled")
}

impl BlockSource for Troubled {
    fn size_bytes(&self) -> u64 {
        self.image.size_bytes()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let (len_bytes, end) = (buf.len() as u64, offset + buf.len() as u64);
        let io =
            || ReadError::Io { path: path(), offset, len_bytes, source: io::Error::from_raw_os_error(5) };
        let number = self.reads.fetch_add(1, Ordering::SeqCst);
        // What a failed read leaves in the buffer must not matter.
        buf.fill(0xee);
        match &self.trouble {
            Trouble::Bad(bad) if bad.start < end && offset < bad.end => Err(io()),
            Trouble::Once(bad) if *bad == number => Err(io()),
            Trouble::ShrinksTo(size) if end > *size => Err(ReadError::Short {
                path: path(),
                offset,
                len_bytes,
                read_bytes: size.saturating_sub(offset),
            }),
            _ => self.image.read_exact_at(offset, buf),
        }
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        match self.trouble {
            Trouble::NoHoles => Err(ReadError::Holes {
                path: path(),
                offset: start,
                len_bytes: end - start,
                source: io::Error::from_raw_os_error(5),
            }),
            _ => self.image.data_ranges(start, end),
        }
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        Ok(self.data_ranges(offset, self.size_bytes())?.first().map(|range| range.start))
    }

    fn knows_holes(&self) -> bool {
        true
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        Ok(match self.trouble {
            Trouble::ShrinksTo(size) | Trouble::GrowsTo(size) => size,
            _ => self.size_bytes(),
        })
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Device
    }
}

/// A request for volume `a`, which is troubled, and `b`, which is well.
pub(crate) fn with_trouble(world: &World, a: &Image, trouble: Trouble, b: &Image) -> BackupRequest {
    world.clock.advance_ms(3_600_000);
    world.request(vec![("a", Troubled::source(a, trouble)), ("b", Box::new(b.clone()))])
}

/// What the operating system says of a device that cannot be read.
const EIO: &str = "Input/output error (os error 5)";

fn troubles(len: u64) -> Vec<(Trouble, &'static [&'static str])> {
    let block = BLOCK as u64;
    vec![
        (Trouble::Bad(0..512), &["read", "at offset 0 ", "/dev/troubled", EIO]),
        (Trouble::Bad(20 * block + 7..20 * block + 8), &["read", "at offset", "/dev/troubled", EIO]),
        (Trouble::Bad(len - 1..len), &["read", "at offset", "/dev/troubled", EIO]),
        (Trouble::Once(0), &["read", "at offset", "/dev/troubled", EIO]),
        (Trouble::Once(1), &["read", "at offset", "/dev/troubled", EIO]),
        (Trouble::ShrinksTo(0), &["only 0 could be read", "/dev/troubled"]),
        (Trouble::ShrinksTo(len - 1), &["could be read", "/dev/troubled"]),
        (Trouble::GrowsTo(len + 1), &["size went from"]),
        (Trouble::NoHoles, &["holes", "/dev/troubled", EIO]),
    ]
}

/// Every trouble, in a full and in an incremental point.
#[test]
fn a_source_that_fails_fails_its_volume_and_no_other() {
    let (mut a, b) = (Image::mixed(1, 30 * BLOCK + 99, BLOCK), Image::mixed(2, 5 * BLOCK, BLOCK));
    a.bytes.iter_mut().step_by(4096).for_each(|byte| *byte |= 1);
    for (trouble, words) in troubles(a.bytes.len() as u64) {
        for incremental in [false, true] {
            let world = World::new(1, true);
            let before = incremental.then(|| world.make(&[("a", &a), ("b", &b)]));
            let (mut changed, mut other) = (a.clone(), b.clone());
            changed.mutate(3, BLOCK, 0.3);
            changed.bytes.iter_mut().step_by(4096).for_each(|byte| *byte |= 1);
            other.bytes[3] ^= 1;
            let request = with_trouble(&world, &changed, trouble.clone(), &other);
            let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
            assert_eq!(report.state, PointState::Partial);
            assert_eq!(report.volumes[1].error, None);
            let error = report.volumes[0].error.clone().unwrap();
            assert!(words.iter().all(|word| error.contains(word)) && error.contains("volume a"), "{error}");
            let point = world.find(report.point).unwrap();
            assert_eq!(world.failed_volumes(&point), [("a".to_owned(), error)]);
            // The other volume of the partial point is whole, and so is every point before.
            world.restore_made(&point, &Made::new(report.point, &[("b", &other)])).unwrap();
            let absent =
                world.restore_made(&point, &Made::new(report.point, &[("a", &changed)])).unwrap_err();
            assert_eq!(absent.advice(), Advice::NotFound, "{absent}");
            assert_eq!(world.verify(true).problems, []);
            let after = world.make(&[("a", &changed), ("b", &other)]);
            assert_eq!(world.find(after.id).unwrap().summary.parent, before.as_ref().map(|made| made.id));
            world.assert_all_restore(before.iter().chain([&after]), "afterwards");
        }
    }
}

#[test]
fn when_every_volume_fails_there_is_no_point() {
    let world = World::new(2, true);
    let image = Image::mixed(3, 9 * BLOCK, BLOCK);
    let made = world.make(&[("a", &image)]);
    let volumes = vec![
        ("a", Troubled::source(&image, Trouble::Bad(0..u64::MAX))),
        ("b", Troubled::source(&image, Trouble::NoHoles)),
    ];
    let mut request = world.request(volumes);
    request.changes = ChangeSource::Auto;
    let error = run_backup(&world.repository(), &world.resources, &request).unwrap_err();
    assert!(matches!(error, EngineError::AllVolumesFailed(_)), "{error:?}");
    assert!(error.to_string().contains("volume a"), "{error}");
    assert_eq!(world.points().iter().map(|point| point.id).collect::<Vec<_>>(), [made.id]);
    world.assert_all_restore([&made], "afterwards");
    let newer = world.make(&[("a", &image)]);
    run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    world.assert_nothing_unneeded("what the failed run left is gone");
    world.assert_all_restore([&made, &newer], "after prune");
}

#[test]
fn a_source_that_cannot_be_opened_makes_the_point_partial() {
    let world = World::new(3, false);
    let image = Image::mixed(4, 3 * BLOCK, BLOCK);
    let mut request = world.request(vec![("b", Box::new(image.clone()))]);
    let error = EngineError::NotFound("no such device: /dev/gone".into());
    request.volumes.insert(0, VolumeSource { name: "a".parse().unwrap(), source: Err(error) });
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    assert_eq!(report.state, PointState::Partial);
    assert!(report.volumes[0].error.as_ref().unwrap().contains("/dev/gone"));
    world
        .restore_made(&world.find(report.point).unwrap(), &Made::new(report.point, &[("b", &image)]))
        .unwrap();
}

fn check_settings(block_size: u32, compression: Compression, encrypted: bool) {
    let world = World::new(u64::from(block_size), encrypted);
    let mut image = Image::mixed(5, (3 << 20) + 4097, 4096);
    let mut made = Vec::new();
    for step in 0..3 {
        world.clock.advance_ms(3_600_000);
        let mut request = world.request(vec![("vol", Box::new(image.clone()))]);
        request.block_size = Some(BlockSize::new(block_size).unwrap());
        request.compression = compression;
        let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
        made.push(Made::new(report.point, &[("vol", &image)]));
        image.mutate(step, 4096, 0.02);
    }
    world.assert_all_restore(&made, &format!("{block_size} {compression:?}"));
    assert_eq!(world.verify(true).problems, []);
    let other = if block_size == 65_536 { 16_384 } else { 65_536 };
    let mut request = world.request(vec![("vol", Box::new(image.clone()))]);
    request.block_size = Some(BlockSize::new(other).unwrap());
    let refused = run_backup(&world.repository(), &world.resources, &request).unwrap_err();
    assert!(refused.to_string().contains("only with a new chain"), "{refused}");
    request.type_wish = TypeWish::Full;
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    world.assert_all_restore([&Made::new(report.point, &[("vol", &image)])], "with another block size");
}

#[test]
fn every_block_size_and_compression_comes_back() {
    let mut encrypted = false;
    for block_size in [16 << 10, 64 << 10, 256 << 10, 1 << 20] {
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd(3)] {
            encrypted = !encrypted;
            check_settings(block_size, compression, encrypted);
        }
    }
}

#[test]
fn volumes_come_and_go_and_each_has_its_own_base() {
    let world = World::new(6, true);
    let [mut a, b, mut c] = [1, 2, 3].map(|seed| Image::mixed(seed, 4 * BLOCK + 5, BLOCK));
    let mut made = Vec::new();
    let mut types = Vec::new();
    let mut run = |volumes: &[(&str, &Image)]| {
        let report: BackupReport = world.try_backup_of(TypeWish::Auto, volumes).unwrap();
        made.push(Made::new(report.point, volumes));
        types.push(
            report
                .volumes
                .iter()
                .map(|volume| (volume.name.to_string(), volume.point_type))
                .collect::<Vec<_>>(),
        );
    };
    run(&[("a", &a), ("b", &b)]);
    a.bytes[1] ^= 1;
    run(&[("a", &a)]);
    run(&[("a", &a), ("b", &b), ("c", &c)]);
    c.bytes[2] ^= 1;
    run(&[("c", &c), ("b", &b)]);
    let kinds: Vec<Vec<PointType>> =
        types.iter().map(|point| point.iter().map(|(_, kind)| *kind).collect()).collect();
    use PointType::{Full, Incremental};
    assert_eq!(
        kinds,
        [vec![Full, Full], vec![Incremental], vec![Incremental, Full, Full], vec![Incremental, Incremental]]
    );
    world.assert_all_restore(&made, "volumes come and go");
    world.assert_sound();
    let gone: Vec<Id> = made.drain(..2).map(|made| made.id).collect();
    forget_points(&world.repository(), &gone, &Default::default(), false).unwrap();
    run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    world.assert_all_restore(&made, "after prune");
    world.assert_nothing_unneeded("after prune");
    world.assert_sound();
}

#[test]
fn wishes_are_granted_or_refused() {
    let world = World::new(7, true);
    let image = Image::mixed(8, 3 * BLOCK, BLOCK);
    let run = |wish| world.try_backup_of(wish, &[("vol", &image)]);
    let refused = run(TypeWish::Incremental).unwrap_err();
    assert_eq!(refused.kind(), "refused");
    let no_parent = RequestError::NoIncremental(IncrementalObstacle::NoParent);
    assert_eq!(refused.request(), Some(&no_parent), "{refused}");
    assert!(world.points().is_empty());
    let reason = |wish| {
        let report = run(wish).unwrap();
        world.find(report.point).unwrap().summary.reason
    };
    assert_eq!(reason(TypeWish::Full), Reason::AskedFull);
    assert_eq!(reason(TypeWish::Incremental), Reason::AskedIncremental(1));
    assert_eq!(reason(TypeWish::Full), Reason::AskedFull);
    assert_eq!(reason(TypeWish::Auto), Reason::Continues(1));
    world.assert_sound();
}

#[test]
fn snapshot_time_is_the_time_of_the_point() {
    let world = World::new(8, false);
    let image = Image::mixed(9, BLOCK, BLOCK);
    let now = coffer_engine::Clock::now(world.clock.as_ref());
    let mut request = world.request(vec![("vol", Box::new(image.clone()))]);
    request.snapshot_time = Some(Timestamp::from_unix_ms(now.unix_ms() - 90_000));
    let report = run_backup(&world.repository(), &world.resources, &request).unwrap();
    assert_eq!(report.time.unix_ms(), now.unix_ms() - 90_000);
    let manifest = load_manifest(&world.repository(), &world.find(report.point).unwrap()).unwrap().payload;
    assert_eq!((manifest.time, manifest.started), (report.time, now));
    request.snapshot_time = Some(Timestamp::from_unix_ms(now.unix_ms() + 1));
    let refused = run_backup(&world.repository(), &world.resources, &request).unwrap_err();
    assert!(refused.to_string().contains("in the future"), "{refused}");
}

#[test]
fn a_held_point_stays_until_it_is_released() {
    let world = World::new(9, false);
    let image = Image::mixed(10, BLOCK, BLOCK);
    let (first, _second) = (world.make(&[("vol", &image)]), world.make(&[("vol", &image)]));
    let point = world.find(first.id).unwrap();
    hold(&world.repository(), &point, "one").unwrap();
    hold(&world.repository(), &point, "two").unwrap();
    let forget = || forget_points(&world.repository(), &[first.id], &Default::default(), false);
    assert!(forget().unwrap_err().to_string().contains("held"));
    world.assert_all_restore([&first], "held");
    assert_eq!(release(&world.repository(), &point).unwrap(), 2);
    forget().unwrap();
    assert!(world.find(first.id).is_none());
}

/// The longest lineage: the 257th point of a chain of 256 opens a new one, and all of them come back.
#[test]
fn a_chain_of_256_points_comes_back() {
    let mut world = World::new(10, false).in_small_steps();
    world.full_every = 256;
    world.block_size = Some(BlockSize::new(16 << 10).unwrap());
    let mut image = Image::mixed(11, 20 << 10, 16 << 10);
    let mut made = Vec::new();
    for step in 0..257_usize {
        image.bytes[step] ^= 0x11;
        made.push(world.make(&[("vol", &image)]));
    }
    let points = world.points();
    let chains: BTreeSet<Id> = points.iter().map(|point| point.summary.chain).collect();
    assert_eq!((points.len(), chains.len()), (257, 2));
    assert_eq!(points[256].summary.reason, Reason::ChainFull(256));
    world.assert_all_restore(made.iter().step_by(17).chain(&made[255..]), "a long lineage");
    assert_eq!(world.verify(true).problems, []);
    let gone: Vec<Id> = made.drain(..256).map(|made| made.id).collect();
    forget_points(&world.repository(), &gone, &Default::default(), false).unwrap();
    run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    world.assert_nothing_unneeded("after a whole chain");
    world.assert_all_restore(&made, "after a whole chain");
}
