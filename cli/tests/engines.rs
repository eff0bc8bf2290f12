//! The read engines, from outside: the same backup with each, and what happens where io_uring is not allowed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use coffer_blockio::testing::refuse_io_uring;
use coffer_blockio::{Arena, EngineWish, SourceOpener};
use nix::errno::Errno;

use sandbox::Sandbox;

fn has_io_uring() -> bool {
    let opener = SourceOpener::new(EngineWish::Uring, &Arena::new(1 << 20).unwrap());
    opener.inspect_err(|error| eprintln!("skipped: {error}")).is_ok()
}

/// Runs `check` in a thread whose programs have no io_uring.
fn without_io_uring(errno: Errno, check: impl FnOnce() + Send) {
    let body = move || {
        refuse_io_uring(errno).unwrap();
        check();
    };
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}

fn restore(sandbox: &Sandbox, target: &str) -> Vec<u8> {
    let volume = format!("disk={target}");
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
        "--volume",
        &volume,
    ]);
    sandbox.read(target)
}

#[test]
fn each_engine_is_reported_and_backs_the_same_bytes_up() {
    if !has_io_uring() {
        return;
    }
    for (engine, target) in [("uring", "a.img"), ("pread", "b.img")] {
        let sandbox = Sandbox::new();
        sandbox.init();
        // Blocks that changed lie apart, so that a batch has many ranges; the end is not a whole sector.
        let image = sandbox.image("disk.img", (9 << 20) + 777, 1);
        let file = std::fs::File::options().write(true).open(&image).unwrap();
        file.set_len((40 << 20) + 777).unwrap();
        for block in (0..300).step_by(7) {
            sandbox.patch("disk.img", (12 << 20) + block * 65536, &[block as u8 + 1; 65536]);
        }
        let full = sandbox.backup(&["--io", engine, "disk=disk.img"]);
        assert_eq!(full["volumes"][0]["io"], engine);
        sandbox.patch("disk.img", 5 << 20, b"changed");
        let next = sandbox.backup(&["--io", engine, "--changes", "hash", "disk=disk.img"]);
        assert_eq!(
            (&next["volumes"][0]["io"], &next["volumes"][0]["blocks_changed"]),
            (&engine.into(), &1.into())
        );
        assert!(restore(&sandbox, target) == sandbox.read("disk.img"), "{engine}");
    }
}

#[test]
fn where_io_uring_is_refused_auto_reads_with_pread_and_says_why() {
    for (errno, words) in [(Errno::EPERM, "seccomp"), (Errno::ENOSYS, "no io_uring")] {
        without_io_uring(errno, || {
            let sandbox = Sandbox::new();
            sandbox.init();
            sandbox.image("disk.img", 3 << 20, 2);
            let words_of_backup = [
                "backup",
                "--repo",
                "REPO",
                "--key",
                "writer.key",
                "--plan",
                "web",
                "disk=disk.img",
                "--json",
            ];
            let quiet = sandbox.done(&words_of_backup);
            assert_eq!(quiet.json()["volumes"][0]["io"], "pread");
            let told = sandbox.done(&[&words_of_backup[..], &["--log-level", "info"]].concat());
            let line =
                told.stderr.lines().find(|line| line.contains("reading with pread instead of io_uring"));
            assert!(line.is_some_and(|line| line.contains(words)), "{}", told.stderr);
            assert!(restore(&sandbox, "back.img") == sandbox.read("disk.img"));
            let refused = [&words_of_backup[..8], &["--io", "uring"]].concat();
            sandbox.run(&refused).ends(2).says("--io pread").says(words);
        });
    }
}

#[test]
fn the_bench_reads_with_each_engine_whole_and_in_part() {
    if !has_io_uring() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.image("disk.img", (5 << 20) + 100, 3);
    for engine in ["uring", "pread"] {
        let whole = sandbox.json(&["bench", "read", "disk.img", "--io", engine]);
        assert_eq!((&whole["io"], &whole["bytes"]), (&engine.into(), &((5 << 20) + 100).into()));
        let part = sandbox.json(&["bench", "read", "disk.img", "--io", engine, "--every", "16"]);
        assert_eq!((&part["bytes"], &part["every"]), (&(5 * 65536 + 100).into(), &16.into()));
    }
}
