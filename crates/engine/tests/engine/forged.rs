//! Who can write to the store and has no key can destroy nothing: not by records, not by manifests, not by names.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use coffer_engine::backup::TypeWish;
use coffer_engine::catalog::{PointEntry, load_manifest};
use coffer_engine::{
    Clock, EngineError, ForgetRequest, Intent, KeepRules, PruneReport, PruneRequest, RequestError,
    SignedRequest, Verdict, find_point, forget_by_rules, forget_points, hold, pick_proven, run_prune,
};
use coffer_format::{
    BlockSize, Confirmed, Damaged, DamagedOrdinals, Document, Ended, EndedObjects, EndedVolume, Ending, Id,
    Manifest, Pin, PinKind, PlanId, PointType, Signer, Timestamp, object_key,
};
use coffer_store::{Key, MemoryStore, ObjectStore};
use jiff::tz::TimeZone;

use crate::history::Made;
use crate::world::{Image, World};

const BLOCK: usize = 16 << 10;

/// Four points in two chains of an encrypted repository.
struct Scene {
    world: World,
    store: Arc<MemoryStore>,
    made: Vec<Made>,
    entries: Vec<PointEntry>,
    image: Image,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, true).in_small_steps();
        world.full_every = 2;
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        let mut image = Image::mixed(seed, 4 * BLOCK, BLOCK);
        let mut made = Vec::new();
        for step in 0..4 {
            image.bytes[step * BLOCK + 5] ^= 3;
            made.push(world.make(&[("vol", &image)]));
        }
        let entries = world.points();
        Scene { world, store, made, entries, image }
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        self.store.put(&Key::new(key).unwrap(), Bytes::from(bytes)).unwrap();
    }

    /// Nothing was lost: all points are listed, come back, and are not damaged.
    fn assert_whole(&self, context: &str) {
        self.world.assert_all_restore(&self.made, context);
        let kinds: BTreeSet<&str> = self.world.verify(true).problems.iter().map(|found| found.kind).collect();
        let harmless = ["ended", "ending", "pin", "damaged", "confirmed", "manifest"];
        assert!(kinds.iter().all(|kind| harmless.contains(kind)), "{context}: {kinds:?}");
    }

    fn prune(&self) -> PruneReport {
        run_prune(&self.world.repository(), &PruneRequest::default()).unwrap()
    }

    fn keep_last(&self, world: &World, last: u32, unverified: bool) -> Result<Verdict, EngineError> {
        let rules = KeepRules { last: Some(last), ..KeepRules::default() };
        let request = ForgetRequest {
            plan: &self.world.plan,
            rules: &rules,
            as_of: Some(self.world.clock.now()),
            zone: &TimeZone::UTC,
            dry_run: false,
            unverified,
        };
        forget_by_rules(&world.open()?, &request)
    }

    /// The same repository seen by somebody without a key.
    fn without_key(&self) -> World {
        World { recovery: None, ..self.world.over(self.store.clone()) }
    }

    fn latest(&self) -> Id {
        let points = self.world.points();
        pick_proven(&self.world.repository(), &points, &Intent::Latest, &TimeZone::UTC).unwrap().id
    }
}

/// Somebody with a genuine key of another repository, of a team of the same name.
fn outsider() -> Signer {
    World::new(4_711, true).repository().signer(&"default".parse().unwrap()).unwrap()
}

/// How a record may be made up: not signed at all, signed by somebody else's key, not even a document.
fn made_up<T: Document>(record: &T) -> [Vec<u8>; 4] {
    let unsigned = Signer::None.sign(record).encode();
    let cut = unsigned[..unsigned.len() / 2].to_vec();
    [unsigned, outsider().sign(record).encode(), cut, Vec::new()]
}

fn ended(world: &World, entry: &PointEntry, run: u8) -> Ended {
    let PlanId { team, cluster, namespace, plan } = world.plan.clone();
    let manifest = load_manifest(&world.repository(), entry).unwrap().payload;
    let volumes = manifest.volume_records().map(|record| EndedVolume {
        name: record.name.clone(),
        map: true,
        packs: vec![(0, 9)],
    });
    Ended {
        format: 1,
        repository: world.repository().id(),
        team,
        cluster,
        namespace,
        plan,
        chain: manifest.chain,
        point: entry.id,
        run: Id::from_parts(1, [run; 10]),
        time: world.clock.now(),
        objects: EndedObjects { keys: Vec::new(), volumes: volumes.collect() },
    }
}

fn ending(world: &World, point: Id) -> Ending {
    let PlanId { team, cluster, namespace, plan } = world.plan.clone();
    let (repository, run, time) = (world.repository().id(), Id::from_parts(1, [9; 10]), world.clock.now());
    Ending { format: 1, repository, team, cluster, namespace, plan, point, run, time }
}

fn pin(world: &World, point: Id, kind: PinKind, run: u8) -> Pin {
    Pin {
        format: 1,
        repository: world.repository().id(),
        team: world.plan.team.clone(),
        point,
        run: Id::from_parts(1, [run; 10]),
        kind,
        time: world.clock.now(),
        note: String::new(),
    }
}

/// Shown in the issue: made-up `ended` records void every chain, and the operator's own prune deletes all manifests, a held one too.
#[test]
fn made_up_ended_records_void_nothing() {
    let scene = Scene::new(1);
    hold(&scene.world.repository(), &scene.entries[1], "for the auditors").unwrap();
    for (number, entry) in (0..).zip(&scene.entries) {
        for (way, bytes) in (0..).zip(made_up(&ended(&scene.world, entry, 0))) {
            let key = ended(&scene.world, entry, 10 * number + way).key();
            scene.put(&key, bytes);
        }
    }
    assert_eq!(scene.world.points().len(), 4);
    scene.assert_whole("listed and read");
    let before = scene.store.keys();
    let report = scene.prune();
    assert_eq!((report.objects_deleted, scene.store.keys().len()), (0, before.len()), "{:?}", report.notices);
    assert_eq!(scene.world.verify(false).problems.iter().filter(|found| found.kind == "ended").count(), 16);
    let next = scene.world.make(&[("vol", &scene.image)]);
    assert_eq!(scene.world.find(next.id).unwrap().summary.sequence, 5);
    scene.assert_whole("after prune");
}

/// Whoever holds a writer key and may only write: what is signed voids, and destroys nothing that is confirmed and whole.
#[test]
fn signed_ended_records_of_a_stolen_writer_key_destroy_nothing() {
    let scene = Scene::new(2);
    let signer = scene.world.repository().signer(&scene.world.plan.team).unwrap();
    for entry in &scene.entries[..2] {
        let record = ended(&scene.world, entry, 1);
        scene.put(&record.key(), signer.sign(&record).encode());
    }
    assert_eq!(scene.world.points().len(), 2, "void points are not listed");
    let report = scene.prune();
    assert_eq!(report.objects_deleted, 0, "{:?}", report.notices);
    assert_eq!(report.notices.len(), 2, "{:?}", report.notices);
    for (entry, made) in scene.entries.iter().zip(&scene.made) {
        let point = find_point(&scene.world.repository(), &Default::default(), entry.id).unwrap();
        assert_eq!(point.void, scene.made[..2].iter().any(|made| made.id == entry.id));
        scene.world.restore_made(&point, made).unwrap();
    }
    // What is gone cannot be restored, and is said to be.
    let map = scene.store.keys().into_iter().find(|key| key.as_str().ends_with("/map")).unwrap();
    scene.store.lose(&map);
    let gone = find_point(&scene.world.repository(), &Default::default(), scene.entries[0].id).unwrap_err();
    assert!(gone.to_string().contains("prune has deleted objects"), "{gone}");
}

/// A manifest of a later point with right digests and wrong signatures, and everything that would confirm it.
fn forge_later_point(scene: &Scene, signer: &Signer, ahead: u64) -> Id {
    let newest = scene.entries.last().unwrap();
    let mut manifest = load_manifest(&scene.world.repository(), newest).unwrap().payload;
    let id = Id::from_parts(newest.id.unix_ms() + ahead, [ahead as u8; 10]);
    let records = manifest.volume_records().cloned().map(|mut record| {
        record.point = id;
        record.lineage.last_mut().unwrap().point = id;
        record
    });
    let records = records.map(|record| signer.sign(&record)).collect();
    manifest.point = id;
    manifest.sequence += ahead;
    manifest.time = Timestamp::from_unix_ms(manifest.time.unix_ms() + 1);
    manifest.volumes = records;
    let signed = signer.sign(&manifest);
    scene.put(&manifest.key(), signed.encode());
    let confirmed = confirmed(&manifest, signed.seal.digest);
    scene.put(&confirmed.key(), signer.sign(&confirmed).encode());
    id
}

fn confirmed(manifest: &Manifest, digest: coffer_format::Digest) -> Confirmed {
    Confirmed {
        format: 1,
        repository: manifest.repository,
        team: manifest.team.clone(),
        cluster: manifest.cluster.clone(),
        namespace: manifest.namespace.clone(),
        plan: manifest.plan.clone(),
        point: manifest.point,
        summary: manifest.summary().encode(),
        manifest: digest,
    }
}

/// Shown in the issue: `forget --keep-last 1` with a key gave all genuine points up for a forged one.
#[test]
fn a_forged_later_point_is_no_reason_to_give_genuine_ones_up() {
    let mut scene = Scene::new(3);
    let forged = [forge_later_point(&scene, &outsider(), 1), forge_later_point(&scene, &Signer::None, 2)];
    assert_eq!(scene.latest(), scene.made[3].id);
    let refused = scene.keep_last(&scene.without_key(), 1, false).unwrap_err();
    assert_eq!(refused.kind(), "usage");
    let unsigned = RequestError::NoKeyToSign(SignedRequest::ForgetByRules);
    assert_eq!(refused.request(), Some(&unsigned), "{refused}");
    assert_eq!(
        scene
            .world
            .points_and_unconfirmed()
            .iter()
            .filter(|p| scene.made.iter().any(|m| m.id == p.id))
            .count(),
        4
    );
    let verdict = scene.keep_last(&scene.world, 1, false).unwrap();
    assert_eq!(verdict.forgotten, scene.made[..3].iter().map(|made| made.id).collect::<Vec<_>>());
    assert!(!verdict.kept.iter().any(|(id, _)| forged.contains(id)), "{verdict:?}");
    // Prune stays away from a plan with manifests that it cannot read, and says so.
    assert!(scene.prune().notices.iter().any(|notice| notice.contains(&forged[0].to_string())));
    let next = scene.world.try_backup_of(TypeWish::Incremental, &[("vol", &scene.image)]).unwrap();
    assert_eq!(scene.world.find(next.point).unwrap().summary.parent, Some(scene.made[3].id));
    scene.made.drain(..3);
    scene.assert_whole("after forget");
}

/// Shown in the issue: one empty PUT below `confirmed/` makes the oldest point `latest`, and forget then gives every newer one up.
#[test]
fn a_name_alone_decides_nothing() {
    let mut scene = Scene::new(4);
    let oldest = scene.entries[0].clone();
    let mut summary = oldest.summary.clone();
    summary.sequence = u64::MAX;
    summary.time = Timestamp::from_unix_ms(oldest.summary.time.unix_ms() + 1);
    scene.put(&object_key::confirmed(&oldest.plan, &oldest.id, &summary), Vec::new());
    // Also where the genuine name is gone, and for a manifest that never was confirmed.
    let unfinished = Id::from_parts(oldest.id.unix_ms() + 999_999_999, [3; 10]);
    summary.sequence = 17;
    scene.put(&object_key::manifest(&oldest.plan, &unfinished), Vec::new());
    scene.put(&object_key::confirmed(&oldest.plan, &unfinished, &summary), Vec::new());
    assert_eq!(scene.latest(), scene.made[3].id);
    let report = scene.world.try_backup_of(TypeWish::Auto, &[("vol", &scene.image)]).unwrap();
    let next = scene.world.find(report.point).unwrap();
    assert_eq!((next.summary.sequence, report.kind), (5, PointType::Full), "the third chain");
    assert!(next.id < unfinished, "a made-up name does not push ids up");
    let verdict = scene.keep_last(&scene.world, 1, false).unwrap();
    assert_eq!(verdict.forgotten, scene.made.iter().map(|made| made.id).collect::<Vec<_>>());
    scene.made = vec![Made::new(report.point, &[("vol", &scene.image)])];
    scene.assert_whole("after forget");
    assert_eq!(scene.latest(), report.point);
}

#[test]
fn other_made_up_records_have_no_effect() {
    let scene = Scene::new(5);
    let (oldest, newest) = (scene.made[0].id, scene.made[3].id);
    for (way, bytes) in (0..).zip(made_up(&pin(&scene.world, oldest, PinKind::Hold, 0))) {
        scene.put(&pin(&scene.world, oldest, PinKind::Hold, way).key(), bytes);
    }
    scene.put(&ending(&scene.world, newest).key(), made_up(&ending(&scene.world, newest))[1].clone());
    let note = Damaged {
        format: 1,
        repository: scene.world.repository().id(),
        team: scene.world.plan.team.clone(),
        point: scene.entries[3].summary.chain,
        volume: "vol".parse().unwrap(),
        pack: 0,
        run: Id::from_parts(1, [5; 10]),
        time: scene.world.clock.now(),
        ordinals: DamagedOrdinals::All,
        detail: String::new(),
    };
    scene.put(&note.key(), made_up(&note)[0].clone());
    // The newest is built on, nothing is stored anew for what is not damaged, and it can be held.
    let report = scene.world.try_backup_of(TypeWish::Incremental, &[("vol", &scene.image)]).unwrap();
    assert_eq!((report.kind, report.volumes[0].changed), (PointType::Incremental, 0));
    hold(&scene.world.repository(), &scene.entries[3], "").unwrap();
    // The oldest is not held by anybody.
    let verdict = forget_points(&scene.world.repository(), &[oldest], &Default::default(), false).unwrap();
    assert_eq!(verdict.forgotten, [oldest]);
    let kinds: Vec<&str> = scene.world.verify(false).problems.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, ["pin", "pin", "pin", "pin", "damaged", "ending"]);
}

/// Something else in the place of an `ending` record: nobody can be told, so what it is about stays; all else goes on.
#[test]
fn what_cannot_be_announced_is_left_alone() {
    let scene = Scene::new(6);
    let gone: Vec<Id> = scene.made[..2].iter().map(|made| made.id).collect();
    scene.put(&object_key::ending(&scene.world.plan.team, &gone[0]), b"junk".to_vec());
    let verdict = forget_points(&scene.world.repository(), &gone, &Default::default(), false).unwrap();
    assert_eq!(verdict.forgotten, [gone[1]]);
    assert!(verdict.kept.iter().any(|(id, why)| *id == gone[0] && why.contains("ending/")), "{verdict:?}");
    scene.world.assert_all_restore([&scene.made[0], &scene.made[2], &scene.made[3]], "after forget");
    scene.store.lose(&Key::new(object_key::ending(&scene.world.plan.team, &gone[0])).unwrap());
    assert_eq!(
        forget_points(&scene.world.repository(), &gone[..1], &Default::default(), false).unwrap().forgotten,
        [gone[0]]
    );
    scene.store.lose(&Key::new(object_key::ending(&scene.world.plan.team, &gone[0])).unwrap());
    scene.put(&object_key::ending(&scene.world.plan.team, &gone[0]), b"junk".to_vec());
    let report = scene.prune();
    assert!(
        report.notices.iter().any(|notice| notice.contains(&gone[0].to_string())),
        "{:?}",
        report.notices
    );
    assert!(report.objects_deleted > 0, "the other point's objects go");
    scene.world.assert_all_restore(&scene.made[2..], "after prune");
}

/// Without a key nothing that is signed can be said: forget goes by digests where that is wished, and prune and hold do not go.
#[test]
fn without_a_key_only_what_is_asked_for_by_name_of_the_risk_happens() {
    let scene = Scene::new(7);
    let other = scene.without_key();
    let usage = |result: Result<(), EngineError>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), "usage", "{error}");
        assert!(matches!(error.request(), Some(RequestError::NoKeyToSign(_))), "{error}");
    };
    let repository = other.repository();
    usage(run_prune(&repository, &PruneRequest::default()).map(drop));
    usage(hold(&repository, &scene.entries[0], ""));
    usage(coffer_engine::release(&repository, &scene.entries[0]).map(drop));
    usage(forget_points(&repository, &[scene.made[0].id], &Default::default(), false).map(drop));
    let dry = PruneRequest { dry_run: true, ..PruneRequest::default() };
    run_prune(&repository, &dry).unwrap();
    forget_points(&repository, &[scene.made[0].id], &Default::default(), true).unwrap();
    // By digests: points go, what is announced is not signed, and prune with a key goes on from there.
    assert_eq!(scene.keep_last(&other, 2, true).unwrap().forgotten.len(), 2);
    let endings = coffer_store::list_all(scene.store.as_ref(), "t/default/ending/").unwrap();
    assert!(endings.len() == 2 && endings.iter().all(|ending| ending.key.as_str().ends_with(".unsigned")));
    scene.world.assert_all_restore(&scene.made[2..], "after forget");
    assert!(scene.prune().objects_deleted > 3);
    scene.world.assert_sound();
    scene.world.assert_nothing_unneeded("after prune");
}

/// A pin's own time may be of any clock; the store's tells how old it is.
#[test]
fn pins_are_judged_by_the_stores_clock() {
    const DAY: i64 = 24 * 3_600_000;
    let clock = crate::world::TestClock::at(crate::world::START_MS);
    let of_store = clock.clone();
    let store = Arc::new(MemoryStore::with_clock(move || {
        std::time::UNIX_EPOCH + std::time::Duration::from_millis(of_store.now().unix_ms() as u64)
    }));
    let world = World::on(store.clone(), 8, true);
    let image = Image::mixed(8, BLOCK, BLOCK);
    let made = [world.make(&[("vol", &image)]), world.make(&[("vol", &image)])];
    let signer = world.repository().signer(&world.plan.team).unwrap();
    let mut restore = pin(&world, made[0].id, PinKind::Restore, 1);
    // A machine whose clock is a month behind.
    restore.time = Timestamp::from_unix_ms(world.clock.now().unix_ms() - 30 * DAY);
    store.put(&Key::new(restore.key()).unwrap(), signer.sign(&restore).encode().into()).unwrap();
    let forget = || forget_points(&world.repository(), &[made[0].id], &Default::default(), false);
    assert_eq!(forget().unwrap_err().kind(), "refused", "it is being restored right now");
    clock.advance_ms(8 * DAY);
    assert_eq!(forget().unwrap().forgotten, [made[0].id], "left over for 8 days");
}

/// Where records are lost, as a copy without small files loses them: warned of, a problem, and no reason to give anything up.
#[test]
fn lost_confirmations_are_a_problem_and_no_rubbish() {
    let scene = Scene::new(9);
    for key in scene.store.keys().iter().filter(|key| key.as_str().contains("/confirmed/")) {
        assert!(!scene.store.peek(key).unwrap().is_empty(), "copying tools drop empty files");
        scene.store.lose(key);
    }
    let found = scene.world.verify(false);
    assert_eq!(found.problems.iter().map(|found| found.kind).collect::<Vec<_>>(), ["unconfirmed"; 4]);
    let next = scene.world.make(&[("vol", &scene.image)]);
    assert_eq!(scene.world.find(next.id).unwrap().summary.sequence, 5, "above those without a record");
    assert_eq!(scene.keep_last(&scene.world, 10, false).unwrap().forgotten, []);
    assert_eq!(scene.world.points_and_unconfirmed().len(), 5);
    // One that nobody builds on may be a run that died; one that is built on is not.
    let kinds = |found: &coffer_engine::VerifyReport| {
        found.problems.iter().map(|found| found.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&scene.world.verify(false)), ["unconfirmed"; 2]);
    scene.prune();
    for (entry, made) in scene.entries.iter().zip(&scene.made) {
        scene.world.restore_made(entry, made).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_manifest_that_is_lost_without_a_trace_is_a_problem() {
    let scene = Scene::new(10);
    let lose = |entry: &PointEntry, with_record: bool| {
        scene.store.lose(&Key::new(&entry.key).unwrap());
        if with_record {
            let record = object_key::confirmed(&entry.plan, &entry.id, &entry.summary);
            scene.store.lose(&Key::new(record).unwrap());
        }
    };
    let problems = || -> Vec<(String, Vec<Id>)> {
        scene.world.verify(false).problems.into_iter().map(|found| (found.key, found.points)).collect()
    };
    assert_eq!(problems(), []);
    lose(&scene.entries[3], false);
    assert_eq!(problems(), [(scene.entries[3].key.clone(), vec![scene.made[3].id])], "its record stands");
    lose(&scene.entries[0], true);
    assert_eq!(problems()[1], (scene.entries[0].key.clone(), vec![scene.made[1].id]), "it is built on");
    // What forget takes leaves a trace.
    let other = Scene::new(11);
    forget_points(&other.world.repository(), &[other.made[0].id], &Default::default(), false).unwrap();
    other.world.assert_sound();
}
