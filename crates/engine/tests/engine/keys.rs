//! What each key allows, and that no secret is ever seen.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use coffer_engine::backup::TypeWish;
use coffer_engine::catalog::load_manifest;
use coffer_engine::{
    EngineError, Entropy, PruneRequest, RecoveryUse, Repository, RequestError, RestoreMode, forget_points,
    hold, lend_chain_key, run_prune,
};
use coffer_format::{Id, KeyFile, KeyKind, SecretsWish};
use coffer_store::{Key, MemoryStore};

use crate::history::Made;
use crate::rotation::rotate_over;
use crate::world::{Disk, Image, World};

const BLOCK: usize = 65_536;

pub(crate) fn with_key(world: &World, key: Option<KeyFile>) -> World {
    let mut other = world.over(world.store.clone());
    other.recovery = key;
    other
}

pub(crate) fn writer_of(key: &KeyFile, number: u8) -> KeyFile {
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
        let no_key = RequestError::NoRecoveryKey(RecoveryUse::Read);
        assert_eq!(refused.request(), Some(&no_key), "{refused}");
        let disk = Disk::filled(image.bytes.len(), 7);
        writer.restore_to(point, &disk, RestoreMode::InPlace).unwrap_err();
        assert!(disk.bytes().iter().all(|byte| *byte == 7), "nothing was written");
    }
    world.assert_all_restore(&made, "with the recovery key");
    world.assert_sound();
}

#[test]
fn a_chain_key_reads_its_chain_writes_and_reads_no_other() {
    let world = World::new(11, true);
    let image = Image::mixed(11, 6 * BLOCK, BLOCK);
    let first = world.make(&[("vol", &image)]);
    let full = world.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
    let second = Made::new(full.point, &[("vol", &image)]);
    let (one, other) = (world.find(first.id).unwrap(), world.find(second.id).unwrap());
    assert_ne!(one.summary.chain, other.summary.chain);
    let lent = lend_chain_key(&world.repository(), &one.plan, one.summary.chain).unwrap().unwrap();
    assert_eq!(lent.kind, KeyKind::Chain);
    let text = lent.encode();
    let recovery = world.recovery.as_ref().unwrap().encode();
    let private = recovery.split("x25519_private\":\"").nth(1).unwrap().get(..64).unwrap();
    assert!(!text.contains(private), "the recovery key does not travel");
    let reader = with_key(&world, Some(KeyFile::decode(&text).unwrap()));
    reader.restore_made(&one, &first).unwrap();
    let refused = reader.restore_made(&other, &second).unwrap_err();
    assert_eq!(refused.kind(), "usage");
    assert!(refused.to_string().contains("the chain key opens chain"), "{refused}");
    // What is lent again is the same key: it opens no more.
    let again = lend_chain_key(&reader.repository(), &one.plan, one.summary.chain).unwrap().unwrap();
    assert_eq!(again.encode(), text);
    assert!(lend_chain_key(&reader.repository(), &other.plan, other.summary.chain).is_err());
    reader.make(&[("vol", &image)]);
    world.assert_sound();
    // The key of another chain under this chain's name opens nothing.
    let mut forged = lent.clone();
    forged.chain.as_mut().unwrap().chain = other.summary.chain;
    let forged = with_key(&world, Some(forged));
    assert!(forged.restore_made(&other, &second).unwrap_err().to_string().contains("not that of chain"));
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
    let secret = |digits: &str| {
        let digits = digits.get(..64)?;
        let bytes: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
        <[u8; 32]>::try_from(bytes).ok()
    };
    let named = |field: &&str| -> Vec<[u8; 32]> {
        text.split(&format!("\"{field}\":\"")).skip(1).filter_map(secret).collect()
    };
    fields.iter().flat_map(named).collect()
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
    let (new, rotated) = rotate_over(&world, world.store.clone(), SecretsWish::Replace);
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
    show(&world.repository().chain_secrets(&world.plan, points[0].summary.chain));
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

/// Who has a writer key can add points, and nobody can tell that their content is nonsense. What was there before stays, each point tells which
/// key made it, and a rotation of the writers ends it.
#[test]
fn points_of_a_stolen_writer_key_take_nothing_away_and_name_the_key() {
    let world = World::new(9, true);
    let recovery = world.recovery.clone().unwrap();
    let (own, stolen) = (writer_of(&recovery, 1), writer_of(&recovery, 2));
    let image = Image::mixed(9, 4 * BLOCK, BLOCK);
    let genuine = with_key(&world, Some(own.clone())).make(&[("vol", &image)]);
    let nonsense = with_key(&world, Some(stolen.clone())).make(&[("vol", &Image::noise(10, 4 * BLOCK))]);
    world.assert_all_restore(
        &[genuine.clone(), nonsense.clone()],
        "both are genuine as far as anybody can tell",
    );
    world.assert_sound();

    let made_by = |world: &World, id| {
        let manifest = load_manifest(&world.repository(), &world.find(id).unwrap()).unwrap();
        manifest.seal.certificate.unwrap().serial
    };
    assert_eq!(made_by(&world, genuine.id), own.certificate.serial);
    assert_eq!(made_by(&world, nonsense.id), stolen.certificate.serial);

    let (new, report) = rotate_over(&world, world.store.clone(), SecretsWish::Replace);
    report.unwrap();
    let refused = with_key(&world, Some(stolen)).try_backup(&image).unwrap_err();
    assert!(refused.to_string().contains("replaced"), "{refused}");
    with_key(&world, new).assert_all_restore(&[genuine, nonsense], "with the new key");
}
