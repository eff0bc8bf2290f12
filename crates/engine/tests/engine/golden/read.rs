//! Holds a golden repository against what is expected of it.

use std::path::Path;
use std::sync::Arc;

use coffer_engine::catalog::{Filter, PointEntry, list_points, load_manifest};
use coffer_engine::{RestoreMode, RestoreRequest, RestoreVolume, run_restore};
use coffer_format::{Digest, KeyFile, KeyKind, PointState, VolumeState};
use coffer_store::{Key, MemoryStore, ObjectStore};

use super::{Expected, ExpectedPoint, ExpectedVolume};
use crate::world::{Disk, Silent, World};

/// The repository in `directory` lists the points that are expected, verifies clean, and gives every volume back; with each of its keys.
pub(super) fn check(directory: &Path) {
    let context = directory.display();
    let json = std::fs::read(directory.join("expected.json"))
        .unwrap_or_else(|error| panic!("{context}: {error}; COFFER_WRITE_GOLDEN=1 makes it"));
    let expected: Expected = serde_json::from_slice(&json).unwrap();
    if expected.keys.is_empty() {
        verify(&check_with(directory, &expected, "", None), &expected, &context.to_string());
    }
    let read =
        |name: &String| KeyFile::decode(&std::fs::read_to_string(directory.join(name)).unwrap()).unwrap();
    let newest = expected.keys.iter().map(|name| read(name).generation).max();
    for name in &expected.keys {
        let key = read(name);
        let is_newest = newest == Some(key.generation);
        let world = check_with(directory, &expected, name, Some(key));
        if is_newest {
            verify(&world, &expected, &format!("{context} with {name}"));
        }
    }
}

/// It verifies clean, but for what is none of ours; a recovery key reads all data.
fn verify(world: &World, expected: &Expected, context: &str) {
    let reads = world.recovery.as_ref().is_none_or(|key| key.kind == KeyKind::Recovery);
    let report = world.verify(reads);
    let problems: Vec<&str> = report.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(problems, expected.strange, "{context}: {:?}", report.problems);
    let void = report.notices.iter().filter(|notice| notice.contains("is void")).count();
    assert_eq!(void, expected.void.len(), "{context}: {:?}", report.notices);
}

fn check_with(directory: &Path, expected: &Expected, name: &str, key: Option<KeyFile>) -> World {
    let context = format!("{} with {name:?}", directory.display());
    let mut world = World::new(1, false).over(load(&directory.join("repository")));
    let reads = key.as_ref().is_none_or(|key| key.kind == KeyKind::Recovery);
    world.recovery = key;
    let points =
        list_points(&world.repository(), &Filter { unconfirmed: true, ..Filter::default() }).unwrap();
    assert_eq!(points.len(), expected.points.len(), "{context}");
    let mut opened = 0;
    for expected in &expected.points {
        let point = points.iter().find(|point| point.id.to_string() == expected.point);
        let point = point.unwrap_or_else(|| panic!("{context}: point {} is not listed", expected.point));
        check_point(&world, point, expected, &context);
        if reads && (name.is_empty() || expected.opened_by.iter().any(|key| key == name)) {
            check_volumes(&world, point, &expected.volumes, &context);
            opened += 1;
        }
    }
    assert!(!reads || opened > 0, "{context}: opens nothing");
    world
}

/// The objects below `directory`, in a store of its own.
fn load(directory: &Path) -> Arc<dyn ObjectStore> {
    let store = MemoryStore::new();
    let mut rest = vec![directory.to_owned()];
    while let Some(next) = rest.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
                continue;
            }
            let key = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            store.put(&Key::new(key).unwrap(), std::fs::read(&path).unwrap().into()).unwrap();
        }
    }
    Arc::new(store)
}

fn check_point(world: &World, point: &PointEntry, expected: &ExpectedPoint, context: &str) {
    let context = format!("{context}, point {}", expected.point);
    assert_eq!(point.confirmed, expected.confirmed, "{context}");
    let manifest = load_manifest(&world.repository(), point).unwrap().payload;
    let is_partial = manifest.state == PointState::Partial;
    assert_eq!(if is_partial { "partial" } else { "available" }, expected.state, "{context}");
    let volumes = manifest.volume_records().zip(&expected.volumes);
    for (record, expected) in volumes {
        assert_eq!(
            (record.name.to_string(), record.size),
            (expected.name.clone(), expected.size),
            "{context}"
        );
        assert_eq!(record.state == VolumeState::Failed, expected.blake3.is_none(), "{context}");
    }
    assert_eq!(manifest.volumes.len(), expected.volumes.len(), "{context}");
}

fn check_volumes(world: &World, point: &PointEntry, volumes: &[ExpectedVolume], context: &str) {
    for expected in volumes {
        let Some(digest) = &expected.blake3 else { continue };
        // Onto garbage, so that a block that is not written shows.
        let disk = Disk::filled(usize::try_from(expected.size).unwrap(), 0xa5);
        let volume = RestoreVolume {
            name: expected.name.parse().unwrap(),
            target: Some(Box::new(disk.clone())),
            label: "memory".into(),
            mode: RestoreMode::Write,
            write_all_zeroes: false,
        };
        let request = RestoreRequest { point, volumes: vec![volume], progress: &Silent };
        run_restore(&world.repository(), &world.resources, &request)
            .unwrap_or_else(|error| panic!("{context}, point {}, {}: {error}", point.id, expected.name));
        let restored = Digest::of(&disk.bytes()).to_string();
        assert_eq!(restored, *digest, "{context}, point {}, {}", point.id, expected.name);
    }
}
