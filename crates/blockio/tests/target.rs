//! `FileTarget` over regular files, and what `describe_path` says about them.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use coffer_blockio::{
    Arena, BlockTarget, FileTarget, OpenError, PathKind, SourceKind, WriteError, describe_path,
};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

/// One change of a target.
#[derive(Debug, Clone, Copy)]
enum Change {
    Write { offset: u64, len: usize, shift: usize, byte: u8 },
    Zero { offset: u64, len: usize },
    Flush,
}

fn changes() -> impl Strategy<Value = Change> {
    let place = || (select(&[1_u64, 512, 4096][..]), 0_u64..400_000, 0_usize..150_000);
    prop_oneof![
        (place(), select(&[0_usize, 1, 512][..]), any::<u8>()).prop_map(
            |((granule, offset, len), shift, byte)| {
                Change::Write { offset: offset / granule * granule, len, shift, byte }
            }
        ),
        place().prop_map(|(granule, offset, len)| Change::Zero { offset: offset / granule * granule, len }),
        Just(Change::Flush),
    ]
}

/// Applies the changes to target and model, and compares what is read back through both.
fn check(target: &FileTarget, path: &Path, model: &mut [u8], changes: &[Change]) {
    let arena = Arena::new(4 << 20).unwrap();
    for change in changes {
        match *change {
            Change::Write { offset, len, shift, byte } => {
                let range = clamp(offset, len, model.len());
                let mut buf = arena.alloc(shift + range.len()).unwrap();
                for (index, slot) in buf[shift..].iter_mut().enumerate() {
                    *slot = byte.wrapping_add(index as u8);
                }
                target.write_all_at(range.start as u64, &buf[shift..]).unwrap();
                model[range].copy_from_slice(&buf[shift..]);
            }
            Change::Zero { offset, len } => {
                let range = clamp(offset, len, model.len());
                target.write_zeroes(range.start as u64, range.len() as u64).unwrap();
                model[range].fill(0);
            }
            Change::Flush => target.flush().unwrap(),
        }
    }
    let mut found = arena.alloc(model.len()).unwrap();
    target.read_exact_at(0, &mut found).unwrap();
    assert!(*found == *model, "read back through the target");
    target.flush().unwrap();
    assert!(std::fs::read(path).unwrap() == *model, "read through the standard library");
}

fn clamp(offset: u64, len: usize, size: usize) -> std::ops::Range<usize> {
    let start = (offset as usize).min(size);
    start..start.saturating_add(len).min(size)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_new_image_holds_what_was_written(size in 0_usize..500_000, changes in vec(changes(), 0..12)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let target = FileTarget::create_new(&path, size as u64).unwrap();
        assert!(target.is_fresh());
        check(&target, &path, &mut vec![0; size], &changes);
    }

    #[test]
    fn an_old_image_keeps_what_was_not_written(size in 0_usize..500_000, changes in vec(changes(), 0..12)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        std::fs::write(&path, vec![0x55; size]).unwrap();
        let target = FileTarget::open_existing(&path).unwrap();
        assert!(!target.is_fresh());
        check(&target, &path, &mut vec![0x55; size], &changes);
    }
}

#[test]
fn neighbouring_threads_do_not_undo_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let size = 1_200_007;
    std::fs::write(&path, vec![0xff; size]).unwrap();
    let target = FileTarget::open_existing(&path).unwrap();
    let stride = 10_007;
    std::thread::scope(|scope| {
        for first in 0..4_usize {
            let target = &target;
            scope.spawn(move || {
                for piece in (first..size.div_ceil(stride)).step_by(4) {
                    let range = clamp((piece * stride) as u64, stride, size);
                    target.write_all_at(range.start as u64, &vec![piece as u8; range.len()]).unwrap();
                }
            });
        }
    });
    target.flush().unwrap();
    let found = std::fs::read(&path).unwrap();
    assert!(found.iter().enumerate().all(|(index, byte)| *byte == (index / stride) as u8));
}

#[test]
fn a_new_image_is_private_sparse_and_never_replaces() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let target = FileTarget::create_new(&path, 1 << 40).unwrap();
    assert_eq!((target.size_bytes(), target.kind()), (1 << 40, SourceKind::Image));
    target.flush().unwrap();
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!((found.len(), found.blocks(), found.permissions().mode() & 0o777), (1 << 40, 0, 0o600));
    assert!(matches!(FileTarget::create_new(&path, 5), Err(OpenError::Exists { .. })));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 40);
    let nowhere = directory.path().join("missing/image");
    assert!(matches!(FileTarget::create_new(nowhere, 5), Err(OpenError::NotFound { .. })));
}

#[test]
fn a_new_image_that_cannot_have_its_size_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    assert!(matches!(FileTarget::create_new(&path, u64::MAX), Err(OpenError::Io { .. })));
    assert!(!path.exists());
}

#[test]
fn nothing_is_written_past_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let target = FileTarget::create_new(&path, 1000).unwrap();
    let past_end = |result: Result<(), WriteError>| {
        assert!(matches!(result, Err(WriteError::OutOfRange { size_bytes: 1000, .. })), "{result:?}");
    };
    past_end(target.write_all_at(999, b"ab"));
    past_end(target.write_all_at(u64::MAX, b"ab"));
    past_end(target.write_zeroes(1000, 1));
    past_end(target.write_zeroes(1, u64::MAX));
    target.write_all_at(1000, b"").unwrap();
    target.write_zeroes(1000, 0).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), vec![0; 1000]);
}

#[test]
fn zeroes_take_no_room_where_the_file_system_can_punch_holes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, vec![1; 1 << 20]).unwrap();
    let target = FileTarget::open_existing(&path).unwrap();
    target.flush().unwrap();
    let before = std::fs::metadata(&path).unwrap().blocks();
    target.write_zeroes(0, 1 << 20).unwrap();
    target.flush().unwrap();
    let after = std::fs::metadata(&path).unwrap();
    assert!(after.blocks() < before / 2, "{before} then {}", after.blocks());
    assert_eq!(after.len(), 1 << 20);
}

#[test]
fn an_image_can_be_cut_and_grown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, vec![1; 5000]).unwrap();
    let target = FileTarget::open_existing(&path).unwrap();
    target.set_image_size(100).unwrap();
    target.set_image_size(6000).unwrap();
    assert_eq!(target.size_bytes(), 6000);
    target.write_all_at(5999, b"x").unwrap();
    let expected = [vec![1; 100], vec![0; 5899], b"x".to_vec()].concat();
    assert_eq!(std::fs::read(&path).unwrap(), expected);
}

#[test]
fn two_restores_into_one_image_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let first = FileTarget::create_new(&path, 100).unwrap();
    let error = FileTarget::open_existing(&path).unwrap_err();
    assert!(matches!(&error, OpenError::Busy { .. }), "{error:?}");
    drop(first);
    FileTarget::open_existing(&path).unwrap();
}

#[test]
fn only_files_and_devices_can_be_targets() {
    let directory = tempfile::tempdir().unwrap();
    let error = FileTarget::open_existing(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::WrongKind { kind: PathKind::Directory, .. }));
    assert!(matches!(FileTarget::open_existing("/dev/null"), Err(OpenError::WrongKind { .. })));
    let missing = directory.path().join("missing");
    assert!(matches!(FileTarget::open_existing(missing), Err(OpenError::NotFound { .. })));
}

#[test]
fn paths_are_described() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let missing = describe_path(&path).unwrap();
    assert_eq!((missing.kind, missing.exists, missing.size_bytes), (PathKind::Missing, false, 0));
    assert!(missing.free_bytes > 0);
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let image = describe_path(&path).unwrap();
    assert_eq!((image.kind, image.exists, image.size_bytes), (PathKind::Image, true, 1 << 30));
    assert!(image.allocated_bytes < 1 << 20);
    assert_eq!(image.mounted_or_held, None);
    assert_eq!(describe_path(directory.path()).unwrap().kind, PathKind::Directory);
    assert!(matches!(describe_path(&path.join("below/a/file")), Err(OpenError::Io { .. })));
}
