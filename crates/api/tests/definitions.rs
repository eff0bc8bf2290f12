//! The files in `deploy/crds` are what the types say. `UPDATE_DOCS=1` writes them.

use std::path::{Path, PathBuf};

use coffer_api::definitions;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds")
}

#[test]
fn the_files_are_current() {
    let mut names = Vec::new();
    for definition in definitions() {
        let name = format!("{}.yaml", definition.spec.names.plural);
        let path = directory().join(&name);
        let yaml = serde_saphyr::to_string(&definition).unwrap();
        let text = format!("# Generated from crates/api by `make docs`; do not edit.\n{yaml}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(directory()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} is not what the types say: run with UPDATE_DOCS=1", path.display());
        names.push(name);
    }
    let mut there: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "kustomization.yaml")
        .collect();
    there.sort();
    names.sort();
    assert_eq!(there, names);
}

#[test]
fn every_field_has_a_description() {
    for definition in definitions() {
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        let spec = &schema["openAPIV3Schema"]["properties"]["spec"];
        without_description(&definition.spec.names.kind, spec);
    }
}

fn without_description(place: &str, schema: &serde_json::Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, property) in properties {
        let place = format!("{place}.{name}");
        assert!(property["description"].is_string(), "{place} has no description");
        without_description(&place, property);
        without_description(&place, &property["items"]);
    }
}
