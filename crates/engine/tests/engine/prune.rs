//! Writers, forget and prune at once: whole operations of one actor between any two requests of another.
//!
//! The rules that are cited are those of the protocol's model, `coffer-sim`, which tries all interleavings of single requests;
//! here the engine itself is held to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::SystemTime;

use bytes::Bytes;
use coffer_engine::backup::{BackupReport, TypeWish};
use coffer_engine::{Advice, EngineError, PruneReport, PruneRequest, forget_points, hold, run_prune};
use coffer_format::{BlockSize, Id};
use coffer_store::fault::{Failure, Fault, Moment};
use coffer_store::{
    FaultPlan, FaultStore, Key, ListPage, MemoryStore, ObjectInfo, ObjectStore, Operation, PartTag,
    PutOutcome, RequestCounts, StoreError, UploadId, UploadInfo,
};

use crate::history::{Made, copy_of};
use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;

struct Scene {
    world: World,
    store: Arc<MemoryStore>,
    made: Vec<Made>,
    next: Image,
    other: Image,
}

impl Scene {
    /// Two points of one chain, and what two further runs would store.
    fn new(seed: u64) -> Scene {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, false).in_small_steps();
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        let mut image = Image::mixed(seed, 6 * BLOCK, BLOCK);
        let mut made = Vec::new();
        for step in 0..2 {
            image.bytes[step * BLOCK] ^= 3;
            made.push(world.make(&[("vol", &image)]));
        }
        let mut other = image.clone();
        image.bytes[2 * BLOCK] ^= 3;
        other.bytes[3 * BLOCK] ^= 3;
        Scene { world, store, made, next: image, other }
    }

    /// A run dies after it stored all its data and before its manifest.
    fn leave_unfinished(&self, image: &Image) {
        let store = Arc::new(FaultStore::new(self.store.clone(), FaultPlan::none()).with_hook(|request| {
            assert!(!(request.operation == Operation::Put && request.key.contains("/points/")), "dies");
        }));
        let world = self.world.over(store);
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.try_backup_of(TypeWish::Full, &[("vol", image)]).unwrap();
        }));
        assert!(died.is_err());
    }
}

/// What a meeting has reported, for the look afterwards.
#[derive(Default)]
struct Said {
    made: Vec<Made>,
    forgotten: Vec<Id>,
    held: Vec<Id>,
}

type Act = Arc<dyn Fn(&World, &Scene, &mut Said) -> Result<(), EngineError> + Send + Sync>;

fn back_up(wish: TypeWish, pick: fn(&Scene) -> &Image) -> Act {
    Arc::new(move |world, scene, said| {
        let report = world.try_backup_of(wish, &[("vol", pick(scene))])?;
        said.made.push(Made::new(report.point, &[("vol", pick(scene))]));
        Ok(())
    })
}

fn forget(pick: fn(&Scene) -> Id) -> Act {
    Arc::new(move |world, scene, said| {
        said.forgotten.push(pick(scene));
        forget_points(&world.open()?, &[pick(scene)], &Default::default(), false).map(drop)
    })
}

fn prune() -> Act {
    Arc::new(|world, _, _| run_prune(&world.open()?, &PruneRequest::default()).map(drop))
}

fn all(acts: Vec<Act>) -> Act {
    Arc::new(move |world, scene, said| acts.iter().try_for_each(|act| act(world, scene, said)))
}

/// Lets `second` happen as a whole before or after each request of `first`; counts how the first one ended.
fn meet(name: &str, make: impl Fn() -> Scene, first: &Act, second: &Act) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for moment in [Moment::Before, Moment::After] {
        for step in 0.. {
            let scene = Arc::new(make());
            let said = Arc::new(Mutex::new(Said::default()));
            let came = Arc::new(AtomicBool::new(false));
            let requests = Arc::new(AtomicU64::new(0));
            let hook = {
                let (scene, said, came, second) = (scene.clone(), said.clone(), came.clone(), second.clone());
                let requests = requests.clone();
                move |request: &coffer_store::fault::Request<'_>| {
                    requests.fetch_max(request.step + 1, Ordering::SeqCst);
                    if request.step == step && request.moment == moment && !came.swap(true, Ordering::SeqCst)
                    {
                        second(&scene.world, &scene, &mut said.lock().unwrap()).unwrap();
                    }
                }
            };
            let store = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(hook);
            let mut own = Said::default();
            let result = first(&scene.world.over(Arc::new(store)), &scene, &mut own);
            let context = format!("{name}, {moment:?} step {step}");
            if !came.load(Ordering::SeqCst) {
                if step >= requests.load(Ordering::SeqCst) {
                    break;
                }
                // There is no moment after a request that found nothing.
                result.unwrap();
                continue;
            }
            let outcome = match &result {
                Ok(()) => "done".to_owned(),
                Err(error) => {
                    assert!(!matches!(error.advice(), Advice::Bug | Advice::Corrupt), "{context}: {error:?}");
                    error.kind().to_owned()
                }
            };
            *counts.entry(outcome).or_default() += 1;
            let mut said = std::mem::take(&mut *said.lock().unwrap());
            said.forgotten.append(&mut own.forgotten);
            if result.is_ok() {
                said.made.append(&mut own.made);
                said.held.append(&mut own.held);
            }
            look_after(&scene, &said, &context);
        }
    }
    println!("{name}: {counts:?}");
    counts
}

/// Everything reported stands, also after another prune; nothing that is listed is damaged.
fn look_after(scene: &Scene, said: &Said, context: &str) {
    let world = &scene.world;
    let is_due = |made: &&Made| said.held.contains(&made.id) || !said.forgotten.contains(&made.id);
    let due = || scene.made.iter().chain(&said.made).filter(is_due);
    world.assert_all_restore(due(), context);
    assert_eq!(world.verify(true).problems, [], "{context}");
    let report = world.try_backup_of(TypeWish::Auto, &[("vol", &scene.other)]).unwrap();
    let after = Made::new(report.point, &[("vol", &scene.other)]);
    for _ in 0..2 {
        run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    }
    world.assert_all_restore(due().chain([&after]), &format!("{context}, after prune"));
    assert_eq!(world.verify(true).problems, [], "{context}, after prune");
    world.assert_nothing_unneeded(context);
}

/// Rule check_own_ending: a later point stands, prune ends the older run, and the run does not report success.
#[test]
fn a_run_that_prune_ended_is_fenced() {
    let later_full_and_prune = all(vec![back_up(TypeWish::Full, |scene| &scene.other), prune()]);
    let counts = meet(
        "own ending",
        || Scene::new(1),
        &back_up(TypeWish::Incremental, |scene| &scene.next),
        &later_full_and_prune,
    );
    assert!(counts["fenced"] >= 4 && counts["done"] >= 4, "{counts:?}");
}

/// Rule check_parent: the parent goes while a run builds on it.
#[test]
fn a_run_whose_parent_was_forgotten_is_fenced() {
    let counts = meet(
        "parent",
        || Scene::new(2),
        &back_up(TypeWish::Incremental, |scene| &scene.next),
        &all(vec![back_up(TypeWish::Full, |scene| &scene.other), forget(|scene| scene.made[1].id)]),
    );
    assert!(counts["fenced"] >= 4 && counts["done"] >= 4, "{counts:?}");
}

/// Both rules at once: the parent is forgotten and its chain pruned while a run builds on it.
#[test]
fn a_run_whose_whole_chain_was_pruned_is_fenced() {
    let counts = meet(
        "chain",
        || Scene::new(3),
        &back_up(TypeWish::Incremental, |scene| &scene.next),
        &all(vec![
            back_up(TypeWish::Full, |scene| &scene.other),
            forget(|scene| scene.made[0].id),
            forget(|scene| scene.made[1].id),
            prune(),
        ]),
    );
    assert!(counts["fenced"] >= 4 && counts["done"] >= 4, "{counts:?}");
}

/// Rules ending_before_reread, reread_after_ending, ended_before_delete: a run commits between the steps of prune.
#[test]
fn a_backup_between_the_steps_of_prune_loses_nothing() {
    let make = || {
        let scene = Scene::new(4);
        let image = scene.other.clone();
        scene.leave_unfinished(&image);
        scene
    };
    let counts = meet(
        "prune",
        make,
        &all(vec![back_up(TypeWish::Full, |scene| &scene.next), prune()]),
        &back_up(TypeWish::Auto, |scene| &scene.other),
    );
    assert!(counts["done"] >= 20, "{counts:?}");
}

/// How a run ends that stored its data before a prune began, and commits as a whole right before that prune's request `step`.
/// `None` if the prune makes fewer requests.
fn commit_during_prune(scene: &Scene, step: u64) -> Option<Result<BackupReport, EngineError>> {
    let ((reached, is_reached), (go, may_go), (over, is_over)) =
        (mpsc::channel(), mpsc::channel(), mpsc::channel());
    let may_go = Mutex::new(may_go);
    let slow = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(move |request| {
        let commits = request.operation == Operation::Put && request.key.contains("/points/");
        if commits && request.moment == Moment::Before {
            reached.send(()).unwrap();
            may_go.lock().unwrap().recv().unwrap();
        }
    });
    let slow = scene.world.over(Arc::new(slow));
    let image = scene.next.clone();
    let run = std::thread::spawn(move || {
        let result = slow.try_backup_of(TypeWish::Incremental, &[("vol", &image)]);
        // Nobody waits for it when prune ended before this run came to its turn.
        let _ = over.send(());
        result
    });
    is_reached.recv().unwrap();
    // A later point stands, so that the slow run may be ended.
    scene.world.try_backup_of(TypeWish::Full, &[("vol", &scene.other)]).unwrap();
    let came = Arc::new(AtomicBool::new(false));
    let (let_go, is_over) = (go.clone(), Mutex::new(is_over));
    let hook = {
        let came = came.clone();
        move |request: &coffer_store::fault::Request<'_>| {
            if request.step == step && request.moment == Moment::Before {
                came.store(true, Ordering::SeqCst);
                let_go.send(()).unwrap();
                is_over.lock().unwrap().recv().unwrap();
            }
        }
    };
    let pruning = FaultStore::new(scene.store.clone(), FaultPlan::none()).with_hook(hook);
    run_prune(&scene.world.over(Arc::new(pruning)).repository(), &PruneRequest::default()).unwrap();
    if !came.load(Ordering::SeqCst) {
        go.send(()).unwrap();
    }
    let result = run.join().unwrap();
    came.load(Ordering::SeqCst).then_some(result)
}

/// Rules check_own_ending, ending_before_reread, reread_after_ending, void_by_ended: either prune sees the commit, or the run the end.
#[test]
fn a_slow_run_that_commits_during_prune_stands_or_is_fenced() {
    let (mut done, mut fenced) = (0, 0);
    for step in 0.. {
        let scene = Scene::new(14);
        let context = format!("commit before step {step} of prune");
        let Some(result) = commit_during_prune(&scene, step) else { break };
        let mut said = Said::default();
        match result {
            Ok(report) => {
                done += 1;
                said.made.push(Made::new(report.point, &[("vol", &scene.next)]));
            }
            Err(EngineError::Fenced { .. }) => fenced += 1,
            Err(error) => panic!("{context}: {error:?}"),
        }
        look_after(&scene, &said, &context);
    }
    println!("slow run: {done} done, {fenced} fenced");
    assert!(done >= 4 && fenced >= 4, "{done} done, {fenced} fenced");
}

#[test]
fn forget_between_the_steps_of_prune_loses_nothing() {
    let make = || {
        let mut scene = Scene::new(5);
        let image = scene.next.clone();
        let report = scene.world.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
        scene.made.push(Made::new(report.point, &[("vol", &image)]));
        scene
    };
    let both = all(vec![forget(|scene| scene.made[0].id), forget(|scene| scene.made[1].id)]);
    let counts = meet("prune and forget", make, &prune(), &both);
    assert!(counts["done"] >= 10, "{counts:?}");
}

#[test]
fn two_prunes_at_once_lose_nothing() {
    let make = || {
        let mut scene = Scene::new(6);
        let image = scene.next.clone();
        let report = scene.world.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
        let gone: Vec<Id> = scene.made.drain(..).map(|made| made.id).collect();
        forget_points(&scene.world.repository(), &gone, &Default::default(), false).unwrap();
        scene.made.push(Made::new(report.point, &[("vol", &image)]));
        scene
    };
    let counts = meet("two prunes", make, &prune(), &prune());
    assert!(counts["done"] >= 20, "{counts:?}");
}

/// Two runs with one parent are both valid points.
#[test]
fn two_writers_with_one_parent_both_make_points() {
    let counts = meet(
        "two writers",
        || Scene::new(7),
        &back_up(TypeWish::Incremental, |scene| &scene.next),
        &back_up(TypeWish::Incremental, |scene| &scene.other),
    );
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["done"]);
}

/// Rules hold_checked_by_forget, forget_announces, hold_looks_at_ending: a hold that was reported outlives any forget.
#[test]
fn a_hold_in_the_middle_of_forget_holds_or_is_refused() {
    let make = || {
        let mut scene = Scene::new(8);
        let image = scene.next.clone();
        scene.made.push(scene.world.make(&[("vol", &image)]));
        scene
    };
    let take_hold: Act = Arc::new(|world, scene, said| {
        let repository = world.open()?;
        let Some(point) = world.find(scene.made[0].id) else { return Ok(()) };
        match hold(&repository, &point, "wanted") {
            Ok(()) => said.held.push(point.id),
            Err(EngineError::Forgotten(_) | EngineError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    });
    let counts = meet("hold", make, &forget(|scene| scene.made[0].id), &take_hold);
    assert!(counts["done"] > 0 && counts["refused"] > 0, "{counts:?}");
}

fn prune_with(world: &World, request: &PruneRequest) -> PruneReport {
    run_prune(&world.repository(), request).unwrap()
}

/// Rule end_only_after_later: the newest unfinished run may be alive; only a person can say that it is not.
#[test]
fn an_unfinished_run_goes_when_a_later_point_stands_or_a_person_names_it() {
    let scene = Scene::new(9);
    let before: BTreeSet<Key> = scene.store.keys().into_iter().collect();
    scene.leave_unfinished(&scene.next.clone());
    let left: Vec<Key> = scene.store.keys().into_iter().filter(|key| !before.contains(key)).collect();
    assert!(!left.is_empty());
    assert_eq!(prune_with(&scene.world, &PruneRequest::default()).objects_deleted, 0);
    let id: Id = left[0].as_str().split('/').nth(7).unwrap().parse().unwrap();
    let abandoned = PruneRequest { abandoned: BTreeSet::from([id]), ..PruneRequest::default() };
    let dry = prune_with(
        &scene.world,
        &PruneRequest { dry_run: true, abandoned: abandoned.abandoned.clone(), team: None },
    );
    assert_eq!(dry.objects_deleted, left.len() as u64);
    assert!(left.iter().all(|key| scene.store.peek(key).is_some()), "a dry run deletes nothing");
    assert_eq!(prune_with(&scene.world, &abandoned).objects_deleted, left.len() as u64);
    assert!(left.iter().all(|key| scene.store.peek(key).is_none()));
    scene.world.assert_all_restore(&scene.made, "after prune");
    scene.world.assert_sound();
}

#[test]
fn a_plan_with_an_unreadable_manifest_is_left_alone() {
    let scene = Scene::new(10);
    let newest = scene.world.make(&[("vol", &scene.next)]);
    let full = scene.world.try_backup_of(TypeWish::Full, &[("vol", &scene.other)]).unwrap();
    let gone: Vec<Id> = scene.made.iter().map(|made| made.id).chain([newest.id]).collect();
    forget_points(&scene.world.repository(), &gone, &Default::default(), false).unwrap();
    let manifest = Key::new(&scene.world.find(full.point).unwrap().key).unwrap();
    let before = scene.store.keys();
    scene.store.tamper(&manifest, |bytes| bytes[20] ^= 1);
    let report = prune_with(&scene.world, &PruneRequest::default());
    assert_eq!((report.objects_deleted, scene.store.keys()), (0, before));
    let said = report.notices.join("\n");
    assert!(said.contains(&full.point.to_string()) && said.contains("left alone"), "{said}");
    scene.store.tamper(&manifest, |bytes| bytes[20] ^= 1);
    assert!(prune_with(&scene.world, &PruneRequest::default()).objects_deleted > 3);
}

#[test]
fn a_chain_with_a_strange_object_is_left_alone() {
    let scene = Scene::new(11);
    let full = scene.world.try_backup_of(TypeWish::Full, &[("vol", &scene.next)]).unwrap();
    let gone: Vec<Id> = scene.made.iter().map(|made| made.id).collect();
    forget_points(&scene.world.repository(), &gone, &Default::default(), false).unwrap();
    let data = scene.store.keys().into_iter().find(|key| key.as_str().contains("/data/")).unwrap();
    let chain = data.as_str().split('/').take(7).collect::<Vec<_>>().join("/");
    let strange = Key::new(format!("{chain}/notes.txt")).unwrap();
    scene.store.put(&strange, Bytes::from_static(b"do not touch")).unwrap();
    let before = scene.store.keys();
    let report = prune_with(&scene.world, &PruneRequest::default());
    let lost = before
        .iter()
        .filter(|key| key.as_str().starts_with(&chain) && scene.store.peek(key).is_none())
        .count();
    assert_eq!(lost, 0);
    assert!(report.notices.join("\n").contains("notes.txt"), "{:?}", report.notices);
    assert!(scene.world.find(full.point).is_some());
}

/// A store whose LIST hides what `hides` says; everything else is as it is.
pub(crate) struct Stale {
    pub(crate) inner: Arc<MemoryStore>,
    pub(crate) hides: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl ObjectStore for Stale {
    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        let mut page = self.inner.list(prefix, start_after, max)?;
        page.objects.retain(|object| !(self.hides)(object.key.as_str()));
        Ok(page)
    }

    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.inner.put(key, body)
    }

    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        self.inner.start_upload(key, part_len)
    }

    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.inner.put_part(upload, number, body)
    }

    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        self.inner.complete_upload(upload, parts)
    }

    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        self.inner.abort_upload(upload)
    }

    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        self.inner.list_uploads(prefix)
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.get(key, len_max)
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.inner.get_range(key, offset, out)
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.inner.head(key)
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.inner.delete(keys)
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.inner.now()
    }

    fn requests(&self) -> RequestCounts {
        self.inner.requests()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Four points in two chains, one of the first chain forgotten, so that prune has work and something to lose.
fn stale_scene() -> Scene {
    let mut scene = Scene::new(12);
    let report: BackupReport = scene.world.try_backup_of(TypeWish::Full, &[("vol", &scene.next)]).unwrap();
    scene.made.push(Made::new(report.point, &[("vol", &scene.next)]));
    let report = scene.world.try_backup_of(TypeWish::Incremental, &[("vol", &scene.other)]).unwrap();
    scene.made.push(Made::new(report.point, &[("vol", &scene.other)]));
    let gone = scene.made.remove(0);
    forget_points(&scene.world.repository(), &[gone.id], &Default::default(), false).unwrap();
    scene
}

/// Rules list_is_no_proof_of_absence, rereads_lists_data: whatever a LIST of manifests, or of anything else, leaves out,
/// prune looks up by exact key what any name that it saw mentions.
#[test]
fn a_stale_list_loses_nothing() {
    let keys = stale_scene().store.keys();
    let check = |name: &str, hides: Box<dyn Fn(&str) -> bool + Send + Sync>| {
        let scene = stale_scene();
        let stale = Arc::new(Stale { inner: scene.store.clone(), hides });
        run_prune(&scene.world.over(stale).repository(), &PruneRequest::default()).unwrap();
        scene.world.assert_all_restore(&scene.made, name);
        assert_eq!(scene.world.verify(true).problems, [], "{name}");
    };
    check("no manifest", Box::new(|key| key.contains("/points/")));
    check("no summary", Box::new(|key| key.contains("/confirmed/")));
    check("neither", Box::new(|key| key.contains("/points/") || key.contains("/confirmed/")));
    check("no data", Box::new(|key| key.contains("/data/")));
    check("no map", Box::new(|key| key.ends_with("/map")));
    check("no pack", Box::new(|key| key.contains("/data/") && !key.ends_with("/map")));
    check(
        "no manifest and no pack",
        Box::new(|key| key.contains("/points/") || (key.contains("/data/") && !key.ends_with("/map"))),
    );
    for key in keys {
        let hidden = key.as_str().to_owned();
        check(&hidden.clone(), Box::new(move |key| key == hidden));
    }
}

/// A prune that dies at any step is finished by the next one.
#[test]
fn a_killed_prune_is_finished_by_the_next() {
    for step in 0.. {
        let scene = Scene::new(13);
        let full = scene.world.try_backup_of(TypeWish::Full, &[("vol", &scene.next)]).unwrap();
        let gone: Vec<Id> = scene.made.iter().map(|made| made.id).collect();
        forget_points(&scene.world.repository(), &gone, &Default::default(), false).unwrap();
        let copy = copy_of(&scene.store);
        let dying =
            FaultPlan::none().fail_at(step, Fault::Half(Failure::Unavailable)).die_at(step, Moment::Before);
        let store = Arc::new(FaultStore::new(copy.clone(), dying));
        let died = scene
            .world
            .over(store.clone())
            .open()
            .and_then(|repository| run_prune(&repository, &PruneRequest::default()));
        let world = scene.world.over(copy);
        run_prune(&world.repository(), &PruneRequest::default()).unwrap();
        world.assert_nothing_unneeded(&format!("step {step}"));
        world.assert_all_restore([&Made::new(full.point, &[("vol", &scene.next)])], &format!("step {step}"));
        if store.struck() == 0 {
            died.unwrap();
            assert!(step > 15, "{step} steps");
            break;
        }
    }
}
