//! What reaches people: nothing steers their terminal, and nobody who stopped reading ends a run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::{ExitStatus, Stdio};

use sandbox::{Sandbox, text};

/// A name with a colour, a line break, the same in eight bits, and text that runs the other way.
const EVIL: &str = "n\u{1b}[31m\nvolume x\u{9b}31m\u{202e}gmi";

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A pipe whose reader is gone.
fn dead_pipe() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

#[track_caller]
fn is_clean(text: &str) {
    let steers = |letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}';
    assert!(!text.contains(steers), "{text:?}");
}

#[test]
fn a_backup_is_made_although_its_log_cannot_be_written() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 300_000, 1);
    // So that there is something to warn of.
    std::fs::set_permissions(sandbox.path("writer.key"), PermissionsExt::from_mode(0o644)).unwrap();
    let words = ["backup", "--repo", "REPO", "--key", "writer.key", "--plan", "web", "disk.img"];
    let told = sandbox.done(&words);
    assert!(told.stderr.contains("writer.key"), "a warning: {}", told.stderr);
    for (number, format) in [(2, "text"), (4, "json")] {
        let mut words = words.to_vec();
        words.extend(["--log-format", format, "--log-level", "debug"]);
        assert!(sandbox.command(&words).stderr(full()).output().unwrap().status.success(), "{format}");
        assert!(sandbox.command(&words).stderr(dead_pipe()).output().unwrap().status.success(), "{format}");
        let points = sandbox.json(&["points", "--repo", "REPO"]);
        assert_eq!(points.as_array().unwrap().len(), 1 + number);
    }
}

#[test]
fn an_error_that_cannot_be_told_keeps_its_status() {
    let sandbox = Sandbox::new();
    let status = |words: &[&str], stdout: Stdio, stderr: Stdio| -> ExitStatus {
        sandbox.command(words).stdin(Stdio::null()).stdout(stdout).stderr(stderr).status().unwrap()
    };
    let full = || Stdio::from(full());
    for words in [&["bogus"][..], &["bogus", "--json"], &[], &["points", "--repo", "file://nowhere"]] {
        assert_eq!(status(words, full(), Stdio::null()).code(), Some(2), "{words:?}");
        assert_eq!(status(words, full(), full()).code(), Some(2), "{words:?}");
        assert_eq!(status(words, dead_pipe(), dead_pipe()).code(), Some(2), "{words:?}");
    }
    assert_eq!(status(&["--help"], dead_pipe(), Stdio::null()).code(), Some(0));
    let missing = ["points", "--repo", "file:///nowhere/at/all", "--json"];
    assert_eq!(status(&missing, full(), full()).code(), Some(4));
}

#[test]
fn a_result_for_nobody_is_no_failure_and_one_for_a_full_disk_is() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 1);
    sandbox.backup(&["disk.img"]);
    let words = ["points", "--repo", "REPO"];
    assert_eq!(sandbox.command(&words).stdout(dead_pipe()).status().unwrap().code(), Some(0));
    let told = sandbox.command(&words).stdout(full()).output().unwrap();
    sandbox::finish(&words, told).ends(1).says("print the result");
}

#[test]
fn names_texts_errors_and_logs_are_shown_without_what_steers_a_terminal() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 1);
    let volume = format!("{EVIL}=disk.img");
    let tag = format!("k={EVIL}");
    let backup = ["backup", "--repo", "REPO", "--key", "writer.key", "--plan", "web", "--log-level", "debug"];
    let more = ["--description", EVIL, "--tag", &tag, "--idempotency-key", EVIL, &volume];
    let made = sandbox.done(&[&backup[..], &more].concat());
    let point = text(&sandbox.json(&["points", "--repo", "REPO"])[0], "point").to_owned();
    let restored = format!("{EVIL}=out.img");
    let missing = format!("{EVIL}x=out.img");
    let restore = ["restore", "--repo", "REPO", "--key", "recovery.key", &point, "--volume"];
    let runs = [
        made,
        sandbox.done(&["points", "--repo", "REPO"]),
        sandbox.done(&["show", "--repo", "REPO", "--key", "writer.key", &point]),
        sandbox.done(&["usage", "--repo", "REPO"]),
        sandbox.done(&["verify", "--repo", "REPO", "--key", "recovery.key", "--read-data"]),
        sandbox.run(&[&restore[..], &[&missing]].concat()).ends(4),
        sandbox.done(&[&restore[..], &[&restored]].concat()),
        sandbox.run(&[EVIL]).ends(2),
        sandbox.run(&["points", "--repo", EVIL]).ends(2),
        sandbox.run(&["points", "--repo", "REPO", "--plan", EVIL]).ends(2),
        sandbox.run(&[&backup[..], &[&format!("gone{EVIL}.img")]].concat()).ends(4),
    ];
    for run in &runs {
        is_clean(&run.text());
        is_clean(&run.stderr);
    }
    let shown = runs[2].text();
    assert!(shown.contains("about      n\\u{1b}[31m\\nvolume x\\u{9b}31m\\u{202e}gmi\n"), "{shown}");
    assert_eq!(runs[1].text().lines().count(), 2, "a heading and one point: {}", runs[1].text());
    // Programs get every byte.
    let shown = sandbox.json(&["show", "--repo", "REPO", &point]);
    assert_eq!(shown["description"], EVIL);
    assert_eq!((&shown["tags"]["k"], &shown["volumes"][0]["name"]), (&EVIL.into(), &EVIL.into()));
}
