//! `PreadSource` over regular files: the same bytes as the standard library, the right holes, honest errors.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use coffer_blockio::{Arena, BlockSource, OpenError, PathKind, PreadSource, ReadError, SourceKind};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::sample::select;
use tempfile::TempDir;

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

fn arena() -> Arc<Arena> {
    Arena::new(8 << 20).unwrap()
}

/// Reads into a buffer that begins `shift` bytes after a page boundary.
fn read(
    source: &PreadSource,
    arena: &Arc<Arena>,
    offset: u64,
    len: usize,
    shift: usize,
) -> Result<Vec<u8>, ReadError> {
    let mut buf = arena.alloc(shift + len).unwrap();
    buf.fill(0xaa);
    source.read_exact_at(offset, &mut buf[shift..])?;
    Ok(buf[shift..].to_vec())
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
        let source = PreadSource::open(&path).unwrap();
        assert_eq!(source.size_bytes(), size as u64);
        let offset = offset.index(size + 1) / granule * granule;
        let len = len.index(size - offset + 1);
        let mut expected = vec![0; len];
        File::open(&path).unwrap().read_exact_at(&mut expected, offset as u64).unwrap();
        assert_eq!(expected, contents[offset..offset + len]);
        assert!(read(&source, &arena(), offset as u64, len, shift).unwrap() == expected, "{size} {offset} {len} {shift}");
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
        let source = PreadSource::open(&path).unwrap();
        let (start, end) = (start.min(end), start.max(end));
        let ranges = source.data_ranges(start, end).unwrap();
        check_ranges(&ranges, start.min(size), end.min(size), &expected);
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
    let source = PreadSource::open(image(&directory, &pattern(8192))).unwrap();
    let accepted = File::options().read(true).custom_flags(nix::libc::O_DIRECT).open(source.path()).is_ok();
    assert_eq!(source.is_direct(), accepted);
    assert_eq!(source.kind(), SourceKind::Image);
}

#[test]
fn requests_past_the_end_are_short_and_say_where() {
    let directory = tempfile::tempdir().unwrap();
    let source = PreadSource::open(image(&directory, &pattern(5000))).unwrap();
    let check = |offset: u64, len: usize, available: u64| {
        let error = read(&source, &arena(), offset, len, 0).unwrap_err();
        let ReadError::Short { offset: at, len_bytes, read_bytes, path } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((*at, *len_bytes, *read_bytes), (offset, len as u64, available));
        assert!(error.to_string().contains(path.to_str().unwrap()));
    };
    check(0, 8192, 5000);
    check(4096, 4096, 904);
    check(5000, 1, 0);
    check(8192, 4096, 0);
    check(1 << 40, 1, 0);
    read(&source, &arena(), 5000, 0, 0).unwrap();
}

#[test]
fn a_file_that_shrinks_while_open_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(&directory, &pattern(1 << 20));
    let source = PreadSource::open(&path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
    assert_eq!((source.size_bytes(), source.current_size_bytes().unwrap()), (1 << 20, 100_000));
    let error = read(&source, &arena(), 65536, 65536, 0).unwrap_err();
    assert!(
        matches!(error, ReadError::Short { offset: 65536, len_bytes: 65536, read_bytes: 34464, .. }),
        "{error:?}"
    );
    let lost = source.data_ranges(500_000, 600_000).unwrap();
    assert_eq!(lost, vec![500_000..600_000], "what is gone counts as data, so that reading it fails");
    File::options().write(true).open(&path).unwrap().set_len(2 << 20).unwrap();
    assert_eq!(source.current_size_bytes().unwrap(), 2 << 20);
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
        let source = PreadSource::open(&path).unwrap();
        assert!(source.knows_holes());
        let ranges = source.data_ranges(0, size).unwrap();
        assert_eq!(ranges.len(), 3);
        for (range, offset) in ranges.iter().zip([1_u64 << 40, size / 2, size - 1]) {
            assert!(range.contains(&offset) && range.end - range.start <= 2 << 20, "{range:?}");
        }
        assert_eq!(read(&source, &arena(), size - 1, 1, 0).unwrap(), b"x");
    }
}

#[test]
fn an_empty_interval_has_no_data() {
    let directory = tempfile::tempdir().unwrap();
    let source = PreadSource::open(image(&directory, &pattern(5000))).unwrap();
    let none: Vec<Range<u64>> = Vec::new();
    for (start, end) in [(0, 0), (100, 50), (5000, 9000), (u64::MAX, u64::MAX)] {
        assert_eq!(source.data_ranges(start, end).unwrap(), none);
    }
    assert_eq!(source.data_ranges(0, u64::MAX).unwrap(), vec![0..5000]);
}

#[test]
fn many_threads_read_one_source_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let contents = pattern(1 << 20);
    let source = PreadSource::open(image(&directory, &contents)).unwrap();
    let arena = arena();
    std::thread::scope(|scope| {
        for shift in 0..4_usize {
            let (source, arena, contents) = (&source, &arena, &contents);
            scope.spawn(move || {
                for block in 0..15_usize {
                    let offset = block * 65536 + shift * 100;
                    let found = read(source, arena, offset as u64, 65536, 0).unwrap();
                    assert!(found == contents[offset..offset + 65536]);
                    assert_eq!(source.data_ranges(0, 1 << 20).unwrap(), vec![0..1 << 20]);
                }
            });
        }
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
        let error = PreadSource::open(path).unwrap_err();
        assert!(matches!(&error, OpenError::WrongKind { kind, .. } if *kind == expected), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    };
    check(directory.path(), PathKind::Directory, "is a directory");
    check(&fifo, PathKind::Fifo, "is a named pipe");
    check(&socket, PathKind::Socket, "is a socket");
    check(Path::new("/dev/null"), PathKind::CharacterDevice, "is a character device");
    let missing = PreadSource::open(directory.path().join("missing")).unwrap_err();
    assert!(matches!(missing, OpenError::NotFound { .. }));
}

#[test]
fn links_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(&directory, b"contents");
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(read(&PreadSource::open(&link).unwrap(), &arena(), 0, 8, 0).unwrap(), b"contents");
}
