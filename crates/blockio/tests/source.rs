//! Every read engine over regular files: the same bytes as the standard library, the right holes, honest errors.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;

use coffer_blockio::{Arena, BlockSource, OpenError, PathKind, ReadBatch, ReadError, SourceKind};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::sample::select;
use tempfile::TempDir;

#[path = "support/engines.rs"]
mod engines;

use engines::{open_with_each, read, with_each_engine};

const SIZES: [usize; 11] =
    [0, 1, 511, 512, 4095, 4096, 4097, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 1024 * 1024 + 13];

/// Bytes without a period that fits a sector.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn image(directory: &TempDir, contents: &[u8]) -> std::path::PathBuf {
    let path = directory.path().join("image");
    std::fs::write(&path, contents).unwrap();
    path
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_reads_what_std_reads(
        size in select(&SIZES[..]),
        (offset, len) in (any::<proptest::sample::Index>(), any::<proptest::sample::Index>()),
        granule in select(&[1_usize, 512, 4096][..]),
        shift in select(&[0_usize, 1, 8, 512, 4095][..]),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let contents = pattern(size);
        let path = image(&directory, &contents);
        let offset = offset.index(size + 1) / granule * granule;
        let len = len.index(size - offset + 1);
        let mut expected = vec![0; len];
        File::open(&path).unwrap().read_exact_at(&mut expected, offset as u64).unwrap();
        assert_eq!(expected, contents[offset..offset + len]);
        with_each_engine(&path, |source| {
            assert_eq!(source.size_bytes(), size as u64);
            let found = read(source, offset as u64, len, shift).unwrap();
            assert!(found == expected, "{size} {offset} {len} {shift}");
        });
    }

    #[test]
    fn holes_are_never_data_and_big_ones_are_found(
        size in 1_u64..4 << 20,
        writes in vec((0_u64..4 << 20, 1_usize..200_000), 0..8),
        (start, end) in (0_u64..5 << 20, 0_u64..5 << 20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(size).unwrap();
        let mut expected = vec![0_u8; size as usize];
        for (offset, len) in writes {
            let offset = offset.min(size - 1);
            let data = &pattern(len)[..len.min((size - offset) as usize)];
            file.write_all_at(data, offset).unwrap();
            expected[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        }
        let (start, end) = (start.min(end), start.max(end));
        with_each_engine(&path, |source| {
            let ranges = source.data_ranges(start, end).unwrap();
            check_ranges(&ranges, start.min(size), end.min(size), &expected);
        });
    }
}

/// Ascending, apart, inside; zeroes everywhere else; and no mebibyte of data without a byte of data in it.
fn check_ranges(ranges: &[Range<u64>], start: u64, end: u64, contents: &[u8]) {
    assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "{ranges:?}");
    assert!(ranges.iter().all(|range| start <= range.start && range.start < range.end && range.end <= end));
    let mut position = start;
    let gaps = ranges
        .iter()
        .map(|range| std::mem::replace(&mut position, range.end)..range.start)
        .collect::<Vec<_>>();
    for gap in gaps.into_iter().chain(std::iter::once(position..end.max(position))) {
        assert!(
            contents[gap.start as usize..gap.end as usize].iter().all(|byte| *byte == 0),
            "data in hole {gap:?}"
        );
    }
    for range in ranges.iter().filter(|range| range.end - range.start > 1 << 20) {
        let inside = &contents[range.start as usize..range.end as usize];
        assert!(inside.iter().any(|byte| *byte != 0), "a hole of a mebibyte called data: {range:?}");
    }
}

#[test]
fn a_file_system_with_direct_io_is_read_directly() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(&directory, &pattern(8192));
    let accepted = File::options().read(true).custom_flags(nix::libc::O_DIRECT).open(&path).is_ok();
    with_each_engine(&path, |source| {
        assert_eq!(source.is_direct(), accepted);
        assert_eq!(source.kind(), SourceKind::Image);
    });
}

#[test]
fn requests_past_the_end_are_short_and_say_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(&directory, &pattern(5000));
    let check = |source: &dyn BlockSource, offset: u64, len: usize, available: u64| {
        let error = read(source, offset, len, 0).unwrap_err();
        let ReadError::Short { offset: at, len_bytes, read_bytes, path } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((*at, *len_bytes, *read_bytes), (offset, len as u64, available));
        assert!(error.to_string().contains(path.to_str().unwrap()));
    };
    with_each_engine(&path, |source| {
        check(source, 0, 8192, 5000);
        check(source, 4096, 4096, 904);
        check(source, 5000, 1, 0);
        check(source, 8192, 4096, 0);
        check(source, 1 << 40, 1, 0);
        read(source, 5000, 0, 0).unwrap();
    });
}

#[test]
fn a_file_that_shrinks_while_open_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(&directory, &pattern(1 << 20));
    let resize = |size| File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    with_each_engine(&path, |source| {
        resize(100_000);
        assert_eq!((source.size_bytes(), source.current_size_bytes().unwrap()), (1 << 20, 100_000));
        let error = read(source, 65536, 65536, 0).unwrap_err();
        assert!(
            matches!(error, ReadError::Short { offset: 65536, len_bytes: 65536, read_bytes: 34464, .. }),
            "{error:?}"
        );
        let lost = source.data_ranges(500_000, 600_000).unwrap();
        assert_eq!(lost, vec![500_000..600_000], "what is gone counts as data, so that reading it fails");
        resize(2 << 20);
        assert_eq!(source.current_size_bytes().unwrap(), 2 << 20);
        resize(1 << 20);
    });
}

#[test]
fn the_data_of_a_64_tib_file_is_found_without_reading_it() {
    let size = 64_u64 << 40;
    // ext4 stops at 16 TiB; tmpfs does not.
    for parent in [std::env::temp_dir(), "/dev/shm".into()] {
        let Ok(directory) = tempfile::tempdir_in(&parent) else { continue };
        let path = directory.path().join("huge");
        let file = File::create(&path).unwrap();
        let size = if file.set_len(size).is_ok() { size } else { 15 << 40 };
        file.set_len(size).unwrap();
        for offset in [1_u64 << 40, size / 2, size - 1] {
            file.write_all_at(b"x", offset).unwrap();
        }
        with_each_engine(&path, |source| {
            assert!(source.knows_holes());
            let ranges = source.data_ranges(0, size).unwrap();
            assert_eq!(ranges.len(), 3);
            for (range, offset) in ranges.iter().zip([1_u64 << 40, size / 2, size - 1]) {
                assert!(range.contains(&offset) && range.end - range.start <= 2 << 20, "{range:?}");
            }
            assert_eq!(read(source, size - 1, 1, 0).unwrap(), b"x");
        });
    }
}

#[test]
fn an_empty_interval_has_no_data() {
    let directory = tempfile::tempdir().unwrap();
    let none: Vec<Range<u64>> = Vec::new();
    with_each_engine(image(&directory, &pattern(5000)), |source| {
        for (start, end) in [(0, 0), (100, 50), (5000, 9000), (u64::MAX, u64::MAX)] {
            assert_eq!(source.data_ranges(start, end).unwrap(), none);
        }
        assert_eq!(source.data_ranges(0, u64::MAX).unwrap(), vec![0..5000]);
    });
}

#[test]
fn many_threads_read_one_source_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let contents = pattern(1 << 20);
    with_each_engine(image(&directory, &contents), |source| {
        std::thread::scope(|scope| {
            for shift in 0..4_usize {
                let contents = &contents;
                scope.spawn(move || {
                    for block in 0..15_usize {
                        let offset = block * 65536 + shift * 1024;
                        let found = read(source, offset as u64, 65536, 0).unwrap();
                        assert!(found == contents[offset..offset + 65536]);
                        assert_eq!(source.data_ranges(0, 1 << 20).unwrap(), vec![0..1 << 20]);
                    }
                });
            }
        });
    });
}

#[test]
fn whatever_is_not_a_file_or_device_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let check = |path: &Path, expected: PathKind, words: &str| {
        for error in open_with_each(path).into_iter().filter_map(Result::err) {
            assert!(matches!(&error, OpenError::WrongKind { kind, .. } if *kind == expected), "{error:?}");
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(open_with_each(path).iter().all(Result::is_err));
    };
    check(directory.path(), PathKind::Directory, "is a directory");
    check(&fifo, PathKind::Fifo, "is a named pipe");
    check(&socket, PathKind::Socket, "is a socket");
    check(Path::new("/dev/null"), PathKind::CharacterDevice, "is a character device");
    for missing in open_with_each(&directory.path().join("missing")) {
        assert!(matches!(missing, Err(OpenError::NotFound { .. })));
    }
}

#[test]
fn links_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(&directory, b"contents");
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    with_each_engine(&link, |source| assert_eq!(read(source, 0, 8, 0).unwrap(), b"contents"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_batch_holds_its_ranges_one_behind_the_other(
        ranges in vec((0_u64..260, 1_usize..9), 0..80),
        (granule, shift) in select(&[(4096_u64, 0_u64), (512, 0), (4096, 1), (777, 5)][..]),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let contents = pattern((1 << 20) + 13);
        with_each_engine(image(&directory, &contents), |source| {
            let arena = Arena::new(4 << 20).unwrap();
            let mut batch = ReadBatch::new(arena.alloc(1 << 20).unwrap());
            let mut expected = Vec::new();
            for (number, len) in &ranges {
                let offset = number * granule + shift;
                let end = (offset + *len as u64 * granule).min(contents.len() as u64);
                let len = end.saturating_sub(offset) as usize;
                if batch.push(offset, len).is_some() {
                    expected.extend_from_slice(&contents[(end as usize - len)..end as usize]);
                }
            }
            let batch = source.finish_read(source.start_read(batch)).unwrap();
            assert!(batch.bytes() == expected);
        });
    }
}

#[test]
fn an_error_in_a_batch_names_the_range_and_hurts_no_other_batch() {
    let directory = tempfile::tempdir().unwrap();
    let contents = pattern(1 << 20);
    let path = image(&directory, &contents);
    with_each_engine(&path, |source| {
        let arena = Arena::new(4 << 20).unwrap();
        let start = |last: u64| {
            let mut batch = ReadBatch::new(arena.alloc(3 * 65536).unwrap());
            for offset in [0, 524_288, last] {
                batch.push(offset, 65536).unwrap();
            }
            source.start_read(batch)
        };
        let (bad, good) = (start((1 << 20) - 4096), start(131_072));
        let error = source.finish_read(bad).unwrap_err();
        assert!(
            matches!(error, ReadError::Short { offset: 1_044_480, len_bytes: 65536, read_bytes: 4096, .. }),
            "{error:?}"
        );
        assert!(source.finish_read(good).unwrap().bytes()[131_072..] == contents[131_072..196_608]);
        assert_eq!(arena.in_use_bytes(), 0);
    });
}

/// What the agent steps back by: reads around the page cache show in the count of the disk below.
#[test]
fn the_disk_below_counts_what_is_read() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = image(&directory, &pattern(4 << 20));
    File::open(&path).unwrap().sync_all().unwrap();
    let arena = Arena::new(4 << 20).unwrap();
    with_each_engine(&path, |source| {
        let disks = source.disks();
        let Some(disk) = disks.first().filter(|_| source.is_direct()) else {
            return println!("skipped: the kernel tells of no disk below {}", path.display());
        };
        let before = disk.reads().unwrap();
        source.read_exact_at(0, &mut arena.alloc(4 << 20).unwrap()).unwrap();
        // Others may read meanwhile; fewer than ours cannot be.
        assert!(disk.reads().unwrap() - before >= disk.reads_for(4 << 20));
    });
}
