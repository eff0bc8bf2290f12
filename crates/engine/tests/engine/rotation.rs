//! Rotation of the recovery key: nothing that was reported is lost, nothing is sealed to a key that was replaced, replaced keys make no more points,
//! and what strangers put beside a team's statements or a chain's keys blocks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coffer_engine::backup::{BackupReport, TypeWish};
use coffer_engine::catalog::load_manifest;
use coffer_engine::{EngineError, Problem, PruneRequest, RotateReport, finish_rotation, rotate, run_prune};
use coffer_format::{
    ChainKeyDocument, DataObject, FormatError, Id, KeyFile, MetadataCipher, ObjectContext, PageKind,
    PointType, RotationPoints, SecretsWish, Signed, Suite, object_key,
};
use coffer_store::fault::{Failure, Fault, Moment};
use coffer_store::{FaultPlan, FaultStore, Key, MemoryStore, ObjectStore};

use crate::history::{Made, copy_of};
use crate::keys::{with_key, writer_of};
use crate::world::{Image, World};

const BLOCK: usize = 65_536;

/// Rotates over `store`; gives back what was saved.
pub(crate) fn rotate_over(
    world: &World,
    store: Arc<dyn ObjectStore>,
    secrets: SecretsWish,
) -> (Option<KeyFile>, Result<RotateReport, EngineError>) {
    let mut saved = None;
    let mut save = |key: &KeyFile| {
        saved = Some(key.clone());
        Ok(())
    };
    let result = world.over(store).open().and_then(|repository| rotate(&repository, secrets, &mut save));
    (saved, result)
}

/// The world with the key of the next generation.
fn rotated(world: &World, secrets: SecretsWish) -> World {
    let (new, report) = rotate_over(world, world.store.clone(), secrets);
    report.unwrap();
    with_key(world, new)
}

/// The world with a writer key of its own made from its recovery key.
fn writer(world: &World, number: u8) -> World {
    with_key(world, Some(writer_of(world.recovery.as_ref().unwrap(), number)))
}

fn key(name: String) -> Key {
    Key::new(name).unwrap()
}

/// A repository in memory with two points in a chain and one in another, all by one writer key.
struct Scene {
    store: Arc<MemoryStore>,
    world: World,
    writer: World,
    image: Image,
    made: Vec<Made>,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let store = Arc::new(MemoryStore::new());
        let world = World::on(store.clone(), seed, true).in_small_steps();
        let writer = writer(&world, 1);
        let mut scene =
            Scene { store, world, writer, image: Image::mixed(seed, 3 * BLOCK, BLOCK), made: Vec::new() };
        for wish in [TypeWish::Full, TypeWish::Full, TypeWish::Incremental] {
            scene.image.bytes[5] ^= 1;
            let report = scene.writer.try_backup_of(wish, &[("vol", &scene.image)]).unwrap();
            scene.made.push(Made::new(report.point, &[("vol", &scene.image)]));
        }
        scene
    }

    /// The same before anything more happened.
    fn copy(&self) -> Scene {
        let store = copy_of(&self.store);
        let (world, writer) = (self.world.over(store.clone()), self.writer.over(store.clone()));
        Scene { store, world, writer, image: self.image.clone(), made: self.made.clone() }
    }

    fn chains(&self) -> BTreeSet<Id> {
        self.world.points().iter().map(|point| point.summary.chain).collect()
    }

    fn try_back_up(&self, world: &World) -> Result<BackupReport, EngineError> {
        world.try_backup_of(TypeWish::Auto, &[("vol", &self.image)])
    }

    fn back_up(&mut self, world: &World) -> BackupReport {
        let report = self.try_back_up(world).unwrap();
        self.made.push(Made::new(report.point, &[("vol", &self.image)]));
        report
    }

    /// Everything that was reported comes back with this key, nothing is wrong, and no data lies in a chain that the key cannot open.
    fn check(&self, world: &World, context: &str) {
        world.assert_all_restore(&self.made, context);
        assert_eq!(world.verify(true).problems, [], "{context}");
        self.assert_sealed(world, context);
    }

    fn assert_sealed(&self, world: &World, context: &str) {
        let newest = world.recovery.as_ref().unwrap().x25519_public;
        let (mut filled, mut sealed) = (BTreeSet::new(), BTreeSet::new());
        for name in self.store.keys() {
            match object_key::parse_data(name.as_str()) {
                Ok((_, chain, DataObject::ChainKey(_))) => {
                    let bytes = self.store.peek(&name).unwrap();
                    let Ok(document) = Signed::<ChainKeyDocument>::decode(&bytes) else { continue };
                    let mut recipients = document.payload.recipients.iter();
                    sealed.extend(recipients.any(|sealed| sealed.x25519 == newest).then_some(chain));
                }
                Ok((_, chain, _)) => drop(filled.insert(chain)),
                Err(_) => {}
            }
        }
        assert_eq!(filled.difference(&sealed).collect::<Vec<_>>(), [] as [&Id; 0], "{context}: not sealed");
    }
}

fn details(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}: {}", problem.kind, problem.key, problem.detail)).collect()
}

fn only(problems: &[Problem], object: &str, words: &str) {
    let found = details(problems);
    let fits = |problem: &&Problem| problem.key == object && problem.detail.contains(words);
    assert_eq!((found.len(), problems.iter().filter(fits).count()), (1, 1), "{object} {words:?}: {found:#?}");
}

fn recipients(world: &World, chain: Id, number: u32) -> Vec<u32> {
    let name = key(object_key::chain_key(&world.plan, &chain, number));
    let document = Signed::<ChainKeyDocument>::decode(&world.store.get(&name, 1 << 20).unwrap()).unwrap();
    document.payload.recipients.iter().map(|recipient| recipient.generation).collect()
}

#[test]
fn rotation_opens_all_chains_to_the_new_key_and_new_ones_to_it_alone() {
    let mut scene = Scene::new(5);
    let (new, report) = rotate_over(&scene.world, scene.store.clone(), SecretsWish::Keep);
    let expected = RotateReport { generation: 2, points: 3, chains: 2, chains_unopened: 0 };
    assert_eq!(report.unwrap(), expected);
    let new = with_key(&scene.world, new);
    scene.check(&new, "new key, old chains");
    scene.check_old_key("old key, old chains");
    let new_writer = writer(&new, 2);
    let continued = scene.back_up(&new_writer);
    assert_eq!(continued.kind, PointType::Incremental, "the chain was sealed anew");
    let report = new_writer.try_backup_of(TypeWish::Full, &[("vol", &scene.image)]).unwrap();
    let opened = Made::new(report.point, &[("vol", &scene.image)]);
    assert_eq!(recipients(&scene.world, report.chain, 1), [2]);
    scene.made.push(opened.clone());
    scene.check(&new, "new key, points after rotation");
    let closed = scene.world.restore_made(&scene.world.find(opened.id).unwrap(), &opened).unwrap_err();
    assert!(closed.to_string().contains("generation 1"), "{closed}");
    assert_eq!(new_writer.verify(false).problems, []);
    let again = rotate_over(&scene.world, scene.store.clone(), SecretsWish::Keep).1.unwrap_err();
    assert_eq!(again.kind(), "refused", "{again}");
    // A third generation, from the second.
    let (third, report) = rotate_over(&new, scene.store.clone(), SecretsWish::Keep);
    assert_eq!(report.unwrap(), RotateReport { generation: 3, points: 5, chains: 3, chains_unopened: 0 });
    scene.check(&with_key(&new, third), "third key");
}

impl Scene {
    fn check_old_key(&self, context: &str) {
        self.world.assert_all_restore(&self.made, context);
    }
}

/// Interrupted at any step, a rotation either can be finished with the key that was saved, or saved none. Meanwhile all points can be read.
#[test]
fn an_interrupted_rotation_is_finished_or_begun_again() {
    let scene = Scene::new(6);
    let statement = key(object_key::team(&scene.world.plan.team, 2));
    let (mut finished, mut begun_again) = (0, 0);
    for lost_answer in [false, true] {
        for step in 0.. {
            let scene = scene.copy();
            let plan = match lost_answer {
                true => FaultPlan::none().fail_at(step, Fault::After(Failure::Unavailable)),
                false => FaultPlan::none().die_at(step, Moment::Before),
            };
            let faulty = Arc::new(FaultStore::new(scene.store.clone(), plan));
            let (saved, result) = rotate_over(&scene.world, faulty.clone(), SecretsWish::Replace);
            let context = format!("step {step}, lost answer {lost_answer}: {:?}", result.as_ref().err());
            scene.check_old_key(&context);
            let published = scene.store.peek(&statement).is_some();
            let new = match saved {
                Some(new) => {
                    finish_rotation(&scene.world.repository(), &new).unwrap();
                    finished += 1;
                    new
                }
                None => {
                    assert!(result.is_err() && !published, "{context}");
                    begun_again += 1;
                    let (new, result) = rotate_over(&scene.world, scene.store.clone(), SecretsWish::Replace);
                    result.unwrap();
                    new.unwrap()
                }
            };
            scene.check(&with_key(&scene.world, Some(new)), &context);
            scene.check_old_key(&context);
            if faulty.struck() == 0 {
                break;
            }
        }
    }
    assert!(finished > 10 && begun_again >= 5, "{finished} finished, {begun_again} begun again");
}

/// Rules chain_key_looks_for_newer and commit_looks_for_newer: the key is rotated at any moment of a backup with the old key.
#[test]
fn a_rotation_at_any_moment_of_a_backup_fences_it_or_knows_its_point() {
    for wish in [TypeWish::Full, TypeWish::Incremental] {
        let start = Scene::new(7);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for moment in [Moment::Before, Moment::After] {
            for step in 0.. {
                let mut scene = start.copy();
                let new: Arc<Mutex<Option<World>>> = Arc::default();
                let requests = Arc::new(AtomicU64::new(0));
                let hook = {
                    let (new, requests) = (new.clone(), requests.clone());
                    let world = scene.world.over(scene.store.clone());
                    let came = AtomicBool::new(false);
                    move |request: &coffer_store::fault::Request<'_>| {
                        requests.fetch_max(request.step + 1, Ordering::SeqCst);
                        let now = request.step == step && request.moment == moment;
                        if now && !came.swap(true, Ordering::SeqCst) {
                            *new.lock().unwrap() = Some(rotated(&world, SecretsWish::Keep));
                        }
                    }
                };
                let store = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(hook);
                let old = scene.writer.over(Arc::new(store)).in_small_steps();
                let result = old.try_backup_of(wish, &[("vol", &scene.image)]);
                let context = format!("{wish:?}, {moment:?} step {step}");
                let Some(new) = new.lock().unwrap().take() else {
                    result.unwrap();
                    if step >= requests.load(Ordering::SeqCst) {
                        break;
                    }
                    continue;
                };
                let outcome = match &result {
                    Ok(_) => "done",
                    Err(error) => error.kind(),
                };
                *counts.entry(outcome.to_owned()).or_default() += 1;
                if let Ok(report) = result {
                    scene.made.push(Made::new(report.point, &[("vol", &scene.image)]));
                }
                let new = World { store: scene.store.clone(), ..new };
                scene.check(&new, &context);
                scene.back_up(&writer(&new, 2));
                run_prune(&new.repository(), &PruneRequest::default()).unwrap();
                let context = format!("{context}, after the next backup and a prune");
                scene.check(&new, &context);
                new.assert_nothing_unneeded(&context);
            }
        }
        let kinds: Vec<&str> = counts.keys().map(String::as_str).collect();
        assert_eq!(kinds, ["done", "fenced", "refused"], "{counts:?}");
        println!("{wish:?}: {counts:?}");
    }
}

/// Rule lists_after_statement: an old writer makes a whole point at any moment of a rotation.
#[test]
fn a_backup_at_any_moment_of_a_rotation_is_refused_or_stays() {
    let start = Scene::new(8);
    let (mut done, mut refused) = (0, 0);
    for step in 0.. {
        let mut scene = start.copy();
        let made: Arc<Mutex<Option<Result<BackupReport, EngineError>>>> = Arc::default();
        let hook = {
            let (made, image) = (made.clone(), scene.image.clone());
            let old = scene.writer.over(scene.store.clone());
            let came = AtomicBool::new(false);
            move |request: &coffer_store::fault::Request<'_>| {
                let now = request.step == step && request.moment == Moment::Before;
                if now && !came.swap(true, Ordering::SeqCst) {
                    *made.lock().unwrap() = Some(old.try_backup_of(TypeWish::Full, &[("vol", &image)]));
                }
            }
        };
        let store = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(hook);
        let (new, report) = rotate_over(&scene.world, Arc::new(store), SecretsWish::Keep);
        report.unwrap();
        match made.lock().unwrap().take() {
            Some(Ok(report)) => {
                done += 1;
                scene.made.push(Made::new(report.point, &[("vol", &scene.image)]));
            }
            Some(Err(error)) => {
                assert_eq!(error.kind(), "refused", "step {step}: {error}");
                refused += 1;
            }
            None => break,
        }
        scene.check(&with_key(&scene.world, new), &format!("step {step}"));
    }
    assert!(done > 3 && refused > 10, "{done} done, {refused} refused");
}

/// Rule continues_sealed_to_newest: the rotation died before it sealed the chains anew.
#[test]
fn an_incremental_goes_on_only_in_a_chain_that_is_sealed_to_the_newest_key() {
    let mut scene = Scene::new(9);
    let store = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(|request| {
        assert!(
            !(request.operation == coffer_store::Operation::Put && request.key.contains("/keys/")),
            "dies"
        );
    });
    let saved: Arc<Mutex<Option<KeyFile>>> = Arc::default();
    let dies = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut save = |key: &KeyFile| {
            *saved.lock().unwrap() = Some(key.clone());
            Ok(())
        };
        rotate(&scene.world.over(Arc::new(store)).repository(), SecretsWish::Keep, &mut save)
    }));
    assert!(dies.is_err());
    let key_file = saved.lock().unwrap().take().unwrap();
    let new = with_key(&scene.world, Some(key_file.clone()));
    let new_writer = writer(&new, 2);
    for world in [&new, &new_writer] {
        let problems = world.verify(false).problems;
        assert_eq!(problems.len(), 2, "{:#?}", details(&problems));
        assert!(problems.iter().all(|problem| problem.kind == "chain-key"
            && problem.detail.contains("newest recovery key")
            && problem.detail.contains("finish the rotation")));
    }
    let refused = new_writer.try_backup_of(TypeWish::Incremental, &[("vol", &scene.image)]).unwrap_err();
    assert_eq!(refused.kind(), "refused", "{refused}");
    assert!(refused.to_string().contains("newest recovery key"), "{refused}");
    let report = scene.back_up(&new_writer);
    assert_eq!(
        (report.kind, report.reason.text().as_str(), report.chain),
        (PointType::Full, "the team's key was rotated since the chain was opened", report.point)
    );
    finish_rotation(&scene.world.repository(), &key_file).unwrap();
    scene.check(&new, "finished");
    assert_eq!(scene.back_up(&new_writer).kind, PointType::Incremental);
    scene.check(&new, "gone on with");
}

#[test]
fn a_replaced_key_is_refused_at_the_start_with_what_to_do() {
    let scene = Scene::new(10);
    let new = rotated(&scene.world, SecretsWish::Keep);
    let requests = scene.store.keys().len();
    let refused = scene.try_back_up(&scene.writer).unwrap_err();
    assert_eq!(refused.kind(), "refused");
    for words in ["generation 1, which generation 2 replaced", "make a new writer key from the recovery key"]
    {
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let refused = scene.try_back_up(&scene.world).unwrap_err();
    assert!(refused.to_string().contains("the recovery key of team default is of generation 1"), "{refused}");
    assert_eq!(scene.store.keys().len(), requests, "nothing was written");
    assert_eq!(scene.writer.verify(false).problems, [], "it still verifies");
    scene.check(&new, "after that");
}

/// The point of a replaced key, made where its writer saw nothing of the rotation and brought in afterwards.
#[test]
fn what_a_replaced_key_signs_after_the_rotation_does_not_count() {
    let mut scene = Scene::new(11);
    let elsewhere = scene.copy();
    let new = rotated(&scene.world, SecretsWish::Keep);
    let forged = elsewhere.try_back_up(&elsewhere.writer).unwrap();
    for name in elsewhere.store.keys() {
        if scene.store.peek(&name).is_none() {
            scene.store.put(&name, elsewhere.store.peek(&name).unwrap()).unwrap();
        }
    }
    let point = new.find(forged.point).expect("its name is there");
    let replaced = |error: &EngineError| {
        matches!(
            error,
            EngineError::Object { source: FormatError::Replaced { generation: 1, newest: 2, .. }, .. }
        )
    };
    for world in [&new, &scene.world] {
        let made = Made::new(forged.point, &[("vol", &scene.image)]);
        let refused = world.restore_made(&point, &made).unwrap_err();
        assert!(replaced(&refused), "{refused:?}");
        only(&world.verify(false).problems, &point.key, "generation 1, which generation 2 replaced");
    }
    let report = scene.back_up(&writer(&new, 2));
    let manifest = load_manifest(&new.repository(), &new.find(report.point).unwrap()).unwrap().payload;
    assert_ne!(manifest.parent, Some(forged.point), "nobody builds on it");
    new.assert_all_restore(&scene.made, "the others stand");
    // A later rotation does not wash it.
    let third = rotated(&new, SecretsWish::Keep);
    third.assert_all_restore(&scene.made, "after another rotation");
    assert!(replaced(&load_manifest(&third.repository(), &point).unwrap_err().into_newest(3)));
}

trait IntoNewest {
    fn into_newest(self, newest: u32) -> EngineError;
}

impl IntoNewest for EngineError {
    /// The same error as the second generation tells it.
    fn into_newest(self, expected: u32) -> EngineError {
        match self {
            EngineError::Object { key, source: FormatError::Replaced { what, generation, newest } } => {
                assert_eq!(newest, expected);
                EngineError::Object { key, source: FormatError::Replaced { what, generation, newest: 2 } }
            }
            other => other,
        }
    }
}

/// A genuine statement of an earlier generation under a later number, and plain junk, at the next names.
#[test]
fn strangers_at_the_next_generations_names_block_nobody() {
    let team_key = |generation| key(object_key::team(&"default".parse().unwrap(), generation));
    let points_key = key(object_key::team_points(&"default".parse().unwrap(), 4));
    let mut scene = Scene::new(12);
    let first = scene.store.peek(&team_key(1)).unwrap();
    scene.store.put(&team_key(2), first.clone()).unwrap();
    let report = scene.back_up(&scene.writer.over(scene.store.clone()));
    assert_eq!(
        recipients(&scene.world, report.chain, 1),
        [1],
        "an older statement under a higher number is not believed"
    );
    only(&scene.world.verify(true).problems, team_key(2).as_str(), "another key");
    scene.world.assert_all_restore(&scene.made, "beside a copied statement");
    scene.store.put(&team_key(3), Bytes::from_static(b"junk")).unwrap();
    scene.store.put(&points_key, Bytes::from_static(b"junk")).unwrap();
    scene.back_up(&scene.writer.over(scene.store.clone()));
    let (new, report) = rotate_over(&scene.world, scene.store.clone(), SecretsWish::Keep);
    assert_eq!(report.unwrap().generation, 5, "names that are taken are passed over");
    let new = with_key(&scene.world, new);
    let pinned: Vec<u32> =
        new.recovery.as_ref().unwrap().pinned.iter().map(|pinned| pinned.generation).collect();
    assert_eq!(pinned, [1, 5]);
    scene.back_up(&writer(&new, 2));
    assert_eq!(
        scene.try_back_up(&scene.writer).unwrap_err().kind(),
        "refused",
        "the rotation is seen over the gap"
    );
    new.assert_all_restore(&scene.made, "new key");
    let names: BTreeSet<String> =
        new.verify(true).problems.iter().map(|problem| problem.key.clone()).collect();
    assert_eq!(names, [team_key(2), team_key(3)].map(|key| key.as_str().to_owned()).into());
    // The second generation's statement under the third's number: no way back.
    let fifth = scene.store.peek(&team_key(5)).unwrap();
    scene.store.put(&team_key(6), fifth).unwrap();
    scene.store.put(&team_key(7), first).unwrap();
    let report = writer(&new, 2).try_backup_of(TypeWish::Full, &[("vol", &scene.image)]).unwrap();
    assert_eq!(recipients(&scene.world, report.chain, 1), [5]);
    let (_, report) = rotate_over(&new, scene.store.clone(), SecretsWish::Keep);
    assert_eq!(report.unwrap().generation, 8);
}

/// Who pins the second generation goes on with it, whatever became of its statement.
#[test]
fn a_lost_or_forged_statement_takes_nobody_back() {
    let name = key(object_key::team(&"default".parse().unwrap(), 2));
    for junk in [None, Some("junk"), Some("first")] {
        let mut scene = Scene::new(13);
        let new = rotated(&scene.world, SecretsWish::Replace);
        let first = scene.store.peek(&key(object_key::team(&new.plan.team, 1))).unwrap();
        assert!(scene.store.lose(&name));
        match junk {
            None => {}
            Some("junk") => drop(scene.store.put(&name, Bytes::from_static(b"junk")).unwrap()),
            Some(_) => drop(scene.store.put(&name, first).unwrap()),
        }
        let new_writer = writer(&new, 2);
        let report = scene.back_up(&new_writer);
        assert_eq!(recipients(&scene.world, report.chain, 1), [2], "{junk:?}");
        new.assert_all_restore(&scene.made, "with the newest key");
        for world in [&new, &new_writer] {
            let problems = world.verify(false).problems;
            only(&problems, name.as_str(), if junk.is_none() { "lost" } else { "" });
        }
    }
}

/// Two rotations were begun and one was published: the other's key makes nothing that nobody else could read.
#[test]
fn a_key_that_was_never_published_is_refused() {
    let mut scene = Scene::new(18);
    let before = scene.copy();
    let unpublished = rotated(&before.world, SecretsWish::Keep);
    let unpublished = unpublished.over(scene.store.clone());
    let new = rotated(&scene.world, SecretsWish::Keep);
    for world in [&unpublished, &writer(&unpublished, 2)] {
        let refused = scene.try_back_up(world).unwrap_err();
        assert_eq!(refused.kind(), "refused");
        assert!(refused.to_string().contains("never published"), "{refused}");
    }
    let unpublished_key = unpublished.recovery.as_ref().unwrap();
    let refused = finish_rotation(&scene.world.repository(), unpublished_key).unwrap_err();
    assert!(refused.to_string().contains("not the one published"), "{refused}");
    // Its generation has the number of the published one: recipients are told apart by their public keys.
    let made = &scene.made[0];
    let closed = unpublished.restore_made(&scene.world.find(made.id).unwrap(), made).unwrap_err();
    assert_eq!(closed.kind(), "usage", "{closed}");
    scene.back_up(&writer(&new, 2));
    scene.check(&new, "the published key");
}

/// A statement that is lost is brought back by the keys before and after it.
#[test]
fn a_lost_statement_is_published_again_with_both_keys() {
    let mut scene = Scene::new(19);
    let new = rotated(&scene.world, SecretsWish::Keep);
    let name = key(object_key::team(&new.plan.team, 2));
    let bytes = scene.store.peek(&name).unwrap();
    assert!(scene.store.lose(&name));
    finish_rotation(&scene.world.repository(), new.recovery.as_ref().unwrap()).unwrap();
    assert_eq!(scene.store.peek(&name).unwrap(), bytes);
    scene.back_up(&writer(&new, 2));
    scene.check(&new, "published again");
}

/// Opens the root page of a point's map with the secrets of `key`, as a thief of the key would.
fn opens_metadata(world: &World, point: Id, key_file: &KeyFile) -> bool {
    let repository = world.repository();
    let manifest = load_manifest(&repository, &world.find(point).unwrap()).unwrap().payload;
    let record = manifest.volume_records().next().unwrap();
    let path = coffer_format::VolumePath {
        plan: world.plan.clone(),
        chain: record.chain,
        point,
        volume: record.name.clone(),
    };
    let name = object_key::map(&path);
    let root = record.root.as_ref().unwrap();
    let mut bytes = vec![0; root.length as usize];
    world.store.get_range(&key(name.clone()), root.offset, &mut bytes).unwrap();
    let context = ObjectContext::new(&record.repository, &name);
    key_file.secrets.iter().any(|held| {
        let cipher = MetadataCipher::new(Suite::Aes256Gcm, &held.secrets, &context);
        cipher.open_page(PageKind::Root, root.offset, &bytes).is_ok()
    })
}

#[test]
fn a_leaked_writer_key_reads_no_metadata_of_new_chains_once_the_secrets_are_replaced() {
    for wish in [SecretsWish::Keep, SecretsWish::Replace] {
        let mut scene = Scene::new(14);
        let leaked = scene.writer.recovery.clone().unwrap();
        let before = scene.made[0].id;
        let new = rotated(&scene.world, wish);
        let new_writer = writer(&new, 2);
        let report = scene.back_up(&new_writer);
        let replaced = wish == SecretsWish::Replace;
        let expected = if replaced {
            (PointType::Full, "the team's key was rotated since the chain was opened")
        } else {
            (PointType::Incremental, "continues a chain of 2 complete points")
        };
        assert_eq!((report.kind, report.reason.text().as_str()), expected, "{wish:?}");
        scene.back_up(&new_writer);
        assert!(opens_metadata(&new, before, &leaked), "what it could read it can still read");
        assert_eq!(opens_metadata(&new, report.point, &leaked), !replaced, "{wish:?}");
        assert!(opens_metadata(&new, report.point, new_writer.recovery.as_ref().unwrap()));
        scene.check(&new, "new key: old chains and new ones");
        // The program says so too, and calls nothing damaged that it only cannot read.
        let of_old = scene.writer.verify(false);
        assert_eq!(of_old.problems, []);
        assert_eq!(
            of_old.notices.iter().any(|notice| notice.contains("generation 2")),
            replaced,
            "{of_old:?}"
        );
        // Two generations of secrets later all chains are still read.
        let third = rotated(&new, wish);
        scene.back_up(&writer(&third, 3));
        scene.check(&third, "third key");
    }
}

/// Each of a chain's sealed keys stands for itself.
#[test]
fn a_bad_chain_key_does_not_block_a_good_one() {
    let mut scene = Scene::new(15);
    let chain = *scene.chains().last().unwrap();
    let name = |number| key(object_key::chain_key(&scene.world.plan, &chain, number));
    let (first, second) = (name(1), name(2));
    scene.store.put(&second, Bytes::from_static(b"junk")).unwrap();
    let old_writer = scene.writer.over(scene.store.clone());
    assert_eq!(scene.back_up(&old_writer).chain, chain, "junk beside the good one");
    only(&scene.world.verify(true).problems, second.as_str(), "");
    let new = rotated(&scene.world, SecretsWish::Keep);
    assert_eq!(recipients(&scene.world, chain, 3), [2], "sealed anew behind the junk");
    new.assert_all_restore(&scene.made, "new key");
    for bad in [Some(b"damaged"), None] {
        scene.store.lose(&first);
        if let Some(bytes) = bad {
            scene.store.put(&first, Bytes::from_static(bytes)).unwrap();
        }
        let report = scene.back_up(&writer(&new, 2));
        assert_eq!(report.chain, chain, "its first key {bad:?}");
        new.assert_all_restore(&scene.made, "with a bad first key");
    }
}

/// A chain of which nothing opens is named, and the others are sealed anew.
#[test]
fn a_rotation_goes_on_past_a_chain_that_does_not_open() {
    let scene = Scene::new(16);
    let chains: Vec<Id> = scene.chains().into_iter().collect();
    let name = key(object_key::chain_key(&scene.world.plan, &chains[0], 1));
    assert!(scene.store.tamper(&name, |bytes| bytes[300] ^= 1));
    let (new, report) = rotate_over(&scene.world, scene.store.clone(), SecretsWish::Keep);
    assert_eq!(report.unwrap(), RotateReport { generation: 2, points: 3, chains: 1, chains_unopened: 1 });
    let new = with_key(&scene.world, new);
    new.assert_all_restore(&scene.made[1..], "the other chain");
    only(&new.verify(false).problems, name.as_str(), "");
}

/// What stands is found without believing a LIST, and each list is of its generation only.
#[test]
fn the_list_of_points_names_what_stood_and_is_not_taken_for_another() {
    let scene = Scene::new(17);
    let new = rotated(&scene.world, SecretsWish::Keep);
    let name = key(object_key::team_points(&new.plan.team, 2));
    let list = Signed::<RotationPoints>::decode(&scene.store.peek(&name).unwrap()).unwrap().payload;
    let listed: BTreeSet<Id> = list.points.iter().map(|standing| standing.point).collect();
    assert_eq!(listed, scene.made.iter().map(|made| made.id).collect());
    let third = rotated(&new, SecretsWish::Keep);
    let later = key(object_key::team_points(&new.plan.team, 3));
    let bytes = scene.store.peek(&name).unwrap();
    assert!(scene.store.lose(&later));
    scene.store.put(&later, bytes).unwrap();
    only(&third.verify(false).problems, later.as_str(), "another key");
    // The list before still speaks of the first generation.
    third.assert_all_restore(&scene.made, "by the list before");
}
