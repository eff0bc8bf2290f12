//! Clones and their changes on real file systems. The truth is kept in memory, and nothing of the code under test makes it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/image_operations.rs"]
mod image_operations;
#[path = "support/mounted.rs"]
mod mounted;

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use coffer_snapshot::{
    BaseToken, ChangesError, Disposition, Outcome, Probe, ReflinkProvider, Snapshot, SnapshotProvider,
    SnapshotRequest,
};
use image_operations::Image;
use mounted::Mounted;

/// Sequences of each file system; all of them together are more than 300.
const SEQUENCES: u64 = 80;
const STEPS: usize = 5;

fn take(path: &Path) -> Box<dyn Snapshot> {
    let request = SnapshotRequest { path, owner: "team/plan", keep_as_base: true };
    ReflinkProvider.take(&request).unwrap()
}

fn content(snapshot: &dyn Snapshot) -> Vec<u8> {
    let file = snapshot.file().unwrap();
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// As the engine asks: three times where the maps moved.
fn changed(snapshot: &dyn Snapshot, base: &BaseToken) -> Result<Vec<Range<u64>>, ChangesError> {
    for _ in 0..2 {
        match ask(snapshot, base) {
            Err(error) if error.disposition() == Disposition::RetrySame => eprintln!("again: {error}"),
            result => return result,
        }
    }
    ask(snapshot, base)
}

fn ask(snapshot: &dyn Snapshot, base: &BaseToken) -> Result<Vec<Range<u64>>, ChangesError> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    snapshot.changes().unwrap().changed_since(base, &mut |range| {
        assert!(ranges.last().is_none_or(|last| last.end <= range.start), "ranges ascend");
        ranges.push(range);
    })?;
    Ok(ranges)
}

/// Everything that differs is named; returns the bytes that were named.
fn check(base: &[u8], now: &[u8], ranges: &[Range<u64>], what: &str) -> u64 {
    let mut rebuilt = base.to_vec();
    rebuilt.resize(now.len(), 0);
    for range in ranges {
        let range = range.start as usize..(range.end as usize).min(now.len());
        rebuilt[range.clone()].copy_from_slice(&now[range]);
    }
    let wrong = rebuilt.iter().zip(now).position(|(left, right)| left != right);
    assert_eq!(wrong, None, "{what}: a byte changed and is in none of {ranges:?}");
    ranges.iter().map(|range| range.end - range.start).sum()
}

fn sequences(mounted: Option<Mounted>, first_seed: u64, compressed: bool) {
    let Some(mounted) = mounted else { return };
    let (mut ran, mut all_named, mut all_bytes) = (0, 0, 0);
    for seed in first_seed..first_seed + SEQUENCES {
        let path = mounted.path().join(format!("{seed}.img"));
        let mut image = Image::create(&path, seed);
        let mut before: Option<(BaseToken, Vec<u8>)> = None;
        for step in 0..STEPS {
            let snapshot = take(&path);
            let now = content(snapshot.as_ref());
            assert!(now == image.truth, "seed {seed} step {step}: the clone is the image");
            if let Some((token, base)) = &before {
                let ranges = changed(snapshot.as_ref(), token).unwrap();
                let named = check(base, &now, &ranges, &format!("seed {seed} step {step}: {:?}", image.log));
                all_named += named;
                all_bytes += now.len() as u64;
            }
            before = Some((snapshot.changes().unwrap().token().clone(), now));
            snapshot.settle(Outcome::Committed).unwrap();
            image.log.clear();
            (0..4).for_each(|_| image.random_operation());
        }
        drop(image);
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_dir_all(mounted.path().join(".coffer-snapshots")).unwrap();
        ran += 1;
    }
    assert_eq!(ran, SEQUENCES);
    // What is renamed over is all new, so a part of the bytes is always named.
    assert!(compressed || all_named < all_bytes * 3 / 4, "{all_named} of {all_bytes} bytes were named");
    eprintln!("{ran} sequences of {STEPS} snapshots, {} % of the bytes named", all_named * 100 / all_bytes);
}

#[test]
fn random_operations_on_xfs_are_never_under_reported() {
    sequences(Mounted::xfs(true), 1000, false);
}

#[test]
fn random_operations_on_btrfs_are_never_under_reported() {
    sequences(Mounted::btrfs(""), 2000, false);
}

#[test]
fn random_operations_on_compressed_btrfs_are_never_under_reported() {
    sequences(Mounted::btrfs(",compress-force=zstd"), 3000, true);
}

#[test]
fn random_operations_in_a_subvolume_without_checksums_are_never_under_reported() {
    sequences(Mounted::btrfs(",nodatacow"), 4000, false);
}

#[test]
fn small_changes_name_little() {
    for mounted in [Mounted::xfs(true), Mounted::btrfs("")].into_iter().flatten() {
        let path = mounted.path().join("disk.img");
        let mut image = Image::create(&path, 7);
        image.truncate(32 << 20);
        image.write(0, 32 << 20);
        let base = take(&path);
        let token = base.changes().unwrap().token().clone();
        image.write(9 << 20, 100);
        image.punch(20 << 20, 1 << 20);
        let snapshot = take(&path);
        let ranges = changed(snapshot.as_ref(), &token).unwrap();
        let named = check(&content(base.as_ref()), &image.truth, &ranges, "small changes");
        assert!((1 << 20..=(1 << 20) + 65_536).contains(&named), "{named} bytes of {ranges:?}");
        base.settle(Outcome::Failed).unwrap();
        snapshot.settle(Outcome::Failed).unwrap();
        let spool = mounted.path().join(".coffer-snapshots");
        assert!(mounted::is_empty_or_missing(&spool), "failed runs leave nothing");
    }
}

#[test]
fn an_image_that_takes_the_name_of_another_is_compared_by_content() {
    let Some(mounted) = Mounted::xfs(true) else { return };
    let path = mounted.path().join("disk.img");
    let first = Image::create(&path, 1);
    let base = take(&path);
    let token = base.changes().unwrap().token().clone();
    let times = std::fs::metadata(&path).unwrap();
    // Same size, same times, other content.
    let other = mounted.path().join("other.img");
    let mut second = Image::create(&other, 2);
    second.truncate(first.truth.len());
    std::fs::rename(&other, &path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
    let snapshot = take(&path);
    let ranges = changed(snapshot.as_ref(), &token).unwrap();
    check(&first.truth, &second.truth, &ranges, "rename over");
}

#[test]
fn a_base_that_is_gone_replaced_or_written_to_is_no_base() {
    let Some(mounted) = Mounted::xfs(true) else { return };
    let path = mounted.path().join("disk.img");
    let _image = Image::create(&path, 1);
    let base = take(&path);
    let token = base.changes().unwrap().token().clone();
    let clone = mounted.path().join(".coffer-snapshots").join(&token.id);
    let snapshot = take(&path);
    assert_eq!(changed(snapshot.as_ref(), &token).unwrap(), []);
    let refused = |token: &BaseToken| {
        let error = changed(snapshot.as_ref(), token).unwrap_err();
        assert_eq!(error.disposition(), Disposition::NextSource, "{error}");
        error
    };
    let foreign = BaseToken { engine: "zfs".into(), ..token.clone() };
    assert!(matches!(refused(&foreign), ChangesError::ForeignToken { .. }));
    for id in ["../../disk.img", "/etc/passwd", "", &token.id[1..]] {
        let elsewhere = BaseToken { id: id.into(), ..token.clone() };
        assert!(matches!(refused(&elsewhere), ChangesError::BaseMissing { .. }));
    }
    let writer = std::fs::File::options().write(true).open(&clone).unwrap();
    writer.write_all_at(b"x", 0).unwrap();
    assert!(matches!(refused(&token), ChangesError::BaseMismatch { .. }));
    // Another file of the same name and size.
    std::fs::copy(&clone, mounted.path().join("copy")).unwrap();
    std::fs::rename(mounted.path().join("copy"), &clone).unwrap();
    assert!(matches!(refused(&token), ChangesError::BaseMismatch { .. }));
    std::fs::remove_file(&clone).unwrap();
    assert!(matches!(refused(&token), ChangesError::BaseMissing { .. }));
}

#[test]
fn clones_are_kept_as_long_as_somebody_needs_them() {
    let Some(mounted) = Mounted::xfs(true) else { return };
    let path = mounted.path().join("disk.img");
    let _image = Image::create(&path, 1);
    let clones = || {
        let entries = mounted.path().join(".coffer-snapshots").read_dir();
        let mut names: Vec<_> =
            entries.unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let token = |snapshot: &dyn Snapshot| snapshot.changes().unwrap().token().clone();
    let first = take(&path);
    let first_token = token(first.as_ref());
    first.settle(Outcome::Committed).unwrap();
    drop(first);
    // An orphan of a run that died.
    drop(take(&path));
    let other = SnapshotRequest { path: &path, owner: "other", keep_as_base: true };
    let other = ReflinkProvider.take(&other).unwrap();
    let second = take(&path);
    changed(second.as_ref(), &first_token).unwrap();
    second.settle(Outcome::Stored).unwrap();
    let mut expected = vec![first_token.id, token(second.as_ref()).id, token(other.as_ref()).id];
    expected.sort();
    assert_eq!(clones(), expected, "own, base and the other owner's; the orphan is gone");
    let locked = take(&path);
    second.settle(Outcome::Committed).unwrap();
    let mut expected = vec![token(second.as_ref()).id, token(other.as_ref()).id, token(locked.as_ref()).id];
    expected.sort();
    assert_eq!(clones(), expected, "what somebody works with stays");
}

#[test]
fn file_systems_that_share_no_blocks_say_why_not() {
    for mounted in [Mounted::xfs(false), Mounted::ext4()].into_iter().flatten() {
        let path = mounted.path().join("disk.img");
        let _image = Image::create(&path, 1);
        let Probe::Cannot(reason) = ReflinkProvider.probe(&path) else { panic!("clones without reflink") };
        assert!(reason.contains("XFS with reflink and btrfs"), "{reason}");
        let names: Vec<_> = mounted.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains("coffer")), "{names:?}");
    }
}
