//! What a restore does to its targets when it cannot finish, and what a salvage brings back, through the program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use sandbox::{Sandbox, text};

const LEN: usize = 500_000;

/// A repository with a point of `a` and `b`, 500,000 bytes each.
fn world() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("a.img", LEN, 1);
    sandbox.image("b.img", LEN, 2);
    let point = text(&sandbox.backup(&["a=a.img", "b=b.img"]), "point").to_owned();
    (sandbox, point)
}

fn object(sandbox: &Sandbox, volume: &str, name: &str) -> PathBuf {
    let end = format!("/{volume}/{name}");
    sandbox.files("repo").into_iter().find(|path| path.to_str().unwrap().ends_with(&end)).unwrap()
}

/// Flips a bit of an object; a second time, it is whole again.
fn flip(sandbox: &Sandbox, object: &PathBuf, at: usize) {
    std::fs::set_permissions(object, std::fs::Permissions::from_mode(0o600)).unwrap();
    let name = object.strip_prefix(sandbox.path("")).unwrap().to_str().unwrap();
    let byte = sandbox.read(name)[at] ^ 1;
    sandbox.patch(name, at as u64, &[byte]);
}

fn restore<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let words = ["restore", "--repo", "REPO", "--key", "recovery.key", "--plan", "web", "--pick", "latest"];
    [&words[..], more].concat()
}

#[test]
fn nothing_is_overwritten_before_all_volumes_can_be_restored() {
    let (sandbox, _) = world();
    let map = object(&sandbox, "b", "map");
    let len = std::fs::metadata(&map).unwrap().len() as usize;
    let before = sandbox.image("old-a", 700_000, 8);
    sandbox.image("old-b", 300, 9);
    let (old_a, old_b) = (sandbox.read("old-a"), sandbox.read("old-b"));
    for at in [len - 100, len - 200] {
        flip(&sandbox, &map, at);
        for mode in ["--overwrite", "--in-place"] {
            let words = match mode {
                "--overwrite" => restore(&["--volume", "a=old-a", "--volume", "b=old-b", mode]),
                _ => restore(&["--volume", "a=old-a", "--volume", "b=new-b", mode]),
            };
            sandbox.run(&words).ends(5).says("no target that existed was changed");
            assert!(sandbox.read("old-a") == old_a && sandbox.read("old-b") == old_b, "{mode}");
        }
        flip(&sandbox, &map, at);
    }
    assert!(!sandbox.path("new-b").exists() && !sandbox.path(".new-b.coffer-partial").exists());
    assert_eq!(std::fs::metadata(before).unwrap().len(), 700_000);
}

#[test]
fn a_key_that_cannot_open_the_chain_changes_nothing() {
    let (sandbox, _) = world();
    sandbox.done(&["key", "rotate", "--repo", "REPO", "--key", "recovery.key", "--key-out", "new.key"]);
    sandbox.done(&[
        "backup",
        "--repo",
        "REPO",
        "--key",
        "new.key",
        "--plan",
        "web",
        "--cluster",
        "host",
        "--type",
        "full",
        "a=a.img",
    ]);
    sandbox.image("old", 700_000, 8);
    let old = sandbox.read("old");
    let outcome = sandbox.run(&restore(&["--volume", "a=old", "--overwrite"]));
    assert_ne!(outcome.status, 0, "{}", outcome.stderr);
    assert!(sandbox.read("old") == old, "{}", outcome.stderr);
}

#[test]
fn a_target_that_is_half_written_is_called_so() {
    let (sandbox, _) = world();
    // The first frame is whole, so it shows in the middle only.
    let pack = object(&sandbox, "a", "p00000000");
    flip(&sandbox, &pack, 200_000);
    sandbox.image("old", 700_000, 8);
    let words = restore(&["--volume", "a=old", "--overwrite"]);
    let outcome = sandbox.run(&words).ends(5).says("old is half-written");
    assert!(outcome.last_line().contains("--salvage"), "{}", outcome.stderr);
    let error = sandbox.run(&[&words[..], &["--json"]].concat()).ends(5).json();
    assert_eq!(error["error"]["context"]["half_written"], "old", "{error}");
    assert_eq!(error["error"]["kind"], "damaged");
    // A new file is not left half-written, it is removed.
    let outcome = sandbox.run(&restore(&["--volume", "a=new"])).ends(5);
    assert!(!outcome.stderr.contains("half-written"), "{}", outcome.stderr);
    let left: Vec<PathBuf> =
        sandbox.files("").into_iter().filter(|path| path.to_str().unwrap().contains("new")).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn a_longer_image_in_place_is_cut_and_the_result_says_so() {
    let (sandbox, _) = world();
    sandbox.image("old", 700_000, 8);
    let report = sandbox.json(&restore(&["--volume", "a=old", "--in-place"]));
    let volume = &report["volumes"][0];
    assert_eq!((volume["cut"].as_u64(), volume["tail"].as_u64()), (Some(200_000), Some(0)), "{report}");
    assert!(sandbox.read("old") == sandbox.read("a.img"));
    sandbox.image("old", 700_000, 8);
    let told = sandbox.done(&restore(&["--volume", "a=old", "--in-place"]));
    assert!(told.text().contains("cut off"), "{}", told.text());
}

#[test]
fn what_a_killed_restore_left_is_gone_on_with_or_cleaned() {
    let (sandbox, _) = world();
    let content = sandbox.read("a.img");
    let mut half = content.clone();
    half[300_000..].fill(0);
    for mode in [&[][..], &["--in-place"], &["--overwrite"]] {
        std::fs::write(sandbox.path(".new.coffer-partial"), &half).unwrap();
        let report = sandbox.json(&[&restore(&["--volume", "a=new"])[..], mode].concat());
        let skipped = report["volumes"][0]["skipped"].as_u64().unwrap();
        assert_eq!(skipped > 200_000, mode == ["--in-place"], "{mode:?}: {report}");
        assert!(sandbox.read("new") == content && !sandbox.path(".new.coffer-partial").exists(), "{mode:?}");
        std::fs::remove_file(sandbox.path("new")).unwrap();
    }
}

#[test]
fn a_salvage_loses_one_block_for_one_bit_and_lists_it() {
    let (sandbox, _) = world();
    flip(&sandbox, &object(&sandbox, "a", "p00000000"), 200_000);
    let content = sandbox.read("a.img");
    let words = restore(&["--to", "out", "--salvage"]);
    let outcome = sandbox.run(&[&words[..], &["--json"]].concat()).ends(5).says("could not be restored");
    let report = outcome.json();
    let volumes = report["volumes"].as_array().unwrap();
    assert_eq!(
        (volumes[0]["lost_bytes"].as_u64(), volumes[1]["lost_bytes"].as_u64()),
        (Some(65_536), Some(0))
    );
    let lost = &volumes[0]["lost"][0];
    let (offset, length) =
        (lost["offset"].as_u64().unwrap() as usize, lost["length"].as_u64().unwrap() as usize);
    assert_eq!((offset % 65_536, length), (0, 65_536), "{report}");
    assert!(text(lost, "key").ends_with("/a/p00000000") && !text(lost, "reason").is_empty(), "{report}");
    let mut expected = content.clone();
    expected[offset..offset + length].fill(0);
    assert!(sandbox.read("out/a") == expected && sandbox.read("out/b") == sandbox.read("b.img"));
    // In place what is lost stays as it was.
    sandbox.image("old", LEN, 8);
    let mut expected = content.clone();
    expected[offset..offset + length].copy_from_slice(&sandbox.read("old")[offset..offset + length]);
    let told = sandbox.run(&restore(&["--volume", "a=old", "--in-place", "--salvage"])).ends(5);
    assert!(
        told.text().contains(&format!("NOT restored: 65536 bytes at offset {offset}")),
        "{}",
        told.text()
    );
    assert!(sandbox.read("old") == expected);
    // What is whole ends with 0.
    sandbox.done(&restore(&["--volume", "b=whole", "--salvage"]));
    sandbox.run(&restore(&["--volume", "b=-", "--salvage"])).ends(2).says("--salvage");
}

#[test]
fn a_volume_whose_manifest_is_lost_comes_back_by_its_map() {
    let (sandbox, point) = world();
    let manifest = sandbox.files("repo").into_iter().find(|path| path.to_str().unwrap().contains("/points/"));
    std::fs::remove_file(manifest.unwrap()).unwrap();
    let map = object(&sandbox, "a", "map");
    let key = map.strip_prefix(sandbox.path("repo")).unwrap().to_str().unwrap().to_owned();
    let words = ["restore", "--repo", "REPO", "--key", "recovery.key", "--salvage", "--map", &key];
    let report = sandbox.json(&[&words[..], &["--volume", "a=back"]].concat());
    assert_eq!(
        (text(&report, "point"), report["volumes"][0]["lost_bytes"].as_u64()),
        (point.as_str(), Some(0))
    );
    assert!(sandbox.read("back") == sandbox.read("a.img"));
    sandbox.run(&[&words[..], &["--volume", "b=x"]].concat()).ends(4).says("the map of volume a");
    sandbox.run(&[&words[..], &["--to", "out"]].concat()).ends(2);
    sandbox.run(&words).ends(2).says("--volume");
    sandbox.run(&[&words[..], &["--volume", "a=back"]].concat()).ends(6).says("--overwrite");
    let without = ["restore", "--repo", "REPO", "--key", "recovery.key", "--map", &key, "--volume", "a=y"];
    sandbox.run(&without).ends(2);
    let writer = words.map(|word| if word == "recovery.key" { "writer.key" } else { word });
    sandbox.run(&[&writer[..], &["--volume", "a=y"]].concat()).ends(2).says("recovery key");
}

#[test]
fn a_reader_that_goes_away_fails_a_restore_to_it_and_is_no_refusal() {
    let (sandbox, _) = world();
    let words = restore(&["--volume", "a=-"]);
    let mut child = sandbox.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let outcome = sandbox::finish(&words, child.wait_with_output().unwrap())
        .ends(1)
        .says("write the volume to the stream");
    assert!(!outcome.stderr.contains("nothing was changed"), "{}", outcome.stderr);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = sandbox.command(&words).stdout(full).output().unwrap();
    sandbox::finish(&words, output).ends(1).says("No space left");
}
