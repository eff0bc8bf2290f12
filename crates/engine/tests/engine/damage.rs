//! Whatever is done to a stored byte, verify finds it and restore never writes a wrong one.
//!
//! What no reader of the bucket alone can find is listed here, case by case, and in `docs/safety.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coffer_engine::backup::TypeWish;
use coffer_engine::catalog::{PointEntry, load_manifest};
use coffer_engine::{EngineError, PruneRequest, VerifyRequest, forget_points, hold, run_prune, run_verify};
use coffer_format::{BlockSize, Digest, Id, object_key};
use coffer_store::{Key, MemoryStore, ObjectStore};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::history::{Made, copy_of};
use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Config,
    Team,
    Manifest,
    Summary,
    ChainKey,
    Map,
    Pack,
    Pin,
    Ending,
    Ended,
    Note,
}

impl Kind {
    fn of(key: &str) -> Kind {
        let part = |index: usize| key.split('/').nth(index).unwrap_or_default();
        match (part(0), part(2), part(7), part(9)) {
            ("coffer.json", ..) => Kind::Config,
            (_, "points", ..) => Kind::Manifest,
            (_, "summaries" | "confirmed", ..) => Kind::Summary,
            (_, "data", "keys", _) => Kind::ChainKey,
            (_, "data", _, "map") => Kind::Map,
            (_, "data", ..) => Kind::Pack,
            (_, "pins", ..) => Kind::Pin,
            (_, "ending", ..) => Kind::Ending,
            (_, "ended", ..) => Kind::Ended,
            (_, "damaged", ..) => Kind::Note,
            _ => Kind::Team,
        }
    }
}

/// Three standing points in two chains, two volumes, and one object of every kind.
struct Fixture {
    world: World,
    store: Arc<MemoryStore>,
    made: Vec<Made>,
    entries: Vec<PointEntry>,
    /// Objects of the same shape that belong to another team, or another repository.
    foreign: BTreeMap<Kind, Vec<Bytes>>,
}

impl Fixture {
    fn new(seed: u64, encrypted: bool) -> Fixture {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, encrypted).in_small_steps();
        world.full_every = 2;
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        let (mut a, mut b) = (image(seed, 5 * BLOCK + 77), image(seed + 1, 3 * BLOCK));
        let mut made = Vec::new();
        for step in 0..5 {
            made.push(world.make(&[("a", &a), ("b", &b)]));
            a.bytes[(step % 5) * BLOCK + 9] ^= 0x5a;
            b.bytes[(step % 3) * BLOCK + 1] ^= 0x5a;
        }
        // The first chain goes, so that there are records of its end; the other two stay.
        let gone: Vec<Id> = made.drain(..2).map(|made| made.id).collect();
        forget_points(&world.repository(), &gone, &Default::default(), false).unwrap();
        run_prune(&world.repository(), &PruneRequest::default()).unwrap();
        let entries = world.points();
        hold(&world.repository(), &entries[0], "for the auditors").unwrap();
        note_a_damaged_pack(&world, &store);
        world.assert_sound();
        world.assert_all_restore(&made, "undamaged");
        let foreign = foreign_objects(seed, encrypted, &world, &store, &a, &b);
        Fixture { world, store, made, entries, foreign }
    }

    fn keys(&self) -> Vec<Key> {
        let own = |key: &Key| !key.as_str().starts_with("t/other/");
        self.store.keys().into_iter().filter(own).collect()
    }

    /// Whether verify finds anything wrong with `store`; what ends it counts only if it is about damage.
    fn is_found(&self, store: Arc<MemoryStore>, read_data: bool) -> bool {
        match self.world.over(store).try_verify(read_data) {
            Ok(report) => !report.problems.is_empty(),
            Err(error) => {
                assert!(is_clear(&error), "unclear: {error:?}");
                true
            }
        }
    }
}

fn image(seed: u64, len: usize) -> Image {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    Image::new(bytes)
}

fn note_a_damaged_pack(world: &World, store: &MemoryStore) {
    let pack = store.keys().into_iter().find(|key| Kind::of(key.as_str()) == Kind::Pack).unwrap();
    store.tamper(&pack, |bytes| bytes[1000] ^= 1);
    assert_eq!(world.verify(true).problems.len(), 1);
    store.tamper(&pack, |bytes| bytes[1000] ^= 1);
}

/// The same volumes backed up by another team of the same repository, and another repository's configuration.
fn foreign_objects(
    seed: u64,
    encrypted: bool,
    world: &World,
    store: &MemoryStore,
    a: &Image,
    b: &Image,
) -> BTreeMap<Kind, Vec<Bytes>> {
    let before: BTreeSet<Key> = store.keys().into_iter().collect();
    let mut other = world.over(world.store.clone());
    other.plan.team = "other".parse().unwrap();
    if encrypted {
        let mut keep = |key: &coffer_format::KeyFile| {
            other.recovery = Some(key.clone());
            Ok(())
        };
        world.repository().create_team(&"other".parse().unwrap(), &mut keep).unwrap();
    }
    for _ in 0..3 {
        other.make(&[("a", a), ("b", b)]);
    }
    let mut foreign: BTreeMap<Kind, Vec<Bytes>> = BTreeMap::new();
    for key in store.keys().into_iter().filter(|key| !before.contains(key)) {
        foreign.entry(Kind::of(key.as_str())).or_default().push(store.peek(&key).unwrap());
        if !encrypted {
            store.lose(&key);
        }
    }
    let elsewhere = World::new(seed + 100, encrypted);
    let config = elsewhere.store.get(&Key::new("coffer.json").unwrap(), 1 << 20).unwrap();
    foreign.insert(Kind::Config, vec![config.into()]);
    foreign
}

/// An error that tells a person which object is damaged or gone.
fn is_clear(error: &EngineError) -> bool {
    match error.cause() {
        EngineError::Damaged { volume, key, detail, .. } => {
            let text = error.to_string();
            !volume.is_empty()
                && !key.is_empty()
                && !detail.is_empty()
                && text.contains(key)
                && text.contains(volume)
        }
        EngineError::Object { key, .. } => !key.is_empty() && error.to_string().contains(key),
        EngineError::Forgotten(_) | EngineError::NotFound(_) => true,
        // The key in hand does not belong to what the configuration now says.
        EngineError::Usage(_) => true,
        _ => false,
    }
}

/// Offsets of a pack's frames; all else in it is metadata.
fn frames_of(pack: &[u8]) -> std::ops::Range<usize> {
    let footer = &pack[pack.len() - coffer_format::FOOTER_LEN..];
    let trailer = u64::from_le_bytes(footer[16..24].try_into().unwrap());
    coffer_format::PACK_HEADER_LEN..usize::try_from(trailer).unwrap()
}

/// Flips each byte of every metadata object; gives back those that a verify without reading data does not find.
fn undetected_flips(fixture: &Fixture, is_meant: fn(Kind) -> bool) -> (usize, Vec<(Key, usize)>) {
    let mut keys = fixture.keys();
    keys.retain(|key| is_meant(Kind::of(key.as_str())));
    let undetected = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (keys, undetected) = (&keys, &undetected);
            scope.spawn(move || {
                let store = copy_of(&fixture.store);
                for key in keys.iter().skip(part).step_by(2) {
                    let bytes = store.peek(key).unwrap();
                    let frames = if Kind::of(key.as_str()) == Kind::Pack { frames_of(&bytes) } else { 0..0 };
                    let is_text = bytes.first() == Some(&b'{');
                    for at in (0..bytes.len()).filter(|at| !frames.contains(at)) {
                        // In text the lowest bit makes the most valid texts; in binary every bit has its turn.
                        let mask = if is_text { 1 } else { 1 << (at % 8) };
                        store.tamper(key, |bytes| bytes[at] ^= mask);
                        let found = fixture.is_found(store.clone(), false);
                        store.tamper(key, |bytes| bytes[at] ^= mask);
                        let mut undetected = undetected.lock().unwrap();
                        undetected.0 += 1;
                        if !found {
                            undetected.1.push((key.clone(), at));
                        }
                        drop(undetected);
                        drop_notes(fixture, &store);
                    }
                }
            });
        }
    });
    undetected.into_inner().unwrap()
}

/// Verify notes damaged packs; the next case begins without.
fn drop_notes(fixture: &Fixture, store: &MemoryStore) {
    let notes = store.keys().into_iter().filter(|key| Kind::of(key.as_str()) == Kind::Note);
    notes.filter(|key| fixture.store.peek(key).is_none()).for_each(|key| {
        store.lose(&key);
    });
}

fn check_every_byte(seed: u64, encrypted: bool) {
    let fixture = Fixture::new(seed, encrypted);
    let (tried, undetected) = undetected_flips(&fixture, |_| true);
    assert_eq!(undetected, Vec::<(Key, usize)>::new());
    println!("{tried} flips, all found");
    assert!(tried > 8_000, "{tried} flips");
}

#[test]
fn every_byte_of_metadata_counts_encrypted() {
    check_every_byte(10, true);
}

#[test]
fn every_byte_of_metadata_counts_unencrypted() {
    check_every_byte(20, false);
}

#[test]
fn a_summary_that_says_something_else_is_found() {
    let fixture = Fixture::new(30, true);
    let mut tried = 0;
    for key in fixture.keys().into_iter().filter(|key| Kind::of(key.as_str()) == Kind::Summary) {
        let dot = key.as_str().rfind('.').unwrap();
        for at in dot + 1..key.as_str().len() {
            let mut text = key.as_str().as_bytes().to_vec();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            let other = Key::new(String::from_utf8(text).unwrap()).unwrap();
            let store = copy_of(&fixture.store);
            let record = store.peek(&key).unwrap();
            store.lose(&key);
            store.put(&other, record).unwrap();
            assert!(fixture.is_found(store.clone(), false), "{other} instead of {key}");
            let world = fixture.world.over(store);
            for (entry, made) in fixture.entries.iter().zip(&fixture.made) {
                world.restore_made(entry, made).unwrap();
            }
            // A point whose record is not what it should be counts no longer as confirmed; it can still be listed and named.
            let listed: Vec<Id> = world.points_and_unconfirmed().iter().map(|point| point.id).collect();
            assert!(fixture.made.iter().all(|made| listed.contains(&made.id)), "{other} instead of {key}");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

/// The one place where damage may stay unseen: pages that only forgotten points used, kept for the others' sake.
#[test]
fn pages_that_no_standing_point_uses_are_the_only_exception() {
    let mut fixture = Fixture::new(40, true);
    let oldest = fixture.entries[0].clone();
    let manifest = load_manifest(&fixture.world.repository(), &oldest).unwrap().payload;
    coffer_engine::release(&fixture.world.repository(), &oldest).unwrap();
    forget_points(&fixture.world.repository(), &[oldest.id], &Default::default(), false).unwrap();
    run_prune(&fixture.world.repository(), &PruneRequest::default()).unwrap();
    fixture.made.remove(0);
    fixture.entries.remove(0);
    fixture.world.assert_all_restore(&fixture.made, "after forget");
    let (_, undetected) = undetected_flips(&fixture, |kind| kind == Kind::Map);
    let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (key, at) in undetected {
        by_key.entry(key.as_str().to_owned()).or_default().push(at);
    }
    let mut expected = Vec::new();
    for record in manifest.volume_records() {
        let key = object_key::map(&record.path_of(manifest.point));
        let root = record.root.as_ref().unwrap();
        let offsets = by_key.remove(&key).unwrap_or_default();
        let (root_start, end) = (
            usize::try_from(root.offset).unwrap(),
            usize::try_from(root.offset).unwrap() + root.length as usize + coffer_format::MAP_FOOTER_LEN,
        );
        let pages_end = *offsets.iter().rev().find(|at| **at < root_start).unwrap() + 1;
        // The header and the pack table, between the leaf and node pages and the root with its footer, are still used.
        assert!(pages_end < root_start, "the pack table lies between {pages_end} and {root_start}");
        let unused: Vec<usize> = (coffer_format::MAP_HEADER_LEN..pages_end).chain(root_start..end).collect();
        assert_eq!(offsets, unused, "{key}");
        expected.push(key);
    }
    assert_eq!(expected.len(), 2);
    assert_eq!(by_key, BTreeMap::new());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    Flip,
    Cut,
    Extend,
    Swap,
    /// Another object of the same kind, older or of another point.
    Replace,
    /// Another team's object of the same kind.
    Foreign,
    Remove,
}

const HARMS: [Harm; 7] =
    [Harm::Flip, Harm::Cut, Harm::Extend, Harm::Swap, Harm::Replace, Harm::Foreign, Harm::Remove];

/// Why nobody can tell from the bucket alone.
fn excuse(kind: Kind, harm: Harm) -> Option<&'static str> {
    match (kind, harm) {
        (Kind::Summary, Harm::Remove) => Some("as if its run had died; found where later points build on it"),
        (Kind::Pin, Harm::Remove) => Some("as if released"),
        (Kind::Ending | Kind::Ended, Harm::Remove) => Some("as if prune had never run"),
        (Kind::Note, Harm::Remove) => Some("as if verify had never run"),
        _ => None,
    }
}

/// Does one harm to one object. `None` if it changes nothing, such as swapping two equal objects.
fn harm(fixture: &Fixture, store: &MemoryStore, rng: &mut SmallRng) -> Option<(Key, Harm)> {
    let keys = fixture.keys();
    let kinds: BTreeSet<Kind> = keys.iter().map(|key| Kind::of(key.as_str())).collect();
    let kind = *kinds.iter().nth(rng.random_range(0..kinds.len())).unwrap();
    let of_kind: Vec<&Key> = keys.iter().filter(|key| Kind::of(key.as_str()) == kind).collect();
    let key = of_kind[rng.random_range(0..of_kind.len())].clone();
    let bytes = store.peek(&key).unwrap().to_vec();
    let harm = HARMS[rng.random_range(0..HARMS.len())];
    let place = |rng: &mut SmallRng, len: usize| (len > 0).then(|| rng.random_range(0..len));
    let new = match harm {
        Harm::Flip => {
            let mut new = bytes.clone();
            new[place(rng, bytes.len())?] ^= 1 << rng.random_range(0..8);
            new
        }
        Harm::Cut => bytes[..place(rng, bytes.len())?].to_vec(),
        Harm::Extend => {
            let more: [u8; 16] = rng.random();
            [&bytes[..], &more[..rng.random_range(1..=16)]].concat()
        }
        Harm::Swap | Harm::Replace => {
            let other = of_kind[rng.random_range(0..of_kind.len())];
            let new = store.peek(other).unwrap().to_vec();
            if harm == Harm::Swap {
                store.tamper(other, |there| *there = bytes.clone());
            }
            new
        }
        Harm::Foreign => {
            let foreign = fixture.foreign.get(&kind)?;
            foreign[rng.random_range(0..foreign.len())].to_vec()
        }
        Harm::Remove => {
            store.lose(&key);
            return Some((key, harm));
        }
    };
    if new == bytes {
        return None;
    }
    store.tamper(&key, |there| *there = new);
    Some((key, harm))
}

fn check_random_damage(seed: u64, encrypted: bool, cases: usize) {
    let fixture = Fixture::new(seed, encrypted);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut counts: BTreeMap<(Harm, &str), usize> = BTreeMap::new();
    let mut done = 0;
    while done < cases {
        let store = copy_of(&fixture.store);
        let Some((key, harm)) = harm(&fixture, &store, &mut rng) else { continue };
        done += 1;
        let context = format!("case {done} of seed {seed}: {harm:?} of {key}");
        let outcomes = restore_all(&fixture, &store, &context);
        let found = fixture.is_found(store, true);
        let excuse = excuse(Kind::of(key.as_str()), harm);
        assert!(found || excuse.is_some(), "{context}: not found");
        // What verify does not find does no harm to any point that still stands.
        assert!(found || outcomes.damaged == 0, "{context}: not found, and a restore failed");
        *counts.entry((harm, if found { "found" } else { "excused" })).or_default() += 1;
        *counts.entry((harm, "restores failed")).or_default() += outcomes.damaged;
        *counts.entry((harm, "restores exact")).or_default() += outcomes.exact;
    }
    println!("seed {seed}: {counts:#?}");
    for harm in HARMS {
        assert!(
            counts.get(&(harm, "found")).is_some_and(|count| *count > cases / 30),
            "{harm:?}: {counts:?}"
        );
    }
}

#[derive(Default)]
struct Outcomes {
    exact: usize,
    damaged: usize,
}

/// Restores every point as it was listed before. It comes back exactly, or fails clearly without a wrong byte.
fn restore_all(fixture: &Fixture, store: &Arc<MemoryStore>, context: &str) -> Outcomes {
    let world = fixture.world.over(store.clone());
    let mut outcomes = Outcomes::default();
    for (entry, made) in fixture.entries.iter().zip(&fixture.made) {
        match world.restore_made(entry, made) {
            Ok(()) => outcomes.exact += 1,
            Err(EngineError::Forgotten(_)) => {}
            Err(error) => {
                assert!(is_clear(&error), "{context}: {error:?}");
                outcomes.damaged += 1;
            }
        }
    }
    outcomes
}

#[test]
fn random_damage_is_found_and_never_restored_encrypted() {
    check_random_damage(50, true, 1000);
}

#[test]
fn random_damage_is_found_and_never_restored_unencrypted() {
    check_random_damage(60, false, 1000);
}

#[test]
fn a_removed_newest_point_is_found_by_who_remembers_it() {
    let fixture = Fixture::new(70, true);
    let newest = fixture.entries.last().unwrap();
    let store = copy_of(&fixture.store);
    store.lose(&Key::new(&newest.key).unwrap());
    assert!(fixture.is_found(store.clone(), false), "its confirmation stands alone");
    let record = object_key::confirmed(&newest.plan, &newest.id, &newest.summary);
    store.lose(&Key::new(record).unwrap());
    let world = fixture.world.over(store.clone());
    assert!(!fixture.is_found(store, true));
    let request = VerifyRequest { expect_head: Some(newest.id), ..VerifyRequest::default() };
    let report = run_verify(&world.repository(), &world.resources, &request).unwrap();
    assert_eq!(report.problems.iter().map(|problem| problem.kind).collect::<Vec<_>>(), ["head-missing"]);
}

#[test]
fn what_verify_finds_damaged_the_next_backup_stores_again() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), 80, true).in_small_steps();
    world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
    let image = image(80, 12 * BLOCK);
    let first = world.make(&[("vol", &image)]);
    let pack = store.keys().into_iter().find(|key| Kind::of(key.as_str()) == Kind::Pack).unwrap();
    let before = Digest::of(&store.peek(&pack).unwrap());
    store.tamper(&pack, |bytes| bytes[5 * BLOCK] ^= 4);
    assert_eq!(world.verify(false).problems, [], "only reading the data can tell");
    let found = world.verify(true).problems;
    assert_eq!((found.len(), found[0].key.as_str()), (1, pack.as_str()));
    assert_eq!(found[0].points, [first.id]);
    let report = world.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap();
    let volume = &report.volumes[0];
    assert!(volume.type_reason.contains("1 damaged packs are stored again"), "{}", volume.type_reason);
    assert_eq!(volume.blocks_changed, 12);
    world.assert_all_restore([&Made::new(report.point, &[("vol", &image)])], "after the mend");
    let damaged = world.restore_made(&world.find(first.id).unwrap(), &first).unwrap_err();
    assert_eq!(damaged.kind(), "damaged", "{damaged}");
    assert_ne!(Digest::of(&store.peek(&pack).unwrap()), before, "nothing is rewritten");
    // Once the damaged point and its chain are gone, so is the problem.
    let newest = world.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
    forget_points(&world.repository(), &[first.id, report.point], &Default::default(), false).unwrap();
    run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    world.assert_sound();
    assert_eq!(world.points().iter().map(|point| point.id).collect::<Vec<_>>(), [newest.point]);
}
