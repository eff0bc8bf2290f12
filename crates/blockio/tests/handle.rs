//! Sources and targets of what a descriptor holds: the name it once had does not matter.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;

use coffer_blockio::{
    Arena, BlockSource, BlockTarget, EngineWish, FileTarget, NewFile, OpenError, PathKind, PreadSource,
    SourceOpener, describe_handle,
};
use nix::libc;

/// Takes hold of what is at `path` and nothing else.
fn hold(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path).unwrap()
}

fn new_file(directory: &Path, name: &str) -> NewFile {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(directory.join(name)).unwrap();
    NewFile { file, directory: File::open(directory).unwrap(), name: OsString::from(name) }
}

#[test]
fn what_is_held_is_read_and_written_after_its_name_was_given_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, vec![1; 20_000]).unwrap();
    let held = hold(&path);
    fs::rename(&path, directory.path().join("before")).unwrap();
    fs::write(directory.path().join("other"), vec![2; 20_000]).unwrap();
    symlink("other", &path).unwrap();
    let arena = Arena::new(1 << 20).unwrap();
    for wish in [EngineWish::Pread, EngineWish::Auto] {
        let source = SourceOpener::new(wish, &arena).unwrap().open_handle(&held, &path).unwrap();
        let mut found = vec![0; 20_000];
        source.read_exact_at(0, &mut found).unwrap();
        assert!(found == vec![1; 20_000], "{wish}");
    }
    let target = FileTarget::open_existing_handle(&held, &path).unwrap();
    assert!(!target.is_fresh() && target.path() == path);
    // Whole pages directly, the rest through the page cache: both are the held file.
    target.write_all_at(0, &vec![3; 8192 + 5]).unwrap();
    target.flush().unwrap();
    assert!(fs::read(directory.path().join("other")).unwrap() == vec![2; 20_000]);
    let written = fs::read(directory.path().join("before")).unwrap();
    assert!(written[..8197] == vec![3; 8197] && written[8197..] == vec![1; 20_000 - 8197]);
}

#[test]
fn a_source_outlives_the_handle_it_was_opened_by() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, [7; 100]).unwrap();
    let held = hold(&path);
    let source = PreadSource::open_handle(&held, "the label").unwrap();
    drop(held);
    let mut found = [0; 100];
    source.read_exact_at(0, &mut found).unwrap();
    assert_eq!((found, source.path()), ([7; 100], Path::new("the label")));
    let error = source.read_exact_at(50, &mut found).unwrap_err();
    assert!(error.to_string().contains("the label"), "{error}");
}

#[test]
fn handles_of_anything_else_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for (path, kind) in [
        (directory.path(), PathKind::Directory),
        (&pipe, PathKind::Fifo),
        (Path::new("/dev/null"), PathKind::CharacterDevice),
    ] {
        let held = hold(path);
        let is_expected =
            |error: OpenError| matches!(error, OpenError::WrongKind { kind: found, .. } if found == kind);
        assert!(is_expected(PreadSource::open_handle(&held, path).unwrap_err()), "{kind}");
        assert!(is_expected(FileTarget::open_existing_handle(&held, path).unwrap_err()), "{kind}");
    }
    symlink("pipe", directory.path().join("link")).unwrap();
    let link = hold(&directory.path().join("link"));
    assert!(PreadSource::open_handle(&link, "link").is_err(), "a link that is held is not followed");
}

#[test]
fn a_held_file_in_use_by_another_target_is_busy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, [7; 100]).unwrap();
    let held = hold(&path);
    let first = FileTarget::open_existing(&path).unwrap();
    assert!(matches!(FileTarget::open_existing_handle(&held, &path), Err(OpenError::Busy { .. })));
    drop(first);
    FileTarget::open_existing_handle(&held, &path).unwrap();
}

#[test]
fn a_file_made_by_handle_becomes_a_fresh_target_or_goes_away_again() {
    let directory = tempfile::tempdir().unwrap();
    let target = FileTarget::adopt_new(new_file(directory.path(), "new"), "new", 10_000).unwrap();
    assert!(target.is_fresh() && target.size_bytes() == 10_000);
    target.write_all_at(5000, b"data").unwrap();
    target.flush().unwrap();
    assert_eq!(fs::read(directory.path().join("new")).unwrap()[5000..5004], *b"data");

    // No file system has room for this: the file is removed, and another of its name is not.
    let too_large = FileTarget::adopt_new(new_file(directory.path(), "large"), "large", u64::MAX);
    assert!(matches!(too_large, Err(OpenError::Io { .. })), "{too_large:?}");
    assert!(!directory.path().join("large").exists());
    let new = new_file(directory.path(), "swapped");
    fs::remove_file(directory.path().join("swapped")).unwrap();
    fs::write(directory.path().join("swapped"), "somebody else's").unwrap();
    FileTarget::adopt_new(new, "swapped", u64::MAX).unwrap_err();
    assert_eq!(fs::read(directory.path().join("swapped")).unwrap(), b"somebody else's");

    let new = new_file(directory.path(), "full");
    fs::write(directory.path().join("full"), "contents").unwrap();
    assert!(matches!(FileTarget::adopt_new(new, "full", 100), Err(OpenError::Exists { .. })));
    assert_eq!(fs::read(directory.path().join("full")).unwrap(), b"contents");
}

#[test]
fn what_is_held_is_described_without_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, [7; 100]).unwrap();
    let held = hold(&path);
    fs::remove_file(&path).unwrap();
    let info = describe_handle(&held, &path).unwrap();
    assert_eq!((info.kind, info.exists, info.size_bytes, info.path), (PathKind::Image, true, 100, path));
    assert!(info.free_bytes > 0 && info.mounted_or_held.is_none());
}
