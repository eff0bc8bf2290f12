//! The peak resident memory of the process stays below `--memory`, whatever is backed up, restored or verified.
//!
//! `SPARSE_BYTES` makes the sparse volume smaller than 64 TiB. Peaks are measured by the kernel, below `measure-peak`. Must never measure
//! the test's own memory.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use coffer_tests::content;
use coffer_tests::process::{Outcome, Program, run};
use coffer_tests::repository::Repository;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

const MIB: u64 = 1 << 20;
const SPARSE_BYTES: u64 = 64 << 40;
/// Data is written at this many places of the sparse volume, this much at each.
const SPARSE_PLACES: u64 = 48;
const SPARSE_NOISE: u64 = 96 << 10;
/// A restore in place reads its whole target, holes too: larger ones would take hours.
const IN_PLACE_MAX: u64 = 4 << 30;

#[test]
fn peaks_stay_below_the_cap_with_four_volumes_at_once() {
    let directory = tempfile::tempdir().expect("make a directory");
    let volumes = mixed_volumes(directory.path());
    for cap_mib in [64, 96] {
        let place = directory.path().join(format!("cap-{cap_mib}"));
        std::fs::create_dir(&place).expect("make a directory");
        let measured = Measured::new(&place, cap_mib);
        let point = measured.backup("full", &volumes);
        touch(&directory.path().join("large.img"));
        let second = measured.backup("incremental", &volumes);
        let target = measured.restore_all("restore", &point, &[]);
        measured.restore_all("in place", &second, &["--in-place"]);
        compare_files(&directory.path().join("large.img"), &target.join("large"));
        measured.restore_all("overwrite", &point, &["--overwrite"]);
        measured.verify("verify");
        std::fs::remove_dir_all(&place).expect("remove a directory");
    }
}

#[test]
fn a_sparse_volume_of_64_tib_costs_no_more_memory() {
    let size = std::env::var("SPARSE_BYTES")
        .map_or(SPARSE_BYTES, |value| value.parse().expect("SPARSE_BYTES is a number"));
    let directory =
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("make a directory");
    let image = directory.path().join("sparse.img");
    let stride = size / SPARSE_PLACES / MIB * MIB;
    if let Err(error) = content::sparse_image(&image, size, stride, SPARSE_NOISE, 5000) {
        println!("SKIPPED: no file of {size} bytes in {}: {error}", directory.path().display());
        return;
    }
    let measured = Measured::new(directory.path(), 64);
    let volumes = [format!("sparse={}", image.display())];
    let point = measured.backup("sparse full", &volumes);
    touch(&image);
    let second = measured.backup("sparse incremental", &volumes);
    let target = measured.restore_all("sparse restore", &second, &[]).join("sparse");
    compare_files(&image, &target);
    let allocated = std::fs::metadata(&target).expect("a restored file").blocks() * 512;
    assert!(allocated < 64 * MIB, "{allocated} bytes are allocated: holes were filled");
    measured.verify("sparse verify");
    if size > IN_PLACE_MAX {
        return println!("sparse in place: left out, it reads every byte of a target of {size} bytes");
    }
    measured.restore_all("sparse in place", &point, &["--in-place"]);
    measured.restore_all("sparse in place again", &second, &["--in-place"]);
    compare_files(&image, &target);
}

/// One of 1 GiB, a quarter of it data, and three of 128 MiB.
fn mixed_volumes(directory: &Path) -> Vec<String> {
    let make = |name: &str, size: u64, stride: u64| {
        let path = directory.join(format!("{name}.img"));
        content::sparse_image(&path, size, stride, stride / 8, stride / 8).expect("write an image");
        format!("{name}={}", path.display())
    };
    vec![
        make("large", 1024 * MIB, 8 * MIB),
        make("small-1", 128 * MIB, MIB),
        make("small-2", 128 * MIB, 256 << 10),
        make("small-3", 128 * MIB, 4 * MIB),
    ]
}

/// Changes some of an image.
fn touch(path: &Path) {
    let file = File::options().write(true).open(path).expect("open an image");
    let len = file.metadata().expect("an image").len();
    for place in 0..8 {
        file.write_all_at(&[0x5a; 100_000], len / 9 * place).expect("write to an image");
    }
}

/// A repository whose commands are measured.
struct Measured {
    repository: Repository,
    directory: PathBuf,
    cap_mib: u64,
}

impl Measured {
    fn new(directory: &Path, cap_mib: u64) -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_coffer-under-test"));
        let repository = Repository::init(&program, &directory.join("repository"), directory);
        Self { repository, directory: directory.into(), cap_mib }
    }

    #[track_caller]
    fn backup(&self, what: &str, volumes: &[String]) -> String {
        let outcome = self.run(what, self.repository.backup(volumes, &["--memory", &self.cap()]));
        coffer_tests::repository::text(&outcome.json()["point"])
    }

    #[track_caller]
    fn restore_all(&self, what: &str, point: &str, options: &[&str]) -> PathBuf {
        let target = self.directory.join("restored");
        let mut words =
            vec!["--memory".to_owned(), self.cap(), "--to".to_owned(), target.display().to_string()];
        words.extend(options.iter().map(|&option| option.to_owned()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run(what, self.repository.restore(point, &words));
        target
    }

    #[track_caller]
    fn verify(&self, what: &str) {
        self.run(what, self.repository.verify(&["--read-data", "--memory", &self.cap()]));
    }

    /// Runs a command below `measure-peak`; its peak must stay below the cap.
    #[track_caller]
    fn run(&self, what: &str, command: Command) -> Outcome {
        let file = self.directory.join("peak");
        let mut below = Command::new(env!("CARGO_BIN_EXE_measure-peak"));
        below.arg(&file).arg(command.get_program()).args(command.get_args());
        let outcome = run(below).expect_status(0);
        let peak_kib: u64 = std::fs::read_to_string(&file).expect("a peak").parse().expect("a number");
        println!("{what}: {peak_kib} KiB of {} MiB, {:?}", self.cap_mib, outcome.duration);
        assert!(peak_kib > 1024, "{what}: no process is as small as {peak_kib} KiB");
        assert!(
            peak_kib < self.cap_mib * 1024,
            "{what}: {peak_kib} KiB, more than {} MiB\n{}",
            self.cap_mib,
            outcome.words
        );
        outcome
    }

    fn cap(&self) -> String {
        format!("{}MiB", self.cap_mib)
    }
}

/// Compares two files where either has data; fails unless all else is holes in both.
#[track_caller]
fn compare_files(left: &Path, right: &Path) {
    let (left, right) = (File::open(left).expect("open a file"), File::open(right).expect("open a file"));
    let len = left.metadata().expect("a file").len();
    assert_eq!(len, right.metadata().expect("a file").len(), "lengths");
    for (from, to) in data_ranges(&left, len).into_iter().chain(data_ranges(&right, len)) {
        let mut at = from;
        while at < to {
            let step = usize::try_from((to - at).min(MIB)).expect("small");
            let (mut ours, mut theirs) = (vec![0; step], vec![0; step]);
            left.read_exact_at(&mut ours, at).expect("read a file");
            right.read_exact_at(&mut theirs, at).expect("read a file");
            assert!(ours == theirs, "different within {step} bytes at {at}");
            at += step as u64;
        }
    }
}

/// Where a file has data, by SEEK_DATA and SEEK_HOLE.
fn data_ranges(file: &File, len: u64) -> Vec<(u64, u64)> {
    let seek = |at: u64, whence| lseek(file.as_fd(), i64::try_from(at).expect("a file's offset"), whence);
    let (mut ranges, mut at) = (Vec::new(), 0);
    while at < len {
        let start = match seek(at, Whence::SeekData) {
            Err(Errno::ENXIO) => break,
            start => u64::try_from(start.expect("seek data")).expect("an offset"),
        };
        at = u64::try_from(seek(start, Whence::SeekHole).expect("seek a hole")).expect("an offset");
        ranges.push((start, at));
    }
    ranges
}
