//! Lists of changed ranges on the command line: what is read, what is reported, and what happens when a list lies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use sandbox::{Sandbox, noise, text};
use serde_json::Value;

const BLOCK: usize = 65_536;

fn backed_up() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("a.img", 300 * BLOCK + 1000, 1);
    sandbox.image("b.img", 100 * BLOCK, 2);
    let point = sandbox.backup(&["a.img", "b.img"]);
    (sandbox, text(&point, "point").to_owned())
}

#[track_caller]
fn check_restored(sandbox: &Sandbox, point: &Value) {
    let words = ["restore", "--repo", "REPO", "--key", "recovery.key", text(point, "point"), "--to", "out"];
    sandbox.done(&words);
    for volume in ["a.img", "b.img"] {
        assert!(sandbox.read(&format!("out/{volume}")) == sandbox.read(volume), "{volume}");
    }
}

fn backup(sandbox: &Sandbox, base: &str, more: &[&str]) -> Value {
    sandbox.backup(&[&["a.img", "b.img", "--list-base", base], more].concat())
}

#[test]
fn what_the_lists_name_is_read_and_the_rest_is_the_base() {
    let (sandbox, base) = backed_up();
    sandbox.patch("a.img", 10_000_000, b"changed");
    sandbox.patch("a.img", 300 * BLOCK as u64 + 990, b"the tail");
    sandbox.patch("b.img", 0, b"changed");
    sandbox.write("a.json", &format!("[[{},8],\n [10000000, 7]]\n", 300 * BLOCK + 990));
    sandbox.write("b.json", "[[0, 65537]]");
    let lists = ["--changes", "list:a.img=a.json", "--changes", "list:b.img=b.json", "--sample", "20"];
    let point = backup(&sandbox, &base, &lists);
    assert_eq!(point["parent"], base.as_str());
    let (a, b) = (&point["volumes"][0], &point["volumes"][1]);
    assert_eq!((text(a, "changes"), text(b, "changes")), ("list", "list"));
    assert_eq!((&a["read"], &a["blocks_changed"]), (&(BLOCK + 1000).into(), &2.into()));
    assert_eq!((&b["read"], &b["blocks_changed"]), (&(2 * BLOCK).into(), &1.into()));
    assert_eq!((&a["sampled_blocks"], &a["sample_mismatches"]), (&20.into(), &0.into()));
    check_restored(&sandbox, &point);
    let show = sandbox.json(&["show", "--repo", "REPO", text(&point, "point")]);
    assert_eq!(text(&show["volumes"][0], "changes"), "list");
    sandbox.done(&["verify", "--repo", "REPO", "--key", "recovery.key", "--read-data"]);
}

#[test]
fn a_volume_without_a_list_is_read_as_ever_and_the_default_sample_is_64() {
    let (sandbox, base) = backed_up();
    sandbox.patch("b.img", 50, b"changed");
    sandbox.write("a.json", "[]");
    let point = backup(&sandbox, &base, &["--changes", "list:a.img=a.json", "--changes", "hash"]);
    let (a, b) = (&point["volumes"][0], &point["volumes"][1]);
    assert_eq!((text(a, "changes"), &a["sampled_blocks"], &a["read"]), ("list", &64.into(), &0.into()));
    assert_eq!((text(b, "changes"), &b["sampled_blocks"]), ("hash", &0.into()));
    assert_eq!(b["blocks_changed"], 1);
    check_restored(&sandbox, &point);
}

#[test]
fn a_list_that_lies_is_said_and_read_over() {
    let (sandbox, base) = backed_up();
    sandbox.patch("a.img", 100 * BLOCK as u64, &noise(50 * BLOCK, 9));
    sandbox.write("a.json", "[[0,1]]");
    let words = [
        "backup",
        "--repo",
        "REPO",
        "--key",
        "writer.key",
        "--plan",
        "web",
        "--cluster",
        "host",
        "--changes",
        "list:a.img=a.json",
        "--list-base",
        &base,
        "--sample",
        "262144",
        "--json",
        "a.img",
        "b.img",
    ];
    let outcome = sandbox.done(&words);
    assert!(outcome.stderr.contains("leaves out blocks that had changed"), "{}", outcome.stderr);
    let point = outcome.json();
    let a = &point["volumes"][0];
    assert_eq!((text(a, "changes"), &a["blocks_changed"]), ("hash", &50.into()));
    assert_eq!((&a["sampled_blocks"], &a["sample_mismatches"]), (&300.into(), &50.into()));
    assert!(text(a, "type_reason").contains("the list of changes was refused"), "{a}");
    check_restored(&sandbox, &point);
}

#[test]
fn a_full_reads_everything_and_says_so() {
    let (sandbox, base) = backed_up();
    sandbox.patch("a.img", 0, b"changed");
    sandbox.write("a.json", "[]");
    let point = backup(&sandbox, &base, &["--changes", "list:a.img=a.json", "--type", "full"]);
    let a = &point["volumes"][0];
    assert_eq!(text(a, "type"), "full");
    assert_ne!(text(a, "changes"), "list");
    assert!(text(a, "type_reason").contains("the list of changes was not used"), "{a}");
    check_restored(&sandbox, &point);
}
