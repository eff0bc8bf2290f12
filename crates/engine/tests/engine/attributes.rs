//! What later programs add: a reader passes over attributes that it does not know, and refuses those that it must not ignore.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_engine::EngineError;
use coffer_engine::catalog::load_manifest;
use coffer_format::{Attributes, Manifest};
use coffer_store::{Key, MemoryStore};

use crate::history::Made;
use crate::world::{Image, World};

fn named(name: &str) -> Attributes {
    BTreeMap::from([(name.to_owned(), "1".to_owned())]).try_into().unwrap()
}

/// Restores a point whose manifest a later program wrote, which `add`ed something.
fn restore_with(seed: u64, add: impl FnOnce(&World, &mut Manifest)) -> Result<(), EngineError> {
    let store = Arc::new(MemoryStore::new());
    let world = World::on(store.clone(), seed, true);
    let image = Image::mixed(seed, 3 << 16, 1 << 16);
    let made: Made = world.make(&[("vol", &image)]);
    let point = world.find(made.id).unwrap();
    let mut manifest = load_manifest(&world.repository(), &point).unwrap().payload;
    add(&world, &mut manifest);
    let signed = world.repository().signer(&world.plan.team).unwrap().sign(&manifest);
    assert!(store.tamper(&Key::new(point.key.clone()).unwrap(), |bytes| *bytes = signed.encode()));
    world.restore_made(&point, &made)
}

fn add_to_volume(name: &'static str) -> impl FnOnce(&World, &mut Manifest) {
    move |world, manifest| {
        let mut record = manifest.volumes[0].payload.clone();
        record.attributes = named(name);
        manifest.volumes[0] = world.repository().signer(&world.plan.team).unwrap().sign(&record);
    }
}

#[test]
fn an_attribute_that_must_be_known_is_refused_wherever_it_stands() {
    let refused = |result: Result<(), EngineError>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), "refused", "{error}");
        assert!(error.to_string().contains("must.unfold"), "{error}");
    };
    refused(restore_with(1, add_to_volume("must.unfold")));
    refused(restore_with(2, |_, manifest| manifest.attributes = named("must.unfold")));
}

#[test]
fn other_attributes_are_passed_over() {
    restore_with(3, add_to_volume("site")).unwrap();
    restore_with(4, |_, manifest| manifest.attributes = named("site")).unwrap();
}
