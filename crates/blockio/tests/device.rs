//! Block devices, by loop devices: real sectors, real EIO, real mounts. Needs root and says so where it has none.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use coffer_blockio::{
    Arena, BlockTarget, FileTarget, OpenError, PathKind, ReadError, SourceKind, WriteError, describe_path,
};

#[path = "support/engines.rs"]
mod engines;
#[path = "support/loop_device.rs"]
mod loop_device;

use engines::{read, with_each_engine};
use loop_device::{LoopDevice, Mount, run};

const SIZE: usize = 2 << 20;

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn a_device_reads_the_same_at_any_alignment_and_sector_size() {
    for sector_bytes in [512, 4096] {
        let Some(device) = LoopDevice::try_new("device reads", SIZE as u64, sector_bytes) else { return };
        let contents = pattern(SIZE);
        File::options().write(true).open(&device.backing).unwrap().write_all_at(&contents, 0).unwrap();
        with_each_engine(&device.path, |source| {
            assert!(source.is_direct() && !source.knows_holes());
            assert_eq!((source.kind(), source.size_bytes()), (SourceKind::Device, SIZE as u64));
            assert_eq!(source.data_ranges(5, 1 << 30).unwrap(), vec![5..SIZE as u64]);
            for (offset, len, shift) in [
                (0, SIZE, 0),
                (0, SIZE, 1),
                (1, SIZE - 1, 0),
                (4095, 2, 0),
                (511, 600_000, 3),
                (SIZE - 1, 1, 0),
                (65536, 65536, 0),
            ] {
                let found = read(source, offset as u64, len, shift).unwrap();
                assert!(found == contents[offset..offset + len], "{sector_bytes}: {offset} {len} {shift}");
            }
            let past_end = read(source, SIZE as u64 - 10, 20, 0).unwrap_err();
            assert!(matches!(past_end, ReadError::Short { read_bytes: 10, .. }), "{past_end:?}");
        });
    }
}

#[test]
fn a_device_holds_what_was_written_at_any_alignment() {
    for sector_bytes in [512, 4096] {
        let Some(device) = LoopDevice::try_new("device writes", SIZE as u64, sector_bytes) else { return };
        let target = FileTarget::open_existing(&device.path).unwrap();
        assert!(target.is_direct() && !target.is_fresh());
        let mut model = vec![0x55; SIZE];
        target.write_all_at(0, &model).unwrap();
        let arena = Arena::new(4 << 20).unwrap();
        for (offset, len, shift) in [
            (0, 8192, 0),
            (1, 511, 0),
            (4095, 2, 0),
            (10_000, 700_001, 5),
            (4096, 512, 0),
            (SIZE - 513, 513, 1),
        ] {
            let mut buf = arena.alloc(shift + len).unwrap();
            buf[shift..].copy_from_slice(&pattern(len));
            target.write_all_at(offset as u64, &buf[shift..]).unwrap();
            model[offset..offset + len].copy_from_slice(&buf[shift..]);
        }
        for (offset, len) in [(100_000, 300_000), (1_500_001, 5), (1_600_000, 4096 * 3 + 1), (SIZE - 1, 1)] {
            target.write_zeroes(offset as u64, len as u64).unwrap();
            model[offset..offset + len].fill(0);
        }
        let mut found = arena.alloc(SIZE).unwrap();
        target.read_exact_at(0, &mut found).unwrap();
        assert!(*found == model, "read back through the target, sectors of {sector_bytes}");
        target.flush().unwrap();
        drop(target);
        assert!(
            std::fs::read(&device.backing).unwrap() == model,
            "read from behind, sectors of {sector_bytes}"
        );
    }
}

#[test]
fn threads_that_share_sectors_do_not_undo_each_other() {
    let Some(device) = LoopDevice::try_new("shared sectors", SIZE as u64, 4096) else { return };
    let target = FileTarget::open_existing(&device.path).unwrap();
    let stride = 5003;
    std::thread::scope(|scope| {
        for first in 0..4_usize {
            let target = &target;
            scope.spawn(move || {
                for piece in (first..SIZE.div_ceil(stride)).step_by(4) {
                    let start = piece * stride;
                    let len = stride.min(SIZE - start);
                    target.write_all_at(start as u64, &vec![piece as u8; len]).unwrap();
                }
            });
        }
    });
    target.flush().unwrap();
    let found = std::fs::read(&device.backing).unwrap();
    assert!(found.iter().enumerate().all(|(index, byte)| *byte == (index / stride) as u8));
}

#[test]
fn a_device_has_a_fixed_size_and_nothing_is_written_past_it() {
    let Some(device) = LoopDevice::try_new("device size", SIZE as u64, 512) else { return };
    let target = FileTarget::open_existing(&device.path).unwrap();
    assert_eq!(target.size_bytes(), SIZE as u64);
    assert!(matches!(target.set_image_size(512), Err(WriteError::Resize { .. })));
    assert!(matches!(target.write_all_at(SIZE as u64 - 1, b"ab"), Err(WriteError::OutOfRange { .. })));
}

#[test]
fn a_device_that_cannot_deliver_is_an_error_with_its_place() {
    let Some(device) = LoopDevice::try_new("EIO", SIZE as u64, 512) else { return };
    // Behind its back: the loop driver answers reads past the end of its file with EIO.
    let resize = |size| File::options().write(true).open(&device.backing).unwrap().set_len(size).unwrap();
    with_each_engine(&device.path, |source| {
        resize(SIZE as u64 / 2);
        read(source, 0, 65536, 0).unwrap();
        let error = read(source, SIZE as u64 / 2 + 65536, 65536, 0).unwrap_err();
        let ReadError::Io { offset, len_bytes, source: cause, .. } = &error else { panic!("{error:?}") };
        assert_eq!(
            (*offset, *len_bytes, cause.raw_os_error()),
            (SIZE as u64 / 2 + 65536, 65536, Some(nix::libc::EIO))
        );
        resize(SIZE as u64);
    });
}

#[test]
fn a_device_that_shrinks_is_noticed() {
    let Some(device) = LoopDevice::try_new("device shrinks", SIZE as u64, 512) else { return };
    let resize = |size| {
        File::options().write(true).open(&device.backing).unwrap().set_len(size).unwrap();
        run(Command::new("losetup").arg("--set-capacity").arg(&device.path)).unwrap();
    };
    with_each_engine(&device.path, |source| {
        resize(SIZE as u64 / 2);
        assert_eq!(source.current_size_bytes().unwrap(), SIZE as u64 / 2);
        let error = read(source, SIZE as u64 / 2 - 4096, 8192, 0).unwrap_err();
        assert!(matches!(error, ReadError::Short { read_bytes: 4096, .. }), "{error:?}");
        resize(SIZE as u64);
    });
}

#[test]
fn a_mounted_device_is_readable_but_no_target() {
    let Some(device) = LoopDevice::try_new("mounted device", 16 << 20, 512) else { return };
    let name = device.path.to_str().unwrap();
    if let Err(reason) = run(Command::new("mkfs.ext4").arg("-q").arg(name)) {
        eprintln!("SKIPPED mounted device: no mkfs.ext4: {reason}");
        return;
    }
    let before = describe_path(&device.path).unwrap();
    assert_eq!((before.kind, before.size_bytes, before.mounted_or_held), (PathKind::Device, 16 << 20, None));
    let Some(mount) = Mount::try_new("mounted device", &[name]) else { return };
    let place = mount.path().to_str().unwrap();
    let held = describe_path(&device.path).unwrap().mounted_or_held.unwrap();
    assert!(held.contains(name) && held.contains(place), "{held}");
    let error = FileTarget::open_existing(&device.path).unwrap_err();
    assert!(matches!(&error, OpenError::Busy { reason, .. } if reason.contains(place)), "{error:?}");
    with_each_engine(&device.path, |source| {
        let superblock = read(source, 1024, 1024, 0).unwrap();
        assert_eq!(superblock[56..58], [0x53, 0xef], "the magic of ext4");
    });
    drop(mount);
    FileTarget::open_existing(&device.path).unwrap();
}

#[test]
fn a_device_held_by_another_target_is_busy() {
    let Some(device) = LoopDevice::try_new("held device", SIZE as u64, 512) else { return };
    let first = FileTarget::open_existing(&device.path).unwrap();
    assert!(matches!(FileTarget::open_existing(&device.path), Err(OpenError::Busy { .. })));
    drop(first);
    FileTarget::open_existing(&device.path).unwrap();
}

#[test]
fn a_file_behind_a_loop_device_is_no_target() {
    let Some(device) = LoopDevice::try_new("loop backing", SIZE as u64, 512) else { return };
    let held = describe_path(&device.backing).unwrap().mounted_or_held.unwrap();
    assert!(held.contains(device.path.to_str().unwrap()), "{held}");
    assert!(matches!(FileTarget::open_existing(&device.backing), Err(OpenError::Busy { .. })));
}

#[test]
fn a_full_file_system_is_told_apart() {
    let Some(mount) = Mount::try_new("full file system", &["-t", "tmpfs", "-o", "size=1m", "none"]) else {
        return;
    };
    let path = mount.path().join("image");
    let target = FileTarget::create_new(&path, 8 << 20).unwrap();
    assert!(describe_path(&path).unwrap().free_bytes <= 1 << 20);
    let error = target.write_all_at(0, &vec![1; 4 << 20]).unwrap_err();
    assert!(matches!(error, WriteError::NoSpace { offset: 0, len_bytes: 0x40_0000, .. }), "{error:?}");
}
