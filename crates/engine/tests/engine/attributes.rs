//! What later programs add: a reader passes over attributes that it does not know, and refuses those that it must not ignore.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_engine::EngineError;
use coffer_engine::catalog::load_manifest;
use coffer_format::{Attributes, Confirmed, Manifest};
use coffer_store::{Key, MemoryStore};

use crate::history::Made;
use crate::world::{Image, World};

fn named(name: &str) -> Attributes {
    BTreeMap::from([(name.to_owned(), "1".to_owned())]).try_into().unwrap()
}

/// A repository with one point, of which a later program wrote the manifest and `add`ed something.
struct Scene {
    world: World,
    image: Image,
    made: Made,
}

impl Scene {
    fn new(seed: u64, add: impl FnOnce(&World, &mut Manifest)) -> Scene {
        let store = Arc::new(MemoryStore::new());
        let world = World::on(store.clone(), seed, true);
        let image = Image::mixed(seed, 3 << 16, 1 << 16);
        let made = world.make(&[("vol", &image)]);
        let point = world.find(made.id).unwrap();
        let mut manifest = load_manifest(&world.repository(), &point).unwrap().payload;
        add(&world, &mut manifest);
        let signer = world.repository().signer(&world.plan.team).unwrap();
        let signed = signer.sign(&manifest);
        assert!(store.tamper(&Key::new(point.key.clone()).unwrap(), |bytes| *bytes = signed.encode()));
        let confirmed = Confirmed {
            format: 1,
            repository: manifest.repository,
            team: manifest.team.clone(),
            cluster: manifest.cluster.clone(),
            namespace: manifest.namespace.clone(),
            plan: manifest.plan.clone(),
            point: manifest.point,
            summary: manifest.summary().encode(),
            manifest: signed.seal.digest,
        };
        let bytes = signer.sign(&confirmed).encode();
        assert!(store.tamper(&Key::new(confirmed.key()).unwrap(), |old| *old = bytes));
        Scene { world, image, made }
    }

    fn restore(&self) -> Result<(), EngineError> {
        self.world.restore_made(&self.world.find(self.made.id).unwrap(), &self.made)
    }
}

fn add_to_volume(name: &'static str) -> impl FnOnce(&World, &mut Manifest) {
    move |world, manifest| {
        let mut record = manifest.volumes[0].payload.clone();
        record.attributes = named(name);
        manifest.volumes[0] = world.repository().signer(&world.plan.team).unwrap().sign(&record);
    }
}

/// Both places where a later program can say that something must be known.
fn musts(seed: u64) -> [Scene; 2] {
    let in_manifest = |_: &World, manifest: &mut Manifest| manifest.attributes = named("must.unfold");
    [Scene::new(seed, add_to_volume("must.unfold")), Scene::new(seed, in_manifest)]
}

#[test]
fn an_attribute_that_must_be_known_is_refused_wherever_it_stands() {
    for scene in musts(1) {
        let error = scene.restore().unwrap_err();
        assert_eq!(error.kind(), "refused", "{error}");
        assert!(error.to_string().contains("must.unfold"), "{error}");
    }
}

#[test]
fn what_cannot_be_read_for_an_attribute_is_said_by_verify_and_not_built_on() {
    for scene in musts(2) {
        let report = scene.world.verify(true);
        assert_eq!(report.problems, []);
        assert!(report.notices.iter().any(|notice| notice.contains("must.unfold")), "{:?}", report.notices);
        let next = scene.world.make(&[("vol", &scene.image)]);
        scene.world.assert_all_restore([&next], "made by this program");
    }
}

#[test]
fn other_attributes_are_passed_over() {
    Scene::new(3, add_to_volume("site")).restore().unwrap();
    Scene::new(4, |_, manifest| manifest.attributes = named("site")).restore().unwrap();
}
