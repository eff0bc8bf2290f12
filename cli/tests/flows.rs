//! What people do with the program from day to day, on real files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox::{Sandbox, text};

#[test]
fn a_full_and_an_incremental_come_back_byte_by_byte() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 3_000_001, 1);
    let first = sandbox.read("disk.img");
    let full = sandbox.backup(&["vdb=disk.img"]);
    sandbox.patch("disk.img", 1_000_000, b"changed");
    let incremental = sandbox.backup(&["vdb=disk.img"]);
    assert_eq!((text(&full, "type"), text(&incremental, "type")), ("full", "incremental"));
    assert_eq!(incremental["parent"], full["point"]);
    assert_eq!(incremental["volumes"][0]["blocks_changed"], 1);

    let restore = ["restore", "--repo", "REPO", "--key", "recovery.key", "--plan", "web"];
    sandbox.done(&[&restore[..], &["--pick", "latest", "--to", "out"]].concat());
    assert_eq!(sandbox.read("out/vdb"), sandbox.read("disk.img"));
    sandbox.done(&[&restore[..], &["--pick", "previous", "--volume", "vdb=older.img"]].concat());
    assert_eq!(sandbox.read("older.img"), first);
    let stream = sandbox.done(&[&restore[..], &["--pick", "oldest", "--volume", "vdb=-"]].concat());
    assert_eq!(stream.stdout, first);

    let in_place = sandbox
        .json(&[&restore[..], &["--pick", "latest", "--volume", "vdb=older.img", "--in-place"]].concat());
    assert_eq!(sandbox.read("older.img"), sandbox.read("disk.img"));
    assert_eq!(in_place["volumes"][0]["written"], 65_536, "one block differs");
    sandbox.image("older.img", 10_000_000, 9);
    sandbox.done(&[&restore[..], &["--pick", "oldest", "--volume", "vdb=older.img", "--overwrite"]].concat());
    assert_eq!(sandbox.read("older.img"), first);
}

#[test]
fn without_encryption_everything_works_without_keys_and_says_so() {
    let sandbox = Sandbox::new();
    let made = sandbox.done(&["init", "--repo", "REPO", "--no-encryption"]);
    assert!(made.text().contains("accidents, not malice"), "{}", made.text());
    sandbox.image("disk.img", 300_000, 2);
    sandbox.done(&["backup", "--repo", "REPO", "--plan", "web", "disk.img"]);
    sandbox.done(&["restore", "--repo", "REPO", "--plan", "web", "--pick", "latest", "--to", "out"]);
    assert_eq!(sandbox.read("out/disk.img"), sandbox.read("disk.img"));
}

#[test]
fn a_dry_run_writes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 200_000, 3);
    sandbox.backup(&["disk.img"]);
    let restore = [
        "restore",
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--plan",
        "web",
        "--pick",
        "latest",
        "--dry-run",
    ];
    for more in [
        &[][..],
        &["--to", "new"],
        &["--volume", "disk.img=new.img"],
        &["--volume", "disk.img=disk.img", "--in-place"],
    ] {
        let before = sandbox.read("disk.img");
        let report = sandbox.json(&[&restore[..], more].concat());
        assert_eq!(report["dry_run"], true);
        assert_eq!(report["volumes"][0]["written"], 200_000);
        assert!(!sandbox.path("new").exists() && !sandbox.path("new.img").exists());
        assert_eq!(sandbox.read("disk.img"), before);
    }
}

#[test]
fn a_volume_that_cannot_be_opened_makes_a_partial_point_that_is_never_picked() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("good.img", 100_000, 4);
    let words = [
        "backup",
        "--repo",
        "REPO",
        "--key",
        "writer.key",
        "--plan",
        "web",
        "good.img",
        "bad=missing.img",
        "--json",
    ];
    let outcome = sandbox.run(&words).ends(3).says("missing.img does not exist");
    let report = outcome.json();
    assert_eq!(text(&report, "state"), "partial");
    assert!(text(&report["volumes"][1], "error").contains("does not exist"));
    let restore = ["restore", "--repo", "REPO", "--key", "recovery.key"];
    sandbox.run(&[&restore[..], &["--plan", "web", "--pick", "latest", "--to", "out"]].concat()).ends(4);
    let point = text(&report, "point");
    sandbox.run(&[&restore[..], &[point, "--to", "out"]].concat()).ends(3).says("not in the point: bad");
    assert_eq!(sandbox.read("out/good.img"), sandbox.read("good.img"));
    sandbox
        .run(&[&restore[..], &[point, "--volume", "bad=x.img"]].concat())
        .ends(4)
        .says("choose another point");
}

#[test]
fn one_idempotency_key_makes_one_point() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 5);
    let first = sandbox.backup(&["disk.img", "--idempotency-key", "run-7"]);
    let second = sandbox.backup(&["disk.img", "--idempotency-key", "run-7"]);
    assert_eq!((&first["point"], &first["repeated"]), (&second["point"], &serde_json::json!(false)));
    assert_eq!(second["repeated"], true);
}

#[test]
fn points_are_forgotten_by_rule_and_by_name_but_not_when_held_or_newest() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 6);
    let points: Vec<String> = (0..4_u8)
        .map(|number| {
            sandbox.patch("disk.img", 0, &[number; 16]);
            text(&sandbox.backup(&["disk.img", "--type", "full"]), "point").to_owned()
        })
        .collect();
    let key = ["--key", "writer.key"];
    sandbox.done(&[&["hold", "--repo", "REPO", &points[0], "--note", "audit"][..], &key].concat());
    let rules = ["forget", "--repo", "REPO", "--plan", "web", "--keep-last", "1"];
    let planned = sandbox.json(&[&rules[..], &["--dry-run"]].concat());
    sandbox.run(&rules).ends(2).says("--unverified");
    let rules = [&rules[..], &key].concat();
    assert_eq!(planned["forgotten"], serde_json::json!([points[1], points[2]]));
    assert_eq!(sandbox.json(&["points", "--repo", "REPO"]).as_array().unwrap().len(), 4);
    sandbox
        .run(&[&["forget", "--repo", "REPO", &points[3]][..], &key].concat())
        .ends(6)
        .says("newest complete");
    sandbox.run(&[&["forget", "--repo", "REPO", &points[0]][..], &key].concat()).ends(6).says("held");
    sandbox.done(&[&["forget", "--repo", "REPO", &points[1]][..], &key].concat());
    assert_eq!(sandbox.json(&rules)["forgotten"], serde_json::json!([points[2]]));
    assert_eq!(
        sandbox.json(&[&["hold", "--repo", "REPO", &points[0], "--release"][..], &key].concat())["released"],
        1
    );
    assert_eq!(sandbox.json(&rules)["forgotten"], serde_json::json!([points[0]]));
    let planned = sandbox.json(&["prune", "--repo", "REPO", "--dry-run"]);
    assert!(planned["bytes_deleted"].as_u64().unwrap() >= 300_000, "{planned}");
    let packs =
        |sandbox: &Sandbox| sandbox.files("repo").iter().filter(|path| path.ends_with("p00000000")).count();
    assert_eq!(packs(&sandbox), 4);
    sandbox.run(&["prune", "--repo", "REPO"]).ends(2).says("--key FILE");
    sandbox.done(&["prune", "--repo", "REPO", "--key", "writer.key"]);
    assert_eq!(packs(&sandbox), 1);
    sandbox.done(&["verify", "--repo", "REPO", "--key", "recovery.key", "--read-data"]);
}

#[test]
fn verify_finds_a_flipped_byte_and_the_next_backup_mends_it() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 500_000, 7);
    let point = sandbox.backup(&["disk.img"]);
    let verify = ["verify", "--repo", "REPO", "--key", "recovery.key", "--read-data", "--json"];
    sandbox.run(&verify).ends(0);
    let pack = sandbox.files("repo").into_iter().find(|path| path.ends_with("p00000000")).unwrap();
    let name = pack.strip_prefix(sandbox.path("")).unwrap().to_str().unwrap().to_owned();
    let mut permissions = std::fs::metadata(&pack).unwrap().permissions();
    permissions.set_mode(0o600);
    std::fs::set_permissions(&pack, permissions).unwrap();
    sandbox.patch(&name, 1000, b"x");
    let report = sandbox.run(&verify).ends(5).says("verify found").json();
    assert_eq!(report["problems"][0]["points"][0], point["point"]);
    let restore = ["restore", "--repo", "REPO", "--key", "recovery.key", "--plan", "web", "--pick", "latest"];
    sandbox.run(&[&restore[..], &["--to", "out"]].concat()).ends(5).says("--salvage");
    sandbox.backup(&["disk.img"]);
    sandbox.done(&[&restore[..], &["--to", "out", "--in-place"]].concat());
    assert_eq!(sandbox.read("out/disk.img"), sandbox.read("disk.img"));
}

#[test]
fn a_newest_point_that_was_taken_away_is_missed_only_by_who_remembers_it() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 8);
    sandbox.backup(&["disk.img"]);
    let newest = sandbox.backup(&["disk.img"]);
    let newest = text(&newest, "point");
    let verify = ["verify", "--repo", "REPO", "--key", "writer.key"];
    sandbox.done(&[&verify[..], &["--expect-head", newest]].concat());
    let remove = |kind: &str| {
        let of_newest = |path: &std::path::PathBuf| path.to_string_lossy().contains(newest);
        let files = sandbox.files(&format!("repo/t/default/{kind}"));
        files.into_iter().filter(of_newest).for_each(|path| std::fs::remove_file(path).unwrap());
    };
    remove("points");
    sandbox.run(&verify).ends(5).says("the manifest is missing, its confirmation stands");
    remove("confirmed");
    sandbox.done(&verify);
    sandbox.run(&[&verify[..], &["--expect-head", newest]].concat()).ends(5).says("head-missing");
}

#[test]
fn teams_do_not_read_each_other() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 10);
    let point = sandbox.backup(&["disk.img"]);
    sandbox.done(&["key", "team", "--repo", "REPO", "--team", "shop", "--key-out", "shop.key"]);
    sandbox.done(&["backup", "--repo", "REPO", "--key", "shop.key", "--plan", "web", "disk.img"]);
    let all = sandbox.json(&["points", "--repo", "REPO"]);
    assert_eq!(all.as_array().unwrap().len(), 2, "without a key all teams are listed");
    let point = text(&point, "point");
    let words = ["restore", "--repo", "REPO", "--key", "shop.key", "--team", "default", point, "--to", "out"];
    sandbox.run(&words).ends(2).says("team");
    sandbox.run(&["key", "team", "--repo", "REPO", "--team", "shop", "--key-out", "again.key"]).ends(6);
    assert!(!sandbox.path("again.key").exists());
}

#[test]
fn after_a_rotation_the_new_key_reads_old_points_and_old_writer_keys_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 11);
    sandbox.backup(&["disk.img"]);
    let rotate = ["key", "rotate", "--repo", "REPO", "--key", "recovery.key"];
    let report = sandbox
        .json(&[&rotate[..], &["--key-out", "second.key", "--writer-key-out", "second-writer.key"]].concat());
    assert_eq!((&report["generation"], &report["chains"]), (&serde_json::json!(2), &serde_json::json!(1)));
    sandbox.done(&[&rotate[..], &["--finish", "second.key"]].concat());
    sandbox.run(&[&rotate[..], &["--key-out", "third.key"]].concat()).ends(6).says("rotated already");
    assert!(!sandbox.path("third.key").exists());
    let backup = |key: &'static str| {
        ["backup", "--repo", "REPO", "--key", key, "--plan", "web", "--cluster", "host", "disk.img"]
    };
    let refused = sandbox.run(&backup("writer.key")).ends(6);
    refused.says("generation 1, which generation 2 replaced").says("coffer key writer --key RECOVERY-KEY");
    sandbox.run(&["key", "check", "--repo", "REPO", "--key", "writer.key"]).ends(6).says("replaced");
    let newer = sandbox.json(&[&backup("second-writer.key")[..], &["--type", "full"]].concat());
    let check = sandbox.json(&["key", "check", "--repo", "REPO", "--key", "second.key"]);
    assert_eq!(check["chains_opened"], 2, "{check}");
    let check =
        sandbox.run(&["key", "check", "--repo", "REPO", "--key", "recovery.key", "--json"]).ends(5).json();
    assert_eq!(check["problems"][0]["chain"], newer["chain"]);
    let shown = sandbox.json(&["key", "show", "--key", "second.key"]);
    assert_eq!(shown["secrets"], serde_json::json!([1]));
    sandbox.done(&[
        "restore",
        "--repo",
        "REPO",
        "--key",
        "second.key",
        "--plan",
        "web",
        "--pick",
        "oldest",
        "--to",
        "out",
    ]);
    assert_eq!(sandbox.read("out/disk.img"), sandbox.read("disk.img"));
    let next = sandbox.json(&backup("second-writer.key"));
    assert_eq!(next["chain"], newer["chain"]);
}

#[test]
fn a_rotation_for_a_leaked_writer_key_brings_new_metadata_secrets_for_new_chains() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 13);
    let before = sandbox.backup(&["disk.img"]);
    sandbox.done(&[
        "key",
        "rotate",
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--writers",
        "--key-out",
        "2.key",
        "--writer-key-out",
        "2w.key",
    ]);
    assert_eq!(sandbox.json(&["key", "show", "--key", "2w.key"])["secrets"], serde_json::json!([1, 2]));
    let backup =
        ["backup", "--repo", "REPO", "--key", "2w.key", "--plan", "web", "--cluster", "host", "disk.img"];
    let after = sandbox.json(&backup);
    assert_eq!(
        (&after["type"], after["chain"] == after["point"]),
        (&serde_json::json!("full"), true),
        "{after}"
    );
    let map = |point: &serde_json::Value| {
        let (chain, id) = (text(point, "chain"), text(point, "point"));
        format!("t/default/data/host/default/web/{chain}/{id}/disk.img/map")
    };
    let cat = |key: &str, object: &str| sandbox.run(&["cat", "map", "--repo", "REPO", "--key", key, object]);
    cat("writer.key", &map(&before)).ends(0);
    cat("writer.key", &map(&after)).ends(2).says("give a key of generation 2 or later");
    cat("2w.key", &map(&before)).ends(0);
    cat("2w.key", &map(&after)).ends(0);
    let check = sandbox.json(&["key", "check", "--repo", "REPO", "--key", "2.key"]);
    assert_eq!(
        (&check["chains_opened"], &check["secrets_generation"]),
        (&serde_json::json!(2), &serde_json::json!(2))
    );
    sandbox.done(&["verify", "--repo", "REPO", "--key", "2.key", "--read-data"]);
}

#[test]
fn key_files_are_private_and_a_writer_key_cannot_make_keys_or_read() {
    let sandbox = Sandbox::new();
    sandbox.init();
    for name in ["recovery.key", "writer.key"] {
        assert_eq!(std::fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    sandbox.done(&["key", "writer", "--key", "recovery.key", "--writer-key-out", "node.key"]);
    let kind = |name: &str| sandbox.json(&["key", "show", "--key", name])["kind"].clone();
    assert_eq!((kind("recovery.key"), kind("node.key")), ("recovery".into(), "writer".into()));
    sandbox
        .run(&["key", "writer", "--key", "node.key", "--writer-key-out", "x.key"])
        .ends(2)
        .says("recovery key");
    sandbox.image("disk.img", 100_000, 12);
    sandbox.done(&["backup", "--repo", "REPO", "--key", "node.key", "--plan", "web", "disk.img"]);
    let words = [
        "restore", "--repo", "REPO", "--key", "node.key", "--plan", "web", "--pick", "latest", "--to", "out",
    ];
    sandbox.run(&words).ends(2).says("recovery key");
    assert!(!sandbox.path("out/disk.img").exists());
    std::fs::set_permissions(sandbox.path("node.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let warned = sandbox.done(&["key", "show", "--key", "node.key"]);
    assert!(warned.stderr.contains("chmod 600"), "{}", warned.stderr);
}

#[test]
fn cat_looks_inside_as_far_as_the_key_allows() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 300_000, 13);
    let point = sandbox.backup(&["disk.img"]);
    let cat = |kind: &str, key: &str, with_key: bool| {
        let mut words = vec!["cat", kind, "--repo", "REPO", key];
        if with_key {
            words.extend(["--key", "writer.key"]);
        }
        sandbox.done(&words).json()
    };
    let manifest = cat("manifest", text(&point, "point"), true);
    assert_eq!((text(&manifest, "checked"), &manifest["payload"]["point"]), ("signature", &point["point"]));
    assert_eq!(text(&cat("manifest", text(&manifest, "key"), false), "checked"), "digest");
    let stored = |name: &str| {
        let file = sandbox.files("repo").into_iter().find(|path| path.ends_with(name)).unwrap();
        file.strip_prefix(sandbox.path("repo")).unwrap().to_str().unwrap().to_owned()
    };
    let map = cat("map", &stored("map"), true);
    assert_eq!(map["extents"][0]["count"], 5, "300,000 bytes are 5 blocks: {map}");
    assert_eq!(map["root"]["volume_size"], 300_000);
    let locked = cat("map", &stored("map"), false);
    assert!(locked["root"].is_null() && text(&locked, "notice").contains("key"), "{locked}");
    let pack = cat("pack", &stored("p00000000"), true);
    assert_eq!(
        (&pack["footer"]["frames"], pack["blocks"].as_array().unwrap().len()),
        (&serde_json::json!(5), 5)
    );
    assert!(cat("pack", &stored("p00000000"), false)["footer"].is_null());
    assert_eq!(sandbox.done(&["cat", "config", "--repo", "REPO"]).json()["payload"]["encrypted"], true);
}

#[test]
fn names_of_volumes_never_lead_out_of_the_directory_of_to() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 14);
    sandbox.backup(&["..=disk.img"]);
    sandbox.done(&[
        "restore",
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--plan",
        "web",
        "--pick",
        "latest",
        "--to",
        "out",
    ]);
    let names: Vec<_> =
        std::fs::read_dir(sandbox.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["%2E."]);
}

#[test]
fn environment_variables_stand_in_for_repo_and_key() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 15);
    let words = ["backup", "--plan", "web", "disk.img"];
    let mut command = sandbox.command(&words);
    command.env("COFFER_REPO", sandbox.url("repo")).env("COFFER_KEY_FILE", sandbox.path("writer.key"));
    sandbox::finish(&words, command.output().unwrap()).ends(0);
}

#[test]
fn an_interrupt_ends_a_restore_with_130_and_says_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.init();
    std::fs::File::create(sandbox.path("disk.img")).unwrap().set_len(2 << 30).unwrap();
    sandbox.backup(&["disk.img"]);
    let words = [
        "restore",
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--plan",
        "web",
        "--pick",
        "latest",
        "--volume",
        "disk.img=-",
    ];
    let mut child = sandbox.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    // The restore has begun and cannot end before its output was read.
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let read = std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    let outcome = sandbox::finish(&words, child.wait_with_output().unwrap()).ends(130).says("cancelled");
    assert!(read < 2 << 30, "{read} bytes came: {}", outcome.stderr);
}

#[test]
fn json_logs_are_json_to_the_last_line() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["points", "--repo", "REPO", "--log-format", "json"]).ends(4);
    let line: serde_json::Value = serde_json::from_str(outcome.last_line()).unwrap();
    assert_eq!((&line["level"], &line["fields"]["status"]), (&"ERROR".into(), &4.into()));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let sandbox = Sandbox::new();
    let mut child = sandbox.command(&["completion", "zsh"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn tags_and_times_filter_points() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 16);
    sandbox.backup(&["disk.img", "--tag", "app=shop", "--snapshot-time", "2025-01-01T00:00:00Z"]);
    sandbox.backup(&["other=disk.img", "--type", "full", "--tag", "app=blog"]);
    let count = |more: &[&str]| {
        sandbox.json(&[&["points", "--repo", "REPO"], more].concat()).as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 2);
    assert_eq!(count(&["--tag", "app=shop"]), 1);
    assert_eq!(count(&["--tag", "app=none"]), 0);
    assert_eq!(count(&["--until", "2025-06-01T00:00:00Z"]), 1);
    assert_eq!(count(&["--since", "2025-06-01T00:00:00+02:00"]), 1);
    assert_eq!(count(&["--volume", "other"]), 1);
}

#[test]
fn verify_of_nothing_is_no_success() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.run(&["verify", "--repo", "REPO"]).ends(4).says("nothing was verified");
    sandbox.image("disk.img", 100_000, 9);
    sandbox.backup(&["disk.img"]);
    sandbox.done(&["verify", "--repo", "REPO"]);
    let none = ["verify", "--repo", "REPO", "--key", "writer.key", "--plan", "none", "--json"];
    let report = sandbox.run(&none).ends(4).json();
    assert_eq!((&report["points"], &report["problems"]), (&serde_json::json!(0), &serde_json::json!([])));
}

/// A forget that cannot sign says so, and rules refuse to decide where signatures would have to.
#[test]
fn forget_without_a_key_goes_by_digests_only_where_that_is_wished() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 9);
    let first = sandbox.backup(&["disk.img"]);
    sandbox.backup(&["disk.img"]);
    let rules = ["forget", "--repo", "REPO", "--plan", "web", "--keep-last", "1"];
    sandbox.run(&rules).ends(2).says("a writer key is enough");
    let outcome = sandbox.done(&[&rules[..], &["--unverified", "--json"]].concat());
    assert!(outcome.stderr.contains("prove no author"), "{}", outcome.stderr);
    assert_eq!(outcome.json()["forgotten"], serde_json::json!([first["point"]]));
    sandbox.done(&["prune", "--repo", "REPO", "--key", "writer.key"]);
    sandbox.done(&["verify", "--repo", "REPO", "--key", "recovery.key", "--read-data"]);
}
