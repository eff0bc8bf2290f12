//! `StagedTarget`: what was there stays until the restore begins, and a name is given to whole files only.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::path::{Path, PathBuf};

use coffer_blockio::{BlockTarget, FileTarget, OpenError, StagedTarget, WriteError, leftover_bytes};

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    (directory, path)
}

#[test]
fn a_new_file_has_its_name_when_it_is_whole() {
    let (directory, path) = place();
    let target = StagedTarget::create(&path, 6).unwrap();
    assert!(target.is_fresh() && !target.stays_unfinished());
    target.begin().unwrap();
    target.write_all_at(0, b"abc").unwrap();
    assert_eq!(names(directory.path()), [".disk.img.coffer-partial"]);
    target.finish().unwrap();
    drop(target);
    assert_eq!(names(directory.path()), ["disk.img"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"abc\0\0\0");
}

#[test]
fn a_new_file_that_is_not_finished_is_removed() {
    let (directory, path) = place();
    let target = StagedTarget::create(&path, 6).unwrap();
    target.write_all_at(0, b"abc").unwrap();
    target.flush().unwrap();
    drop(target);
    assert_eq!(names(directory.path()), Vec::<String>::new());
}

#[test]
fn a_name_that_was_taken_meanwhile_is_left_alone() {
    let (directory, path) = place();
    let target = StagedTarget::create(&path, 6).unwrap();
    std::fs::write(&path, "somebody's").unwrap();
    assert!(matches!(target.finish(), Err(WriteError::Rename { .. })));
    drop(target);
    assert_eq!(names(directory.path()), ["disk.img"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
    assert!(matches!(StagedTarget::create(&path, 6), Err(OpenError::Exists { .. })));
}

#[test]
fn what_a_killed_restore_left_is_cleaned_but_not_what_a_live_one_holds() {
    let (directory, path) = place();
    let leftover = directory.path().join(".disk.img.coffer-partial");
    std::fs::write(&leftover, [7; 5000]).unwrap();
    assert!(leftover_bytes(&path).unwrap() >= 4096);
    let live = StagedTarget::create(&path, 6).unwrap();
    assert_eq!(std::fs::read(&leftover).unwrap(), [0; 6]);
    assert!(matches!(StagedTarget::create(&path, 6), Err(OpenError::Busy { .. })));
    assert!(matches!(StagedTarget::resume(&path, 6), Err(OpenError::Busy { .. })));
    drop(live);
    assert_eq!(leftover_bytes(&path), None);
    assert!(StagedTarget::resume(&path, 6).unwrap().is_none());
}

#[test]
fn a_link_in_the_place_of_the_unfinished_file_is_never_followed() {
    let (directory, path) = place();
    let victim = directory.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, directory.path().join(".disk.img.coffer-partial")).unwrap();
    assert!(StagedTarget::create(&path, 6).is_err());
    assert!(StagedTarget::resume(&path, 6).unwrap().is_none());
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_killed_restore_is_gone_on_with_and_its_file_stays_until_it_is_whole() {
    let (directory, path) = place();
    std::fs::write(directory.path().join(".disk.img.coffer-partial"), b"abcdef").unwrap();
    let target = StagedTarget::resume(&path, 6).unwrap().unwrap();
    assert!(!target.is_fresh() && target.stays_unfinished());
    drop(target);
    let target = StagedTarget::resume(&path, 6).unwrap().unwrap();
    target.write_all_at(1, b"X").unwrap();
    target.finish().unwrap();
    drop(target);
    assert_eq!(names(directory.path()), ["disk.img"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"aXcdef");
}

#[test]
fn what_is_replaced_stays_as_it_was_until_the_restore_begins() {
    let (_directory, path) = place();
    std::fs::write(&path, b"before").unwrap();
    let target = StagedTarget::replace(FileTarget::open_existing(&path).unwrap(), 8);
    assert_eq!((target.size_bytes(), target.stays_unfinished()), (8, true));
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    target.begin().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [0; 8]);
    target.write_all_at(6, b"ab").unwrap();
    target.finish().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\0\0\0\0ab");
}

#[test]
fn an_image_that_is_longer_is_cut_at_the_end_and_not_before() {
    let (_directory, path) = place();
    std::fs::write(&path, b"before and behind").unwrap();
    let target = StagedTarget::keep(FileTarget::open_existing(&path).unwrap(), 6);
    assert_eq!(target.cut_bytes(), 11);
    target.begin().unwrap();
    target.write_all_at(0, b"B").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"Before and behind");
    target.finish().unwrap();
    assert_eq!(target.cut_bytes(), 11);
    assert_eq!(std::fs::read(&path).unwrap(), b"Before");
}
