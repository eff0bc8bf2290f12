//! What lies in a repository's directory, and what of it no point needs. Follows `docs/format.md`, not the program's code, so that both
//! must agree.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::repository::{Repository, text};

/// Prefixes of the small records of prune and restore, which stay.
const RECORDS: [&str; 4] = ["t/default/ending/", "t/default/ended/", "t/default/pins/", "capabilities/"];
/// What a store may still be writing is cleared after a day.
const SCRATCH_AGE: Duration = Duration::from_secs(25 * 3_600);

/// All files below the root, relative to it, scratch files excepted.
pub fn objects(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(root, root, &mut found);
    found.retain(|name| name != ".reserve" && !name.starts_with(".tmp/") && !name.ends_with('/'));
    found
}

/// Directories without anything in them, scratch directory excepted.
pub fn empty_directories(root: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    walk(root, root, &mut found);
    found.iter().filter(|name| name.ends_with('/') && *name != ".tmp/").cloned().collect()
}

/// Names of scratch files.
pub fn scratch_files(root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join(".tmp")) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Scratch files of uploads that say what they are for: only prune may remove these, and it must.
pub fn listed_uploads(root: &Path) -> Vec<String> {
    let is_whole = |name: &String| {
        let text = std::fs::read_to_string(root.join(".tmp").join(name)).unwrap_or_default();
        name.ends_with(".key") && text.ends_with("\nend\n")
    };
    scratch_files(root).into_iter().filter(is_whole).collect()
}

/// Makes scratch files look as if a day had passed.
pub fn age_scratch_files(root: &Path) {
    let before = SystemTime::now() - SCRATCH_AGE;
    for name in scratch_files(root) {
        let file = std::fs::File::options()
            .write(true)
            .open(root.join(".tmp").join(name))
            .expect("open a scratch file");
        file.set_modified(before).expect("set a scratch file's time");
    }
}

/// Removes the pins that killed restores left, as if their seven days had passed.
pub fn drop_pins(root: &Path) -> usize {
    let pins = objects(root).into_iter().filter(|name| name.starts_with("t/default/pins/"));
    pins.map(|name| std::fs::remove_file(root.join(name)).expect("remove a pin")).count()
}

/// Objects that none of `points` needs and that are no small records.
#[track_caller]
pub fn unneeded(repository: &Repository, points: &[String]) -> Vec<String> {
    let mut needed = BTreeSet::from(["coffer.json".to_owned(), "t/default/team.json".to_owned()]);
    let mut starts: Vec<String> = RECORDS.iter().map(|&prefix| prefix.to_owned()).collect();
    for point in points {
        let manifest = repository.manifest(point);
        let plan = ["cluster", "namespace", "plan"].map(|name| text(&manifest[name])).join("/");
        let chain = format!("t/default/data/{plan}/{}", text(&manifest["chain"]));
        needed.insert(format!("t/default/points/{plan}/{point}"));
        starts.push(format!("t/default/confirmed/{plan}/{point}."));
        starts.push(format!("{chain}/keys/"));
        for volume in manifest["volumes"].as_array().expect("volumes are a list") {
            needed.extend(volume_objects(&chain, &volume["record"]));
        }
    }
    let is_needed =
        |name: &String| needed.contains(name) || starts.iter().any(|start| name.starts_with(start));
    objects(repository.root()).into_iter().filter(|name| !is_needed(name)).collect()
}

/// The map and packs of every point in a volume's lineage, and of unfinished runs the packs that were taken over.
fn volume_objects(chain: &str, record: &Value) -> Vec<String> {
    let name = text(&record["name"]);
    let lineage = record["lineage"].as_array().expect("a lineage is a list");
    let of_entry = |entry: &Value| {
        let start = format!("{chain}/{}/{name}", text(&entry["point"]));
        let pack = |number: u64| format!("{start}/p{number:08}");
        if let Some(ranges) = entry["taken"].as_array() {
            let ends = |range: &Value| [0, 1].map(|end| range[end].as_u64().expect("a range has two ends"));
            return ranges.iter().map(ends).flat_map(|[first, last]| first..=last).map(pack).collect();
        }
        let packs = entry["packs"].as_u64().expect("packs are counted");
        let mut keys = vec![format!("{start}/map")];
        keys.extend((0..packs).map(pack));
        keys
    };
    lineage.iter().flat_map(of_entry).collect()
}

/// Notes files as `a/b` and empty directories as `a/b/`.
fn walk(root: &Path, directory: &Path, found: &mut BTreeSet<String>) {
    let relative =
        |path: &Path| path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
    let mut is_empty = true;
    for entry in
        std::fs::read_dir(directory).expect("read a directory").map(|entry| entry.expect("read an entry"))
    {
        is_empty = false;
        if entry.file_type().expect("a kind").is_dir() {
            walk(root, &entry.path(), found);
        } else {
            found.insert(relative(&entry.path()));
        }
    }
    if is_empty {
        found.insert(format!("{}/", relative(directory)));
    }
}
