//! What each key allows, what a rotation changes, and that no secret is ever seen.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use coffer_engine::backup::TypeWish;
use coffer_engine::catalog::load_manifest;
use coffer_engine::{
    EngineError, Entropy, PruneRequest, Repository, RestoreMode, RotateReport, finish_rotation,
    forget_points, hold, rotate, run_prune,
};
use coffer_format::{ChainKeyDocument, Id, KeyFile, Signed, object_key};
use coffer_store::fault::{Failure, Fault, Moment};
use coffer_store::{FaultPlan, FaultStore, Key, MemoryStore, ObjectStore};

use crate::history::{Made, copy_of};
use crate::world::{Disk, Image, World};

const BLOCK: usize = 65_536;

fn with_key(world: &World, key: Option<KeyFile>) -> World {
    let mut other = world.over(world.store.clone());
    other.recovery = key;
    other
}

fn writer_of(key: &KeyFile, number: u8) -> KeyFile {
    let mut draw = |out: &mut [u8]| {
        out.iter_mut().zip(number..).for_each(|(byte, value)| *byte = value.wrapping_mul(37))
    };
    key.writer_key(Id::from_parts(1, [number; 10]), &mut draw).unwrap()
}

#[test]
fn a_writer_key_writes_and_verifies_and_reads_nothing() {
    let world = World::new(1, true);
    let writer = with_key(&world, Some(writer_of(world.recovery.as_ref().unwrap(), 1)));
    let mut image = Image::mixed(1, 6 * BLOCK, BLOCK);
    let mut made = vec![writer.make(&[("vol", &image)])];
    image.bytes[7] ^= 1;
    made.push(writer.make(&[("vol", &image)]));
    assert_eq!(writer.points().len(), 2);
    assert_eq!(writer.verify(false).problems, []);
    let refused = writer.try_verify(true).unwrap_err();
    assert!(refused.to_string().contains("recovery key"), "{refused}");
    for (point, made) in writer.points().iter().zip(&made) {
        let refused = writer.restore_made(point, made).unwrap_err();
        assert_eq!(refused.kind(), "usage");
        assert!(
            refused.to_string().contains("never read") && refused.to_string().contains("--key"),
            "{refused}"
        );
        let disk = Disk::filled(image.bytes.len(), 7);
        writer.restore_to(point, &disk, RestoreMode::InPlace).unwrap_err();
        assert!(disk.bytes().iter().all(|byte| *byte == 7), "nothing was written");
    }
    world.assert_all_restore(&made, "with the recovery key");
    world.assert_sound();
}

#[test]
fn keys_of_others_are_refused() {
    let world = World::new(2, true);
    let image = Image::mixed(2, 2 * BLOCK, BLOCK);
    let made = world.make(&[("vol", &image)]);
    let point = world.find(made.id).unwrap();
    let mut keys = Vec::new();
    let mut keep = |key: &KeyFile| {
        keys.push(key.clone());
        Ok(())
    };
    world.repository().create_team(&"other".parse().unwrap(), &mut keep).unwrap();
    let check = |key: Option<KeyFile>, words: &str| {
        let other = with_key(&world, key);
        let restored = other.restore_made(&point, &made).unwrap_err();
        assert_eq!(restored.kind(), "usage", "{restored}");
        assert!(restored.to_string().contains(words), "{restored}");
        let written = other.try_backup_of(TypeWish::Auto, &[("vol", &image)]).unwrap_err();
        assert_eq!(written.kind(), "usage", "{written}");
    };
    check(keys.pop(), "team");
    check(World::new(3, true).recovery, "repository");
    check(None, "key");
    let plain = World::new(4, false);
    let mistaken = with_key(&plain, world.recovery.clone()).open().err().unwrap();
    assert!(mistaken.to_string().contains("not encrypted"), "{mistaken}");
    assert_eq!(world.points().len(), 1);
    assert!(
        world.repository().create_team(&"other".parse().unwrap(), &mut |_| Ok(())).is_err(),
        "a team's keys are made once"
    );
}

/// Rotates over `store`; gives back what was saved.
fn rotate_over(
    world: &World,
    store: Arc<dyn ObjectStore>,
) -> (Option<KeyFile>, Result<RotateReport, EngineError>) {
    let mut saved = None;
    let mut save = |key: &KeyFile| {
        saved = Some(key.clone());
        Ok(())
    };
    let result = world.over(store).open().and_then(|repository| rotate(&repository, &mut save));
    (saved, result)
}

fn recipients(world: &World, chain: Id, number: u32) -> Vec<u32> {
    let key = Key::new(object_key::chain_key(&world.plan, &chain, number)).unwrap();
    let bytes = world.store.get(&key, 1 << 20).unwrap();
    let document = Signed::<ChainKeyDocument>::decode(&bytes).unwrap().payload;
    document.recipients.iter().map(|recipient| recipient.generation).collect()
}

#[test]
fn rotation_opens_all_chains_to_the_new_key_and_new_ones_to_it_alone() {
    let world = World::new(5, true);
    let image = Image::mixed(5, 3 * BLOCK, BLOCK);
    let writer = with_key(&world, Some(writer_of(world.recovery.as_ref().unwrap(), 1)));
    let mut made: Vec<Made> = Vec::new();
    for _ in 0..2 {
        let report = writer.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
        made.push(Made::new(report.point, &[("vol", &image)]));
    }
    let (new, report) = rotate_over(&world, world.store.clone());
    assert_eq!(report.unwrap(), RotateReport { generation: 2, chains: 2 });
    let new_world = with_key(&world, new);
    // The old chains: with either key.
    world.assert_all_restore(&made, "old key, old chains");
    new_world.assert_all_restore(&made, "new key, old chains");
    // The writer key of generation 1 goes on, in its chain and in new ones.
    let continued = writer.make(&[("vol", &image)]);
    let report = writer.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
    let opened = Made::new(report.point, &[("vol", &image)]);
    assert_eq!(recipients(&world, report.chain, 1), [2]);
    new_world.assert_all_restore([&continued, &opened], "new key, points after rotation");
    world.assert_all_restore([&continued], "old key, old chain");
    let closed = world.restore_made(&world.find(opened.id).unwrap(), &opened).unwrap_err();
    assert!(closed.to_string().contains("generation 1"), "{closed}");
    assert_eq!(new_world.verify(true).problems, []);
    assert_eq!(writer.verify(false).problems, []);
    let again = rotate_over(&world, world.store.clone()).1.unwrap_err();
    assert_eq!(again.kind(), "refused", "{again}");
    // A third generation, from the second.
    let (third, report) = rotate_over(&new_world, world.store.clone());
    assert_eq!(report.unwrap(), RotateReport { generation: 3, chains: 3 });
    made.extend([continued, opened]);
    with_key(&world, third).assert_all_restore(&made, "third key");
}

/// Interrupted at any step, a rotation either can be finished with the key that was saved, or was never begun.
#[test]
fn an_interrupted_rotation_is_finished_or_begun_again() {
    let store = Arc::new(MemoryStore::new());
    let world = World::on(store.clone(), 6, true).in_small_steps();
    let image = Image::mixed(6, 2 * BLOCK, BLOCK);
    let mut made = Vec::new();
    for _ in 0..3 {
        let report = world.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
        made.push(Made::new(report.point, &[("vol", &image)]));
    }
    let statement = Key::new(object_key::team(&world.plan.team, 2)).unwrap();
    let (mut finished, mut begun_again) = (0, 0);
    for lost_answer in [false, true] {
        for step in 0.. {
            let copy = copy_of(&store);
            let plan = match lost_answer {
                true => FaultPlan::none().fail_at(step, Fault::After(Failure::Unavailable)),
                false => FaultPlan::none().die_at(step, Moment::Before),
            };
            let faulty = Arc::new(FaultStore::new(copy.clone(), plan));
            let (saved, result) = rotate_over(&world, faulty.clone());
            let context = format!("step {step}, lost answer {lost_answer}: {:?}", result.as_ref().err());
            let world = world.over(copy.clone());
            let key = match (saved, copy.peek(&statement).is_some()) {
                (Some(new), true) => {
                    finish_rotation(&world.repository(), &new).unwrap();
                    finished += 1;
                    new
                }
                (saved, false) => {
                    assert!(result.is_err(), "{context}");
                    if let Some(unpublished) = saved {
                        let refused = finish_rotation(&world.repository(), &unpublished).unwrap_err();
                        assert_eq!(refused.kind(), "refused", "{context}: {refused}");
                    }
                    begun_again += 1;
                    let (new, result) = rotate_over(&world, copy.clone());
                    result.unwrap();
                    new.unwrap()
                }
                (None, true) => panic!("{context}: published and not saved"),
            };
            with_key(&world, Some(key)).assert_all_restore(&made, &context);
            world.assert_all_restore(&made, &context);
            if faulty.struck() == 0 {
                break;
            }
        }
    }
    assert!(finished > 10 && begun_again >= 5, "{finished} finished, {begun_again} begun again");
}

/// Hands on to the real source, and remembers every 32 bytes that were drawn: keys are made of nothing else.
struct Canaries {
    inner: Arc<dyn Entropy>,
    drawn: Mutex<Vec<[u8; 32]>>,
}

impl Entropy for Canaries {
    fn fill(&self, out: &mut [u8]) -> Result<(), EngineError> {
        self.inner.fill(out)?;
        if let Ok(secret) = <[u8; 32]>::try_from(&*out) {
            self.drawn.lock().unwrap().push(secret);
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The secrets in the text of a key file.
fn secrets_of(key: &KeyFile) -> Vec<[u8; 32]> {
    let text = key.encode();
    let fields = ["metadata_key", "hash_secret", "writer_private", "x25519_private", "ed25519_private"];
    let secret = |field: &&str| {
        let (_, rest) = text.split_once(&format!("\"{field}\":\""))?;
        let digits = rest.get(..64)?;
        let bytes: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
        <[u8; 32]>::try_from(bytes).ok()
    };
    fields.iter().filter_map(secret).collect()
}

#[test]
fn no_secret_is_stored_or_shown() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), 7, true);
    let canaries = Arc::new(Canaries { inner: world.environment.entropy.clone(), drawn: Mutex::default() });
    world.environment.entropy = canaries.clone();
    let image = Image::mixed(7, 5 * BLOCK, BLOCK);
    let mut shown = String::new();
    let mut show = |value: &dyn Debug| shown.push_str(&format!("{value:?}\n{value:#?}\n"));
    let recovery = world.recovery.clone().unwrap();
    let writer = writer_of(&recovery, 9);
    show(&recovery);
    show(&writer);
    let made = world.make(&[("vol", &image)]);
    show(&world.try_backup_of(TypeWish::Full, &[("vol", &image)]));
    let points = world.points();
    show(&points);
    show(&load_manifest(&world.repository(), &points[0]));
    show(&world.restore_to(&points[0], &Disk::filled(image.bytes.len(), 1), RestoreMode::Write));
    show(&hold(&world.repository(), &points[1], "a note"));
    let pack = store.keys().into_iter().find(|key| key.as_str().contains("/p0000")).unwrap();
    store.tamper(&pack, |bytes| bytes[300] ^= 1);
    show(&world.verify(true));
    show(&world.restore_made(&points[0], &made).map_err(|error| format!("{error} {error:?}")));
    let (new, rotated) = rotate_over(&world, world.store.clone());
    show(&rotated);
    show(&new);
    let writer_world = with_key(&world, Some(writer.clone()));
    show(&writer_world.restore_made(&points[0], &made).map_err(|error| format!("{error} {error:?}")));
    show(
        &with_key(&World::new(8, true), Some(recovery.clone()))
            .open()
            .err()
            .map(|error| format!("{error} {error:?}")),
    );
    show(&KeyFile::decode(&recovery.encode().replace("\"team\":\"default\"", "\"team\":\"defaulu\"")));
    show(&KeyFile::decode(&recovery.encode()[..900]));
    show(&world.repository().verifier());
    show(&world.repository().signer(&world.plan.team));
    show(&world.repository().secrets(&world.plan.team));
    show(&forget_points(&world.repository(), &[points[0].id], &Default::default(), false));
    show(&run_prune(&world.repository(), &PruneRequest::default()));
    let mut secrets = canaries.drawn.lock().unwrap().clone();
    for key in [Some(&recovery), Some(&writer), new.as_ref()].into_iter().flatten() {
        secrets.extend(secrets_of(key));
    }
    assert!(secrets.len() > 15, "{} secrets", secrets.len());
    let objects: Vec<(Key, Vec<u8>)> =
        store.keys().into_iter().map(|key| (key.clone(), store.peek(&key).unwrap().to_vec())).collect();
    for secret in &secrets {
        let (digits, list) = (hex(secret), format!("{secret:?}"));
        let list = list.trim_matches(['[', ']']);
        assert!(!shown.to_lowercase().contains(&digits) && !shown.contains(list), "a secret was shown");
        for (key, bytes) in &objects {
            let found = bytes.windows(32).any(|window| window == secret)
                || bytes.windows(64).any(|window| window == digits.as_bytes());
            assert!(!found, "a secret lies in {key}");
        }
    }
    // The search itself finds what it looks for: the key file's text holds all of its secrets.
    assert!(secrets_of(&recovery).iter().all(|secret| recovery.encode().contains(&hex(secret))));
    assert_eq!((secrets_of(&recovery).len(), secrets_of(&writer).len()), (5, 3));
    assert!(
        shown.len() > 20_000 && objects.len() > 10,
        "{} characters, {} objects",
        shown.len(),
        objects.len()
    );
}

#[test]
fn a_repository_opened_with_the_saved_text_of_its_key_is_the_same() {
    let world = World::new(9, true);
    let image = Image::mixed(9, BLOCK + 1, BLOCK);
    let made = world.make(&[("vol", &image)]);
    let text = world.recovery.as_ref().unwrap().encode();
    let key = KeyFile::decode(&text).unwrap();
    assert!(Repository::open(world.store.clone(), world.environment.clone(), Some(key.clone())).is_ok());
    with_key(&world, Some(key)).assert_all_restore([&made], "with the key's text");
}
