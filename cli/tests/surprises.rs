//! Names, sizes, limits and hosts that are not what one expects.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use std::process::Command;

use sandbox::{Outcome, Sandbox, finish, text};

const RESTORE: [&str; 9] =
    ["restore", "--repo", "REPO", "--key", "recovery.key", "--plan", "web", "--pick", "latest"];

#[test]
fn a_volume_with_an_equals_sign_in_its_name_is_restored_by_name() {
    let sandbox = Sandbox::new();
    sandbox.init();
    for (name, seed) in [("a=b.img", 1), ("a", 2), ("a=b.img=c", 3)] {
        sandbox.image(name, 100_000, seed);
    }
    let made = sandbox.backup(&["./a=b.img", "./a", "./a=b.img=c"]);
    let named = ["a=b.img=one", "a=two", "a=b.img=c=three"];
    let words = named.iter().flat_map(|word| ["--volume", word]).collect::<Vec<_>>();
    sandbox.done(&[&RESTORE[..], &words].concat());
    for (name, restored) in [("a=b.img", "one"), ("a", "two"), ("a=b.img=c", "three")] {
        assert_eq!(sandbox.read(name), sandbox.read(restored), "{name}");
    }
    let stream = sandbox.done(&[&RESTORE[..], &["--volume", "a=b.img=-"]].concat());
    assert_eq!(stream.stdout, sandbox.read("a=b.img"));
    sandbox.run(&[&RESTORE[..], &["--volume", "z=b=c"]].concat()).ends(4).says("no volume z");
    let twice = ["--volume", "a=b.img=four", "--volume", "a=b.img=five"];
    sandbox.run(&[&RESTORE[..], &twice].concat()).ends(2).says("a=b.img is given twice");

    sandbox.write("changed.json", "[[0,1]]");
    let base = text(&made, "point");
    let list = ["--changes", "list:a=b.img=changed.json", "--list-base", base];
    let listed = sandbox.backup(&[&["./a=b.img", "./a", "./a=b.img=c"][..], &list].concat());
    let changes: Vec<&str> =
        listed["volumes"].as_array().unwrap().iter().map(|volume| text(volume, "changes")).collect();
    assert_eq!(changes[0], "list", "{listed}");
    assert!(changes[1..].iter().all(|changes| *changes != "list"), "{listed}");
}

#[test]
fn a_volume_that_shrank_is_told_and_the_point_before_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 900_000, 1);
    let before = text(&sandbox.backup(&["disk.img"]), "point").to_owned();
    sandbox.image("disk.img", 100_000, 2);
    let words = ["backup", "--repo", "REPO", "--key", "writer.key", "--plan", "web", "--cluster", "host"];
    let made = sandbox.done(&[&words[..], &["disk.img"]].concat());
    let warning = format!("it shrank from 900000 bytes in point {before} to 100000 bytes");
    assert!(
        made.text().contains(&warning) && made.stderr.contains("volume is not as it was"),
        "{}",
        made.stderr
    );
    let points = sandbox.json(&["points", "--repo", "REPO"]);
    let shown = sandbox.done(&["show", "--repo", "REPO", text(&points[1], "point")]);
    assert!(shown.text().contains(&format!("volume disk.img: warning: {warning}")), "{}", shown.text());
    let shown = sandbox.json(&["show", "--repo", "REPO", text(&points[1], "point")]);
    assert_eq!(shown["volumes"][0]["warnings"], serde_json::json!([warning]));
    let forget = ["forget", "--repo", "REPO", "--key", "writer.key"];
    let kept = sandbox.json(&[&forget[..], &["--plan", "web", "--keep-last", "1"]].concat());
    assert_eq!((&kept["forgotten"], kept["kept"].as_array().unwrap().len()), (&serde_json::json!([]), 2));
    assert!(kept.to_string().contains("volume disk.img shrank from 900000 to 100000 bytes"), "{kept}");
    sandbox.done(&[&forget[..], &[&before]].concat());
}

#[test]
fn a_file_past_the_limit_is_an_error_that_names_it() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 3_000_000, 1);
    let limited = |words: &[&str]| -> Outcome {
        let command = sandbox.command(words);
        let mut shell = Command::new("bash");
        shell.args(["-c", "ulimit -f 100 && exec \"$0\" \"$@\""]).arg(command.get_program());
        shell.args(command.get_args()).current_dir(sandbox.path("."));
        finish(words, shell.output().unwrap())
    };
    let backup = ["backup", "--repo", "REPO", "--key", "writer.key", "--plan", "web", "disk.img"];
    limited(&backup).ends(1).says("102400 bytes at most");
    sandbox.done(&backup);
    limited(&[&RESTORE[..], &["--to", "out"]].concat()).says("102400 bytes at most");
    assert_eq!(sandbox.json(&["points", "--repo", "REPO"]).as_array().unwrap().len(), 1);
}

/// The program on a host of this name; none where the system does not let us name one.
fn on_host(sandbox: &Sandbox, host: &str, words: &[&str]) -> Option<Outcome> {
    let command = sandbox.command(words);
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--uts", "sh", "-c", "hostname \"$0\" && exec \"$@\"", host]);
    unshare.arg(command.get_program()).args(command.get_args()).current_dir(sandbox.path("."));
    let outcome = finish(words, unshare.output().ok()?);
    if outcome.status != 0 && outcome.stderr.contains("unshare") {
        eprintln!("skipped: no host name of our own: {}", outcome.stderr);
        return None;
    }
    Some(outcome.ends(0))
}

#[test]
fn a_host_name_that_changes_with_each_run_is_hinted_at() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 1);
    let words = ["backup", "--repo", "REPO", "--key", "writer.key", "--plan", "web", "disk.img"];
    let Some(first) = on_host(&sandbox, "0f3c9ab1d2e4", &words) else { return };
    assert_eq!(first.stderr, "");
    let second = on_host(&sandbox, "77aa01b2c3d4", &words).unwrap();
    let hint = second.last_line();
    assert!(hint.contains("`77aa01b2c3d4`") && hint.contains("--cluster"), "{hint}");
    let third = on_host(&sandbox, "web-server", &words).unwrap();
    assert_eq!(third.stderr, "", "no such name");
    let named = [&words[..], &["--cluster", "88aa01b2c3d4"]].concat();
    assert_eq!(on_host(&sandbox, "88aa01b2c3d4", &named).unwrap().stderr, "", "somebody chose it");
    let quiet = [&words[..], &["--quiet"]].concat();
    assert_eq!(on_host(&sandbox, "99aa01b2c3d4", &quiet).unwrap().stderr, "");
}
