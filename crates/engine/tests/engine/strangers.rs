//! Objects that are not ours, and damaged old ones, block nobody; only what deletes stays away from where they lie.

use std::sync::Arc;

use bytes::Bytes;
use coffer_engine::backup::{
    PointRequest, TypeWish, VolumesRequest, back_up_volumes, open_point, run_backup,
};
use coffer_engine::catalog::{Filter, list_points};
use coffer_engine::{
    Clock, ForgetRequest, KeepRules, PruneRequest, VerifyRequest, find_point, forget_by_rules, forget_points,
    hold, run_prune, run_verify,
};
use coffer_format::{BlockSize, Compression};
use coffer_store::{Key, MemoryStore, ObjectStore};
use jiff::tz::TimeZone;

use crate::history::Made;
use crate::prune::Stale;
use crate::world::{Image, Silent, World};

const BLOCK: usize = 16 << 10;

/// Two plans, the first with two chains of which the first is forgotten.
struct Scene {
    world: World,
    other: World,
    store: Arc<MemoryStore>,
    made: Vec<Made>,
    image: Image,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, true).in_small_steps();
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        let image = Image::mixed(seed, 3 * BLOCK, BLOCK);
        let gone = world.make(&[("vol", &image)]);
        let full = world.try_backup_of(TypeWish::Full, &[("vol", &image)]).unwrap();
        let made = vec![Made::new(full.point, &[("vol", &image)])];
        forget_points(&world.repository(), &[gone.id], &Default::default(), false).unwrap();
        let mut other = world.over(store.clone());
        other.plan.plan = "other".parse().unwrap();
        other.make(&[("vol", &image)]);
        Scene { world, other, store, made, image }
    }

    fn put(&self, key: &str) {
        self.store.put(&Key::new(key).unwrap(), Bytes::from_static(b"junk")).unwrap();
    }

    /// Every verb, on both plans.
    fn do_everything(&self, context: &str) {
        for world in [&self.world, &self.other] {
            let repository = world.repository();
            let points = list_points(&repository, &Filter::plan(&world.plan)).unwrap();
            assert!(!points.is_empty(), "{context}");
            let made = world.make(&[("vol", &self.image)]);
            world.assert_all_restore([&made], context);
            let point = find_point(&repository, &Default::default(), made.id).unwrap();
            hold(&repository, &point, "").unwrap();
            let rules = KeepRules { last: Some(9), ..KeepRules::default() };
            let request = ForgetRequest {
                plan: &world.plan,
                rules: &rules,
                as_of: Some(world.clock.now()),
                zone: &TimeZone::UTC,
                dry_run: false,
                unverified: false,
            };
            assert_eq!(forget_by_rules(&repository, &request).unwrap().forgotten, [], "{context}");
        }
        let report = self.world.verify(true);
        assert_eq!(report.problems, [], "{context}");
        assert!(
            report.notices.iter().any(|notice| notice.contains("not an object of this format")),
            "{context}: {:?}",
            report.notices
        );
        self.world.assert_all_restore(&self.made, context);
    }
}

/// Where the issue found that one foreign object stops points, restore and backup of a plan or a team.
#[test]
fn a_strangers_object_blocks_nobody() {
    let id = "01m7ynaym0anananananananan";
    let names = [
        "points/.DS_Store",
        "points/c1/default/web/.nfs0000000012",
        "points/c1/default/web/.01m7ynaym0anananananananan.Xy12",
        "points/vm/.DS_Store",
        "ended/.DS_Store",
        &format!("ended/{id}/x"),
        "ending/.DS_Store",
        "damaged/.DS_Store",
        &format!("damaged/{id}/vol/p0000000x/y"),
        "pins/.DS_Store",
        &format!("pins/{id}/x"),
        "confirmed/.DS_Store",
        "confirmed/c1/default/web/.rsync",
        "data/.DS_Store",
        "data/c1/default/web/.DS_Store",
    ];
    for name in names {
        let scene = Scene::new(1);
        scene.put(&format!("t/default/{name}"));
        scene.do_everything(name);
        let report = run_prune(&scene.world.repository(), &PruneRequest::default()).unwrap();
        assert!(report.objects_deleted > 0, "{name}: it stops no prune");
        scene.world.assert_all_restore(&scene.made, name);
        scene.do_everything(name);
    }
}

#[test]
fn prune_leaves_the_chain_alone_in_which_one_lies() {
    let scene = Scene::new(2);
    let first =
        scene.store.keys().into_iter().find(|key| key.as_str().contains("/data/c1/default/web/")).unwrap();
    let chain = first.as_str().split('/').take(7).collect::<Vec<_>>().join("/");
    scene.put(&format!("{chain}/.DS_Store"));
    let report = run_prune(&scene.world.repository(), &PruneRequest::default()).unwrap();
    assert_eq!(report.objects_deleted, 0);
    assert!(report.notices.iter().any(|notice| notice.contains(".DS_Store")), "{:?}", report.notices);
    scene.do_everything("in a chain");
}

/// What a console's directory markers do to a listing: pages that show nothing and are not the last.
#[test]
fn listings_are_followed_to_their_end() {
    let scene = Scene::new(3);
    for hidden in ["t/default/team.json", "t/default/confirmed/", "t/default/data/c1/default/other/"] {
        let hides = move |key: &str| key.starts_with(hidden);
        let stale: Arc<dyn ObjectStore> =
            Arc::new(Stale { inner: scene.store.clone(), hides: Box::new(hides) });
        let without_key = World { recovery: None, ..scene.world.over(stale.clone()) };
        let report =
            run_verify(&without_key.repository(), &scene.world.resources, &VerifyRequest::default()).unwrap();
        assert_eq!(report.points, 2, "{hidden}: the team and its points are found");
    }
}

#[test]
fn a_damaged_old_manifest_does_not_fail_a_backup_that_is_made_once() {
    let scene = Scene::new(4);
    let old = scene.world.points().into_iter().find(|point| point.plan == scene.world.plan).unwrap();
    scene.world.make(&[("vol", &scene.image)]);
    scene.store.tamper(&Key::new(&old.key).unwrap(), |bytes| bytes[30] ^= 1);
    let once = || {
        scene.world.clock.advance_ms(60_000);
        let mut request = scene.world.request(vec![("vol", Box::new(scene.image.clone()))]);
        request.idempotency_key = Some("monday".into());
        run_backup(&scene.world.repository(), &scene.world.resources, &request).unwrap()
    };
    let first = once();
    let again = once();
    assert!(!first.repeated && again.repeated);
    assert_eq!(first.point, again.point);
}

/// A listing that hides what is there makes no second use of a point reference.
#[test]
fn a_ticket_used_twice_is_refused_by_exact_key() {
    let scene = Scene::new(5);
    scene.world.clock.advance_ms(3_600_000);
    let request = PointRequest {
        resources: Vec::new(),
        resources_only: false,
        plan: scene.world.plan.clone(),
        volumes: vec!["vol".parse().unwrap()],
        type_wish: TypeWish::Full,
        full_every: 24,
        list_base: None,
        snapshot_time: None,
        idempotency_key: None,
        description: String::new(),
        tags: Default::default(),
        writer: "test".into(),
    };
    let coffer_engine::backup::OpenOutcome::New(point) =
        open_point(&scene.world.repository(), &request).unwrap()
    else {
        panic!("nothing was made before");
    };
    let back_up = |world: &World| {
        let volumes = world.request(vec![("vol", Box::new(scene.image.clone()))]).volumes;
        let request = VolumesRequest {
            reference: &point.reference,
            volumes: &volumes,
            changes: Default::default(),
            lists: None,
            block_size: scene.world.block_size,
            compression: Compression::Lz4,
            progress: &Silent,
        };
        back_up_volumes(&world.repository(), &world.resources, &request)
    };
    back_up(&scene.world).unwrap();
    let hides = Box::new(|key: &str| key.contains("/data/"));
    let stale = scene.world.over(Arc::new(Stale { inner: scene.store.clone(), hides }));
    let refused = back_up(&stale).unwrap_err();
    assert!(refused.to_string().contains("begun before under this point"), "{refused}");
}
