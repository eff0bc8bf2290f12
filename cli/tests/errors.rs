//! Whatever a person gets wrong: the exit status, the last line with the value and the next step, and the same as JSON.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use std::process::Command;

use sandbox::{Sandbox, finish, text};

/// Words, exit status, what the last line says, kind in JSON.
type Case = (&'static str, i32, &'static str, &'static str);

/// A repository with a point, and everything that the cases name. `{point}` and `{absent}` stand for ids.
fn world() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 200_000, 1);
    sandbox.image("small.img", 1000, 2);
    std::fs::create_dir(sandbox.path("directory")).unwrap();
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let point = sandbox.backup(&["disk.img"]);
    let words = [
        "backup",
        "--repo",
        "REPO",
        "--key",
        "writer.key",
        "--plan",
        "web",
        "--cluster",
        "other",
        "disk.img",
    ];
    sandbox.done(&words);
    let other = sandbox.url("other");
    sandbox.done(&["init", "--repo", &other, "--key-out", "other.key"]);
    let open = sandbox.url("open");
    sandbox.done(&["init", "--repo", &open, "--no-encryption"]);
    sandbox.write("broken.key", "{\"format\":\"coffer recovery key 1\"}");
    sandbox.write("far.json", "[[0,1],[199999,2]]");
    sandbox.write("near.json", "[[0,1]]");
    sandbox.write("binary.key", "\u{0}\u{1}");
    nix::unistd::mkfifo(&sandbox.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let point = text(&point, "point").to_owned();
    (sandbox, point)
}

const CASES: &[Case] = &[
    // Addresses and repositories.
    ("points --repo /srv/backup", 2, "write file:///srv/backup", "usage"),
    ("points --repo ftp://host/x", 2, "ftp://", "usage"),
    ("points --repo file://srv/x", 2, "three slashes", "usage"),
    ("points --repo s3://bucket/prefix?regoin=x", 2, "no switch `regoin`", "usage"),
    ("points --repo s3://bucket/prefix?endpoint=ftp://x", 2, "https://host", "usage"),
    ("points --repo file:///nowhere/at/all", 4, "/nowhere/at/all", "store"),
    ("points --repo {url:empty}", 4, "coffer init", "not-found"),
    ("points", 2, "--repo", "usage"),
    ("init --repo REPO --key-out new.key", 6, "already holds a repository", "refused"),
    ("init --repo {url:new}", 2, "--key-out FILE", "usage"),
    ("init --repo {url:new} --key-out recovery.key", 6, "never overwritten", "refused"),
    ("init --repo {url:new} --key-out no/such/dir.key", 2, "no directory no/such", "usage"),
    ("init --repo {url:new} --key-out a.key --writer-key-out a.key", 2, "two files", "usage"),
    ("init --repo {url:new} --key-out a.key --no-encryption", 2, "cannot be used with", "usage"),
    ("init --repo {url:new} --writer-key-out a.key", 2, "--key-out", "usage"),
    // Keys.
    ("backup --repo REPO --plan web disk.img", 2, "--key FILE", "usage"),
    ("backup --repo REPO --key missing.key --plan web disk.img", 2, "no key file missing.key", "usage"),
    ("backup --repo REPO --key broken.key --plan web disk.img", 2, "broken.key", "key-file"),
    ("backup --repo REPO --key binary.key --plan web disk.img", 2, "binary.key", "key-file"),
    ("backup --repo REPO --key directory --plan web disk.img", 1, "read key file directory", "file"),
    ("backup --repo REPO --key other.key --plan web disk.img", 2, "belongs to repository", "usage"),
    ("backup --repo {url:open} --key writer.key --plan web disk.img", 2, "not encrypted", "usage"),
    ("backup --repo REPO --key writer.key --team shop --plan web disk.img", 2, "team", "usage"),
    ("restore --repo REPO --key writer.key {point} --to out", 2, "recovery key", "usage"),
    ("restore --repo REPO {point} --to out", 2, "recovery key", "usage"),
    ("verify --repo REPO --key writer.key --read-data", 2, "recovery key", "usage"),
    ("key writer --key writer.key --writer-key-out x.key", 2, "recovery key", "usage"),
    ("key writer --key recovery.key --writer-key-out writer.key", 6, "never overwritten", "refused"),
    ("key rotate --repo REPO --key writer.key --key-out x.key", 2, "recovery key", "usage"),
    ("key rotate --repo REPO --key recovery.key --finish recovery.key", 2, "generation", "usage"),
    ("key rotate --repo REPO --key recovery.key --key-out writer.key", 6, "never overwritten", "refused"),
    ("key team --repo {url:open} --team shop --key-out x.key", 2, "not encrypted", "usage"),
    ("key team --repo REPO --team default --key-out x.key", 6, "team default exists", "refused"),
    ("key check --repo REPO", 2, "--key FILE", "usage"),
    ("key check --repo REPO --key other.key", 2, "belongs to repository", "usage"),
    ("key show", 2, "--key FILE", "usage"),
    // Backups.
    ("backup --repo REPO --key writer.key disk.img", 2, "--plan", "usage"),
    ("backup --repo REPO --key writer.key --plan Web_1 disk.img", 2, "Web_1", "usage"),
    ("backup --repo REPO --key writer.key --plan web", 2, "<VOLUME>", "usage"),
    ("backup --repo REPO --key writer.key --plan web directory", 2, "is a directory", "usage"),
    ("backup --repo REPO --key writer.key --plan web fifo", 2, "named pipe", "usage"),
    (
        "backup --repo REPO --key writer.key --plan web missing.img",
        4,
        "missing.img does not exist",
        "not-found",
    ),
    (
        "backup --repo REPO --key writer.key --plan web a=disk.img a=small.img",
        2,
        "two volumes are named a",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web disk.img directory/../disk.img",
        2,
        "NAME=PATH",
        "usage",
    ),
    ("backup --repo REPO --key writer.key --plan web name= disk.img", 2, "the path is missing", "usage"),
    (
        "backup --repo REPO --key writer.key --plan new --type incremental disk.img",
        6,
        "no complete point",
        "refused",
    ),
    ("backup --repo REPO --key writer.key --plan web --type weekly disk.img", 2, "weekly", "usage"),
    ("backup --repo REPO --key writer.key --plan web --full-every 257 disk.img", 2, "257", "usage"),
    ("backup --repo REPO --key writer.key --plan web --full-every 0 disk.img", 2, "'0'", "usage"),
    ("backup --repo REPO --key writer.key --plan web --changes cbt disk.img", 2, "list:NAME=FILE", "usage"),
    (
        "backup --repo REPO --key writer.key --plan web --changes list:x.json disk.img",
        2,
        "--list-base POINT",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --changes list: disk.img",
        2,
        "file is missing",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --list-base {point} disk.img",
        2,
        "without a list",
        "usage",
    ),
    ("backup --repo REPO --key writer.key --plan web --sample 9 disk.img", 2, "without a list", "usage"),
    (
        "backup --repo REPO --key writer.key --plan web --changes hash --changes auto disk.img",
        2,
        "give one",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --changes list:x.json --list-base latest disk.img",
        2,
        "26 characters",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --changes list:x.json --list-base {point} --sample 262145 disk.img",
        2,
        "262145",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --changes list:x.json --list-base {point} disk.img",
        2,
        "no list of changes x.json",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --changes list:directory --list-base {point} disk.img",
        1,
        "read list of changes directory",
        "file",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --changes list:x.json --list-base {point} disk.img small.img",
        2,
        "disk.img, small.img",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --changes list:b=x.json --list-base {point} disk.img",
        2,
        "no volume b",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --changes list:a.json --changes list:disk.img=b.json --list-base {point} disk.img",
        2,
        "two lists",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --cluster host --changes list:far.json --list-base {point} disk.img",
        2,
        "list of changes far.json: element 1, counted from 0: [199999,2] goes past the end",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --cluster host --changes list:near.json --list-base {absent} disk.img",
        6,
        "changes begin at point 01aaaaaaaaaaaaaaaaaaaaaaaa",
        "refused",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --cluster host --changes list:near.json --list-base {absent} disk.img",
        6,
        "this run builds on point",
        "refused",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --io libaio disk.img",
        2,
        "auto, uring or pread",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --block-size 100KiB disk.img",
        2,
        "power of two",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --cluster host --block-size 32KiB disk.img",
        2,
        "block size",
        "usage",
    ),
    ("backup --repo REPO --key writer.key --plan web --compression gzip disk.img", 2, "zstd:1", "usage"),
    ("backup --repo REPO --key writer.key --plan web --memory 10MB disk.img", 2, "10MiB?", "usage"),
    ("backup --repo REPO --key writer.key --plan web --memory 10MiB disk.img", 2, "64MiB", "usage"),
    ("backup --repo REPO --key writer.key --plan web --tag nothing disk.img", 2, "KEY=VALUE", "usage"),
    ("backup --repo REPO --key writer.key --plan web --tag a=1 --tag a=2 disk.img", 2, "twice", "usage"),
    (
        "backup --repo REPO --key writer.key --plan web --snapshot-time yesterday disk.img",
        2,
        "2026-11-21T",
        "usage",
    ),
    (
        "backup --repo REPO --key writer.key --plan web --snapshot-time 2999-01-01T00:00:00Z disk.img",
        2,
        "future",
        "usage",
    ),
    ("backup --repo REPO --key writer.key --plan web --limit-read 0 disk.img", 2, "no limit", "usage"),
    // Points.
    ("show --repo REPO {absent}", 4, "there is no point", "not-found"),
    ("show --repo REPO latest", 2, "26 characters", "usage"),
    ("points --repo REPO --since monday", 2, "monday", "usage"),
    ("hold --repo REPO {absent}", 4, "there is no point", "not-found"),
    ("hold --repo REPO {point} --release --note x", 2, "cannot be used with", "usage"),
    ("verify --repo REPO --read-data=200", 2, "up to 100", "usage"),
    ("usage --repo REPO --by month", 2, "month", "usage"),
    // Restores.
    ("restore --repo REPO --key recovery.key --to out", 2, "POINT", "usage"),
    ("restore --repo REPO --key recovery.key {point}", 2, "--volume NAME=TARGET", "usage"),
    ("restore --repo REPO --key recovery.key {absent} --to out", 4, "there is no point", "not-found"),
    (
        "restore --repo REPO --key recovery.key {point} --pick latest --to out",
        2,
        "cannot be used with",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key --plan web --pick latest --to out",
        2,
        "default/host/default/web, default/other",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key --plan none --pick latest --to out",
        4,
        "--plan none",
        "not-found",
    ),
    ("restore --repo REPO --key recovery.key --plan web --pick newest --to out", 2, "newest", "usage"),
    (
        "restore --repo REPO --key recovery.key --plan web --cluster host --pick previous:9 --to out",
        4,
        "1 complete point",
        "not-found",
    ),
    (
        "restore --repo REPO --key recovery.key --plan web --pick latest --time-zone Mars/X --to out",
        2,
        "IANA",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume nope=x.img",
        4,
        "no volume nope; it has disk.img",
        "not-found",
    ),
    ("restore --repo REPO --key recovery.key {point} --volume disk.img", 2, "NAME=TARGET", "usage"),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=small.img",
        6,
        "--overwrite",
        "refused",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=small.img --in-place",
        6,
        "too small",
        "refused",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=directory",
        2,
        "is a directory",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=fifo --overwrite",
        2,
        "named pipe",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=no/dir/x.img",
        2,
        "no directory no/dir",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=x.img --volume disk.img=y.img",
        2,
        "twice",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=x.img --to out",
        2,
        "cannot be used with",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=x.img --overwrite --in-place",
        2,
        "cannot be used with",
        "usage",
    ),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=repo/x.img",
        6,
        "in the repository itself",
        "refused",
    ),
    ("restore --repo REPO --key recovery.key {point} --volume disk.img=- --dry-run", 2, "--dry-run", "usage"),
    (
        "restore --repo REPO --key recovery.key {point} --volume disk.img=- --volume b=x.img",
        2,
        "one volume",
        "usage",
    ),
    ("restore --repo REPO --key recovery.key {point} --to small.img", 2, "no directory", "usage"),
    // Forget and prune.
    ("forget --repo REPO", 2, "--keep-days", "usage"),
    ("forget --repo REPO {point} --keep-last 1", 2, "not both", "usage"),
    ("forget --repo REPO --keep-last 1", 2, "--plan P", "usage"),
    ("forget --repo REPO --plan web --keep-last 1", 2, "several plans", "usage"),
    ("forget --repo REPO --plan none --keep-last 1", 4, "--plan none", "not-found"),
    ("forget --repo REPO --plan web --keep-last 0", 2, "'0'", "usage"),
    (
        "forget --repo REPO --plan web --cluster host --keep-last 1 --as-of 2026-01-01T00:00:00Z",
        2,
        "--force",
        "usage",
    ),
    ("forget --repo REPO --plan web --keep-last 1 --force", 2, "--as-of", "usage"),
    ("forget --repo REPO {absent}", 4, "there is no point", "not-found"),
    ("forget --repo REPO --key writer.key {point}", 6, "newest complete", "refused"),
    // What is signed needs a key.
    ("forget --repo REPO {point}", 2, "--key FILE", "usage"),
    ("forget --repo REPO --plan web --cluster host --keep-last 1", 2, "--unverified", "usage"),
    ("prune --repo REPO", 2, "--key FILE", "usage"),
    ("hold --repo REPO {point}", 2, "--key FILE", "usage"),
    ("hold --repo REPO {point} --release", 2, "--key FILE", "usage"),
    ("prune --repo REPO --abandoned x", 2, "26 characters", "usage"),
    // Looking inside, and measuring.
    ("cat map --repo REPO coffer.json", 2, "no map's key", "usage"),
    ("cat pack --repo REPO t/x", 2, "no pack's key", "usage"),
    ("cat manifest --repo REPO t/x", 2, "no manifest's key", "usage"),
    ("cat manifest --repo REPO {absent}", 4, "there is no point", "not-found"),
    ("cat config --repo REPO t/default/team.json", 5, "team.json", "object-invalid"),
    ("bench read missing.img", 4, "missing.img does not exist", "not-found"),
    ("bench read directory", 2, "directory is a directory", "open"),
    ("bench store --repo REPO --size 1GiB", 2, "128MiB", "usage"),
    ("bench network", 2, "network", "usage"),
    ("completion tcsh", 2, "tcsh", "usage"),
    ("frobnicate", 2, "frobnicate", "usage"),
    ("points --repo REPO --jsn", 2, "--jsn", "usage"),
];

#[test]
fn every_mistake_has_its_status_its_words_and_its_json() {
    let (sandbox, point) = world();
    assert!(CASES.len() >= 40);
    let before = sandbox.files("repo").len();
    let mut wrong = Vec::new();
    for (line, status, says, kind) in CASES {
        let words = expand(&sandbox, line, &point);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outcome = sandbox.run(&words);
        let last = outcome.last_line();
        if outcome.status != *status
            || !last.contains(says)
            || !last.starts_with("coffer: ")
            || !outcome.stdout.is_empty()
        {
            wrong.push(format!("{line}\n  {} instead of {status}, `{says}`: {last}", outcome.status));
        }
        wrong.extend(check_json(&sandbox, &words, *status, says, kind));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(sandbox.files("repo").len(), before, "no mistake leaves anything in the repository");
    for absent in ["new", "out", "x.key", "a.key", "x.img", "y.img"] {
        assert!(!sandbox.path(absent).exists(), "{absent} was made by a command that was refused");
    }
    assert_eq!(sandbox.read("small.img").len(), 1000);
}

fn check_json(sandbox: &Sandbox, words: &[&str], status: i32, says: &str, kind: &str) -> Option<String> {
    let mut words = words.to_vec();
    words.push("--json");
    if words.iter().any(|word| word.ends_with("=-")) {
        return None;
    }
    let outcome = sandbox.run(&words);
    let error = outcome.json()["error"].clone();
    let advice = ["retry", "configure", "corrupt", "fenced", "bug", "not-found", "refused"];
    let fits = outcome.status == status
        && error["kind"] == kind
        && error["message"].as_str().is_some_and(|message| message.contains(says))
        && error["advice"].as_str().is_some_and(|word| advice.contains(&word))
        && error["context"].is_object();
    (!fits).then(|| format!("{} ({}): {error}", words.join(" "), outcome.status))
}

fn expand(sandbox: &Sandbox, line: &str, point: &str) -> Vec<String> {
    let expand = |word: &str| match word.strip_prefix("{url:").and_then(|word| word.strip_suffix('}')) {
        Some(name) => sandbox.url(name),
        None => word.replace("{point}", point).replace("{absent}", "01aaaaaaaaaaaaaaaaaaaaaaaa"),
    };
    line.split(' ').map(expand).collect()
}

#[test]
fn a_secret_in_an_address_is_never_repeated() {
    let sandbox = Sandbox::new();
    for url in ["s3://AKIA:hunter2@bucket/p", "s3://hunter2@bucket", "https://user:hunter2@host/x"] {
        let outcome = sandbox.run(&["points", "--repo", url, "--json"]).ends(2);
        assert!(!format!("{}{}", outcome.stderr, outcome.text()).contains("hunter2"), "{}", outcome.stderr);
    }
}

/// The same command where no file can grow beyond 1 MiB: a guard that fails must not fill this machine's disk.
fn limited(command: Command) -> Command {
    let mut shell = Command::new("sh");
    // POSIX counts in units of 512 bytes, bash in KiB.
    shell
        .args(["-c", "ulimit -f 1024 && exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    shell
}

#[test]
fn volumes_that_do_not_fit_are_refused_before_anything_is_written() {
    let sandbox = Sandbox::new();
    sandbox.init();
    // What is free changes as others come and go; the whole file system is never free.
    let whole = nix::sys::statvfs::statvfs(&sandbox.path("")).unwrap();
    let size = whole.blocks() * whole.fragment_size() + (1 << 30);
    let disk = std::fs::File::create(sandbox.path("disk.img")).unwrap();
    if disk.set_len(size).is_err() {
        eprintln!("skipped: this file system holds no file longer than itself");
        return;
    }
    sandbox.backup(&["disk.img", "--block-size", "1MiB"]);
    let restore = ["restore", "--repo", "REPO", "--key", "recovery.key", "--plan", "web", "--pick", "latest"];
    let dense = [&restore[..], &["--volume", "disk.img=x.img", "--sparse", "never"]].concat();
    finish(&dense, limited(sandbox.command(&dense)).output().unwrap()).ends(6).says("not enough space");
    assert!(!sandbox.path("x.img").exists());
    sandbox.done(&[&restore[..], &["--volume", "disk.img=x.img"]].concat());
    assert_eq!(std::fs::metadata(sandbox.path("x.img")).unwrap().len(), size, "holes need no room");
}
