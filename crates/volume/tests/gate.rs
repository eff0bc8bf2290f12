//! The gate over directories, links, pipes and swaps; what needs devices is in `node.rs`.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_blockio::testing::refuse_openat2;
use coffer_blockio::{BlockSource, BlockTarget, FileTarget, NewFile, PreadSource};
use coffer_volume::{Access, DeviceClass, Gate, GateError, Opened, Policy};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use tempfile::TempDir;

/// `allowed/` may be read and written, `allowed/fixed/` read, `devices/` holds device nodes; beside them a secret.
struct Place {
    directory: TempDir,
    gate: Gate,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["allowed/fixed", "allowed/deep", "devices/by-id", "outside"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        for name in
            ["allowed/image", "allowed/fixed/image", "allowed/deep/image", "outside/secret", "devices/file"]
        {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let policy = Policy::new()
            .allow_files_below(directory.path().join("allowed"), Access::ReadWrite)
            .and_then(|policy| policy.allow_files_below(directory.path().join("allowed/fixed"), Access::Read))
            .and_then(|policy| policy.allow_devices_below(directory.path().join("devices")))
            .unwrap()
            .allow_class(DeviceClass::Loop, Access::ReadWrite);
        let gate = Gate::new(policy, "/sys").unwrap();
        Self { directory, gate }
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, name: &str) -> Result<Vec<u8>, GateError> {
        let opened = self.gate.open_volume(&self.at(name), Access::Read)?;
        assert_eq!(opened.what, Opened::Image);
        let mut bytes = vec![0; usize::try_from(opened.file.metadata().unwrap().len()).unwrap()];
        opened.file.read_exact_at(&mut bytes, 0).unwrap();
        Ok(bytes)
    }

    fn refusal(&self, name: &str) -> GateError {
        self.gate.open_volume(&self.at(name), Access::Read).unwrap_err()
    }
}

/// Whether the error is of the right sort and its text holds all words.
fn check(error: &GateError, is_expected: fn(&GateError) -> bool, words: &[&str]) {
    let text = error.to_string();
    assert!(is_expected(error), "{error:?}");
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn a_file_below_an_allowed_directory_is_opened_at_any_depth() {
    let place = Place::new();
    for name in ["allowed/image", "allowed/deep/image", "allowed//deep///image", "allowed/fixed/image"] {
        let expected = name.replace("///", "/").replace("//", "/");
        assert_eq!(place.open(name).unwrap(), expected.as_bytes(), "{name}");
    }
}

#[test]
fn only_what_a_rule_names_is_opened() {
    let place = Place::new();
    check(
        &place.refusal("outside/secret"),
        |error| matches!(error, GateError::NotAllowed { .. }),
        &["outside/secret", "/allowed", "/devices", "settings"],
    );
    // A sibling whose name begins with that of an allowed directory.
    fs::create_dir(place.at("allowed-not")).unwrap();
    fs::write(place.at("allowed-not/image"), "x").unwrap();
    check(&place.refusal("allowed-not/image"), |error| matches!(error, GateError::NotAllowed { .. }), &[]);
    check(
        &place.refusal("devices/file"),
        |error| matches!(error, GateError::FileNotAllowed { .. }),
        &["regular file", "/allowed"],
    );
    check(
        &place.refusal("allowed/none"),
        |error| matches!(error, GateError::NotFound { .. }),
        &["allowed/none"],
    );
    let empty = Gate::new(Policy::new(), "/sys").unwrap();
    let error = empty.open_volume(&place.at("allowed/image"), Access::Read).unwrap_err();
    check(&error, |error| matches!(error, GateError::NotAllowed { .. }), &["files: none", "devices: none"]);
}

#[test]
fn the_deeper_rule_counts_and_reading_is_not_writing() {
    let place = Place::new();
    let write = |name: &str| place.gate.open_volume(&place.at(name), Access::ReadWrite);
    assert_eq!(write("allowed/image").unwrap().access, Access::ReadWrite);
    check(
        &write("allowed/fixed/image").unwrap_err(),
        |error| matches!(error, GateError::ReadOnly { .. }),
        &["allowed/fixed", "reading only"],
    );
    let error = place.gate.create_file(&place.at("allowed/fixed/new")).unwrap_err();
    check(&error, |error| matches!(error, GateError::ReadOnly { .. }), &["reading only"]);
    assert!(!place.at("allowed/fixed/new").exists());
}

#[test]
fn paths_that_do_not_say_where_they_lie_are_refused_by_their_text() {
    let place = Place::new();
    for name in [
        "allowed/../outside/secret",
        "allowed/deep/../image",
        "allowed/./image",
        "allowed/..",
        "allowed/deep/..",
    ] {
        check(&place.refusal(name), |error| matches!(error, GateError::BadPath { .. }), &[name, "full path"]);
    }
    let open = |path: &str| place.gate.open_volume(Path::new(path), Access::Read).unwrap_err();
    for path in ["allowed/image", "", "image"] {
        check(&open(path), |error| matches!(error, GateError::BadPath { .. }), &["not an absolute path"]);
    }
    check(
        &place.refusal("allowed/im\0age"),
        |error| matches!(error, GateError::BadPath { .. }),
        &["zero byte"],
    );
}

#[test]
fn no_symbolic_link_is_followed_wherever_it_stands_and_leads() {
    let place = Place::new();
    symlink(place.at("outside"), place.at("allowed/way-out")).unwrap();
    symlink("image", place.at("allowed/near")).unwrap();
    symlink("deep", place.at("allowed/middle")).unwrap();
    symlink("/proc/self/root", place.at("allowed/magic")).unwrap();
    let secret = format!("allowed/magic{}", place.at("outside/secret").display());
    for name in ["allowed/way-out/secret", "allowed/near", "allowed/middle/image", &secret, "allowed/way-out"]
    {
        check(
            &place.refusal(name),
            |error| matches!(error, GateError::SymbolicLink { .. }),
            &[name, "symbolic link"],
        );
    }
    let error = place.gate.create_file(&place.at("allowed/way-out/new")).unwrap_err();
    check(&error, |error| matches!(error, GateError::SymbolicLink { .. }), &[]);
    assert!(!place.at("outside/new").exists());
}

#[test]
fn only_files_and_devices_are_opened_and_no_pipe_blocks() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.at("allowed/pipe"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let _socket = UnixListener::bind(place.at("allowed/socket")).unwrap();
    for (name, word) in [("pipe", "a named pipe"), ("socket", "a socket"), ("deep", "a directory")] {
        check(
            &place.refusal(&format!("allowed/{name}")),
            |error| matches!(error, GateError::WrongKind { .. }),
            &[name, word],
        );
    }
    check(&place.refusal("allowed"), |error| matches!(error, GateError::WrongKind { .. }), &["a directory"]);
    let devices =
        Policy::new().allow_devices_below("/dev").unwrap().allow_class(DeviceClass::Loop, Access::Read);
    let gate = Gate::new(devices, "/sys").unwrap();
    let error = gate.open_volume(Path::new("/dev/null"), Access::Read).unwrap_err();
    check(&error, |error| matches!(error, GateError::WrongKind { .. }), &["/dev/null", "a character device"]);
}

#[test]
fn a_file_with_another_name_may_be_somebody_elses() {
    let place = Place::new();
    fs::hard_link(place.at("outside/secret"), place.at("allowed/taken")).unwrap();
    check(
        &place.refusal("allowed/taken"),
        |error| matches!(error, GateError::OtherNames { links: 2, .. }),
        &["2 names", "copy it"],
    );
    fs::remove_file(place.at("outside/secret")).unwrap();
    assert_eq!(place.open("allowed/taken").unwrap(), b"outside/secret");
}

#[test]
fn stable_names_lead_to_devices_of_allowed_directories_only() {
    let place = Place::new();
    let links = [
        ("to-file", "../file", "is no block device"),
        ("to-secret", "../../outside/secret", "outside of the directories allowed for devices"),
        ("to-image", "../../allowed/image", "outside of the directories allowed for devices"),
        ("absolute", "/etc/hostname", "outside of the directories allowed for devices"),
        ("twice", "to-file", "is a link again"),
        ("climbing", "../../../../../../../../../../../../../../../x", "leads nowhere"),
    ];
    for (name, target, problem) in links {
        symlink(target, place.at("devices/by-id").join(name)).unwrap();
        let error = place.refusal(&format!("devices/by-id/{name}"));
        check(&error, |error| matches!(error, GateError::BadLink { .. }), &[name, target, problem]);
    }
    symlink("../gone", place.at("devices/by-id/gone")).unwrap();
    check(&place.refusal("devices/by-id/gone"), |error| matches!(error, GateError::NotFound { .. }), &[]);
    // Only the last component may be a link.
    symlink("by-id", place.at("devices/by-other")).unwrap();
    check(
        &place.refusal("devices/by-other/to-file"),
        |error| matches!(error, GateError::SymbolicLink { .. }),
        &[],
    );
}

#[test]
fn a_path_that_is_swapped_while_it_is_opened_never_leads_out() {
    let place = Place::new();
    let (inner, aside) = (place.at("allowed/swap"), place.at("aside"));
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("secret"), "inside").unwrap();
    symlink(place.at("outside"), place.at("link")).unwrap();
    let done = AtomicBool::new(false);
    let (opened, wrong) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // The directory goes aside, a link to the secret takes its place, and back.
                fs::rename(&inner, &aside).unwrap();
                fs::rename(place.at("link"), &inner).unwrap();
                fs::rename(&inner, place.at("link")).unwrap();
                fs::rename(&aside, &inner).unwrap();
            }
        });
        let results: Vec<_> = (0..20_000).map(|_| place.open("allowed/swap/secret")).collect();
        done.store(true, Ordering::Relaxed);
        let is_opened =
            |result: &Result<Vec<u8>, GateError>| matches!(result, Ok(bytes) if bytes == b"inside");
        // `Escapes`: the directory had been moved out by the end of the walk, which the kernel notices.
        let is_refused = |result: &Result<Vec<u8>, GateError>| {
            matches!(
                result,
                Err(GateError::SymbolicLink { .. } | GateError::NotFound { .. } | GateError::Escapes { .. })
            )
        };
        let opened = results.iter().filter(|result| is_opened(result)).count();
        let wrong = results.into_iter().find(|result| !is_opened(result) && !is_refused(result));
        (opened, wrong)
    });
    assert!(wrong.is_none(), "{wrong:?}");
    assert!(opened > 0, "the directory was in place sometimes");
}

#[test]
fn what_was_opened_stays_what_it_was_when_the_name_is_given_away() {
    let place = Place::new();
    let opened = place.gate.open_volume(&place.at("allowed/image"), Access::ReadWrite).unwrap();
    fs::rename(place.at("allowed/image"), place.at("allowed/before")).unwrap();
    symlink(place.at("outside/secret"), place.at("allowed/image")).unwrap();
    let source = PreadSource::open_handle(&opened.file, &opened.path).unwrap();
    let mut found = [0; 13];
    source.read_exact_at(0, &mut found).unwrap();
    assert_eq!(&found, b"allowed/image");
    let target = FileTarget::open_existing_handle(&opened.file, &opened.path).unwrap();
    target.write_all_at(0, b"RESTORED").unwrap();
    target.flush().unwrap();
    assert_eq!(fs::read(place.at("outside/secret")).unwrap(), b"outside/secret");
    assert_eq!(fs::read(place.at("allowed/before")).unwrap(), b"RESTOREDimage");
}

#[test]
fn a_new_file_is_made_once_and_becomes_a_target() {
    let place = Place::new();
    let path = place.at("allowed/deep/new");
    let made = place.gate.create_file(&path).unwrap();
    assert_eq!(made.file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(made.name, OsStr::new("new"));
    check(
        &place.gate.create_file(&path).unwrap_err(),
        |error| matches!(error, GateError::Exists { .. }),
        &["exists already"],
    );
    let new = NewFile { file: made.file, directory: made.directory, name: made.name };
    let target = FileTarget::adopt_new(new, &made.path, 8192).unwrap();
    assert!(target.is_fresh());
    target.write_all_at(4096, b"data").unwrap();
    target.flush().unwrap();
    assert_eq!(fs::read(&path).unwrap()[4094..4101], *b"\0\0data\0");
    // In the allowed directory itself, and not where there is none.
    place.gate.create_file(&place.at("allowed/top")).unwrap().file.write_all(b"x").unwrap();
    let error = place.gate.create_file(&place.at("allowed/none/new")).unwrap_err();
    check(&error, |error| matches!(error, GateError::NotFound { .. }), &[]);
    // A dangling link is something, too.
    symlink(place.at("outside/through"), place.at("allowed/dangling")).unwrap();
    let error = place.gate.create_file(&place.at("allowed/dangling")).unwrap_err();
    check(&error, |error| matches!(error, GateError::Exists { .. }), &[]);
    assert!(!place.at("outside/through").exists());
}

#[test]
fn a_rule_about_everything_is_no_rule() {
    let place = Place::new();
    symlink("/", place.at("everything")).unwrap();
    for root in ["/", "//", "relative", "/var/../etc", place.at("everything").to_str().unwrap()] {
        let error = Policy::new().allow_files_below(root, Access::Read).unwrap_err();
        check(&error, |error| matches!(error, GateError::BadRoot { .. }), &[root]);
    }
}

#[test]
fn an_operators_own_link_is_followed_when_the_rule_is_made_and_not_again() {
    let place = Place::new();
    let given = place.at("kubelet");
    symlink(place.at("allowed"), &given).unwrap();
    let policy = Policy::new().allow_files_below(&given, Access::Read).unwrap();
    let gate = Gate::new(policy, "/sys").unwrap();
    let open = |path: PathBuf| gate.open_volume(&path, Access::Read);
    open(given.join("image")).unwrap();
    open(place.at("allowed/image")).unwrap();
    fs::remove_file(&given).unwrap();
    symlink(place.at("outside"), &given).unwrap();
    check(&open(given.join("secret")).unwrap_err(), |error| matches!(error, GateError::NotFound { .. }), &[]);
    open(given.join("image")).unwrap();
}

#[test]
fn without_openat2_there_is_no_gate_and_the_reason_is_named() {
    let check_without = |errno: Errno, is_expected: fn(&GateError) -> bool, word: &str| {
        let place = Place::new();
        std::thread::scope(|scope| {
            let body = || {
                refuse_openat2(errno).unwrap();
                check(&Gate::new(Policy::new(), "/sys").unwrap_err(), is_expected, &["openat2", word]);
                // A gate of before the filter does not fall back to anything either.
                check(&place.refusal("allowed/image"), is_expected, &["openat2", word]);
            };
            scope.spawn(body).join().unwrap();
        });
    };
    check_without(Errno::ENOSYS, |error| matches!(error, GateError::NoOpenat2 { .. }), "Linux 5.6");
    check_without(Errno::EPERM, |error| matches!(error, GateError::Openat2Forbidden { .. }), "seccomp");
}
