//! Every document has exactly the fields that `docs/json.md` lists, and at least those of the contract.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/json_reference.rs"]
mod json_reference;
#[path = "harness/sandbox.rs"]
mod sandbox;

use json_reference::{Reference, reference};
use sandbox::{Sandbox, text};

/// The contract: names that may never go away.
const CONTRACT: &[(&str, &str)] = &[
    ("init", "repository format encrypted capabilities"),
    (
        "backup",
        "point team cluster namespace plan state type type_reason time chain sequence parent volumes objects_written \
         bytes_written requests duration_ms resumed_bytes",
    ),
    (
        "backup volume",
        "name kind type type_reason size read changed stored blocks_changed changes sampled_blocks sample_mismatches",
    ),
    ("requests", "put get list delete multipart"),
    (
        "points",
        "point team cluster namespace plan type type_reason time completed chain sequence parent state size changed \
         stored volumes",
    ),
    ("restore", "point volumes requests duration_ms"),
    ("restored volume", "name target size fetched written skipped zeroed"),
    ("verify", "points packs bytes_read problems notices"),
    ("problem", "kind key detail points"),
    ("forget", "kept forgotten"),
    ("kept point", "point reason"),
    ("prune", "objects_deleted bytes_deleted bytes_kept_for_chains requests"),
    (
        "usage",
        "team points objects bytes full_bytes incremental_bytes metadata_bytes reclaimable_bytes unfinished_upload_bytes",
    ),
    ("error detail", "kind message advice context"),
    ("capabilities", "conditional_put checksum"),
];

#[test]
fn the_reference_keeps_the_contract() {
    let reference = reference();
    for (section, names) in CONTRACT {
        for name in names.split_whitespace() {
            assert!(reference[section].contains(name), "docs/json.md, {section}: {name} is gone");
        }
    }
}

#[test]
fn documents_of_daily_work_have_the_fields_of_the_reference() {
    let reference = Reference(reference());
    let sandbox = Sandbox::new();
    let init = sandbox.json(&[
        "init",
        "--repo",
        "REPO",
        "--key-out",
        "recovery.key",
        "--writer-key-out",
        "writer.key",
    ]);
    reference.check("init", &init, &[]);
    reference.check("capabilities", &init["capabilities"], &[]);
    sandbox.image("disk.img", 200_000, 1);
    sandbox.backup(&["disk.img", "--type", "full"]);
    let backup = sandbox.backup(&["disk.img", "--tag", "a=b"]);
    reference.check("backup", &backup, &[]);
    reference.check("backup volume", &backup["volumes"][0], &[]);
    reference.check("requests", &backup["requests"], &[]);
    let point = text(&backup, "point");
    reference.check("points", &sandbox.json(&["points", "--repo", "REPO"])[0], &[]);
    let show = sandbox.json(&["show", "--repo", "REPO", point]);
    reference.check("show", &show, &[]);
    reference.check("show volume", &show["volumes"][0], &[]);
    reference.check("lineage entry", &show["volumes"][0]["lineage"][0], &["taken"]);
    let restore = sandbox.json(&["restore", "--repo", "REPO", "--key", "recovery.key", point, "--to", "out"]);
    reference.check("restore", &restore, &[]);
    reference.check("restored volume", &restore["volumes"][0], &[]);
    reference.check("hold", &sandbox.json(&["hold", "--repo", "REPO", "--key", "writer.key", point]), &[]);
    let forget = sandbox.json(&[
        "forget",
        "--repo",
        "REPO",
        "--key",
        "writer.key",
        "--plan",
        "web",
        "--keep-last",
        "1",
    ]);
    reference.check("forget", &forget, &[]);
    reference.check("kept point", &forget["kept"][0], &[]);
    reference.check("prune", &sandbox.json(&["prune", "--repo", "REPO", "--key", "writer.key"]), &[]);
    for by in ["team", "cluster", "namespace", "plan", "volume"] {
        let labels = ["cluster", "namespace", "plan", "volume"];
        reference.check("usage", &sandbox.json(&["usage", "--repo", "REPO", "--by", by])[0], &labels);
    }
    let words = ["verify", "--repo", "REPO", "--expect-head", "01aaaaaaaaaaaaaaaaaaaaaaaa", "--json"];
    let verify = sandbox.run(&words).ends(5).json();
    reference.check("verify", &verify, &[]);
    reference.check("problem", &verify["problems"][0], &[]);
    let error =
        sandbox.run(&["show", "--repo", "REPO", "01aaaaaaaaaaaaaaaaaaaaaaaa", "--json"]).ends(4).json();
    reference.check("error", &error, &[]);
    reference.check("error detail", &error["error"], &[]);
}

#[test]
fn documents_of_other_verbs_have_the_fields_of_the_reference() {
    let reference = Reference(reference());
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 200_000, 1);
    let point = sandbox.backup(&["disk.img"]);
    let team = sandbox.json(&["key", "team", "--repo", "REPO", "--team", "shop", "--key-out", "shop.key"]);
    reference.check("key team, key writer, key rotate", &team, &[]);
    let rotate =
        sandbox.json(&["key", "rotate", "--repo", "REPO", "--key", "recovery.key", "--key-out", "2.key"]);
    reference.check("key team, key writer, key rotate", &rotate, &[]);
    sandbox
        .json(&["backup", "--repo", "REPO", "--key", "2.key", "--plan", "web", "disk.img", "--type", "full"]);
    let check =
        sandbox.run(&["key", "check", "--repo", "REPO", "--key", "recovery.key", "--json"]).ends(5).json();
    reference.check("key check", &check, &[]);
    reference.check("chain problem", &check["problems"][0], &[]);
    reference.check("key show", &sandbox.json(&["key", "show", "--key", "2.key"]), &[]);
    let cat = |kind: &str, key: &str| sandbox.json(&["cat", kind, "--repo", "REPO", "--key", "2.key", key]);
    reference.check("cat config, cat manifest", &cat("manifest", text(&point, "point")), &[]);
    let config = sandbox.json(&["cat", "config", "--repo", "REPO"]);
    reference.check("cat config, cat manifest", &config, &["seal", "checked"]);
    let stored = |name: &str| {
        let file = sandbox.files("repo").into_iter().find(|path| path.ends_with(name)).unwrap();
        file.strip_prefix(sandbox.path("repo")).unwrap().to_str().unwrap().to_owned()
    };
    reference.check("cat map", &cat("map", &stored("map")), &["notice"]);
    reference.check("cat pack", &cat("pack", &stored("p00000000")), &["notice"]);
    let doctor = sandbox.json(&["doctor", "--repo", "REPO", "--key", "2.key", "disk.img"]);
    reference.check("doctor", &doctor, &[]);
    reference.check("check", &doctor["checks"][0], &[]);
    reference.check("bench read", &sandbox.json(&["bench", "read", "disk.img"]), &[]);
    reference.check("bench cpu", &sandbox.json(&["bench", "cpu", "disk.img"]), &[]);
    reference.check("bench pipeline", &sandbox.json(&["bench", "pipeline", "disk.img"]), &[]);
    let bench = sandbox.json(&["bench", "store", "--repo", "REPO", "--objects", "2", "--size", "4KiB"]);
    reference.check("bench store", &bench, &[]);
    reference.check("operation", &bench["operations"][0], &[]);
    assert!(
        !sandbox.files("repo").iter().any(|path| path.to_string_lossy().contains("/bench/")),
        "bench leaves nothing"
    );
    reference.check("version", &sandbox.json(&["version"]), &[]);
}

#[test]
fn times_are_utc_with_milliseconds_and_ids_are_text() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 1);
    let backup = sandbox.backup(&["disk.img", "--snapshot-time", "2026-01-02T03:04:05.678+01:00"]);
    assert_eq!(text(&backup, "time"), "2026-01-02T02:04:05.678Z");
    assert_eq!(text(&backup, "point").len(), 26);
    assert!(backup["parent"].is_null());
}
