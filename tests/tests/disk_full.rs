//! Full disks and failing devices: a clear failure, nothing that was there is touched, and the way back works.
//!
//! Needs root for mounts and loop devices; says SKIPPED where it has none. Must never fill a disk that is not its own.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_tests::chance::Chance;
use coffer_tests::content;
use coffer_tests::devices::{LoopDevice, SmallDisk};
use coffer_tests::leftovers;
use coffer_tests::process::{Outcome, Program, run};
use coffer_tests::repository::{Repository, text};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 32 * MIB;
const IMAGE_BYTES: u64 = 12 * MIB;
const LARGE_BYTES: u64 = 192 * MIB;

#[test]
fn a_full_repository_fails_clearly_keeps_its_points_and_can_be_emptied() {
    let Some(disk) = mounted(DISK_BYTES) else { return };
    let world = World::new(disk.path());
    let first = world.back_up(1);
    let second = world.back_up(2);
    world.fail_to_back_up(3, &[&first, &second]);
    world.compare(&first, 1);
    world.make_room();
    world.compare(&second, 2);
    let third = world.back_up(3);
    world.compare(&third, 3);
    world.repository.expect_clean(&["--read-data"]);
}

#[test]
fn a_repository_without_a_byte_to_spare_can_be_read_and_emptied() {
    let Some(disk) = mounted(DISK_BYTES) else { return };
    let world = World::new(disk.path());
    let first = world.back_up(1);
    let second = world.back_up(2);
    let filler = disk.path().join("filler");
    fill(&filler);
    world.fail_to_back_up(3, &[&first, &second]);
    world.compare(&first, 1);
    world.compare(&second, 2);
    // Whoever deletes announces it first, which takes a few pages: of the reserve.
    world.make_room();
    let reserve = world.repository.root().join(".reserve");
    assert_eq!(std::fs::metadata(reserve).expect("it is kept again").len(), MIB);
    // What the second point had is room for the third, but the reserve has some of it.
    let filler = File::options().write(true).open(&filler).expect("open the filler");
    let len = filler.metadata().expect("its length").len();
    filler.set_len(len - 2 * MIB).expect("make room for the reserve");
    let third = world.back_up(3);
    world.compare(&second, 2);
    world.compare(&third, 3);
    world.repository.expect_clean(&["--read-data"]);
}

#[test]
fn a_device_that_cannot_be_read_fails_with_the_offset_and_alone() {
    let world = World::in_own_directory();
    let backing = world.path("backing");
    std::fs::write(&backing, noise(4, IMAGE_BYTES)).expect("write a backing file");
    let device = match LoopDevice::attach(&backing) {
        Ok(device) => device,
        Err(error) => return println!("SKIPPED: {error}"),
    };
    let good = world.back_up(1);
    let limit = IMAGE_BYTES / 2;
    File::options()
        .write(true)
        .open(&backing)
        .and_then(|file| file.set_len(limit))
        .expect("shorten the backing file");
    let bad = format!("bad={}", device.path().display());
    let alone = run(world.repository.backup(std::slice::from_ref(&bad), &[])).expect_status(1);
    names_an_offset(&alone, limit);
    let both = run(world.repository.backup(&[bad, world.volume()], &[])).expect_status(3);
    names_an_offset(&both, limit);
    let points = world.repository.points();
    assert_eq!(points.len(), 2, "the good one and the partial one: {points:?}");
    assert_eq!(points[1]["state"], "partial", "{points:?}");
    world.repository.expect_clean(&["--read-data"]);
    world.compare(&good, 1);
    let next = world.back_up(2);
    world.compare(&next, 2);
}

#[test]
fn an_image_that_shrinks_while_it_is_read_makes_no_point() {
    let world = World::in_own_directory();
    let good = world.back_up(1);
    std::fs::write(world.path("large.img"), noise(5, LARGE_BYTES)).expect("write an image");
    let large = format!("large={}", world.path("large.img").display());
    let is_over = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| world.shrink_once_it_is_stored(&is_over));
        let outcome = run(world.repository.backup(&[large], &["--memory", "64MiB", "--limit-read", "32MiB"]));
        is_over.store(true, Ordering::Release);
        outcome
    });
    let outcome = outcome.expect_status(1);
    assert!(outcome.stderr.contains("large"), "names the volume: {}", outcome.story());
    assert_eq!(world.repository.point_ids(), [good.as_str()], "{}", outcome.story());
    world.repository.expect_clean(&["--read-data"]);
    world.compare(&good, 1);
    let next = world.back_up(2);
    world.compare(&next, 2);
}

#[test]
fn a_target_without_room_is_refused_before_a_byte_is_written() {
    let Some(disk) = mounted(8 * MIB) else { return };
    let world = World::in_own_directory();
    let point = world.back_up(1);
    let target = disk.path().join("restored");
    let word = format!("--volume=image={}", target.display());
    let refused = run(world.repository.restore(&point, &[&word])).expect_status(6);
    assert!(refused.stderr.contains("space"), "{}", refused.story());
    assert!(!target.exists(), "nothing is made: {}", refused.story());
    // One that is there, as long as it must be and without any data.
    File::create(&target).and_then(|file| file.set_len(IMAGE_BYTES)).expect("make a target");
    for how in ["--overwrite", "--in-place"] {
        let refused = run(world.repository.restore(&point, &[&word, how])).expect_status(6);
        let zeroes = std::fs::read(&target).expect("read the target");
        assert!(
            zeroes.len() as u64 == IMAGE_BYTES && zeroes.iter().all(|&byte| byte == 0),
            "{}",
            refused.story()
        );
    }
    let into = format!("--to={}", disk.path().join("directory").display());
    run(world.repository.restore(&point, &[&into])).expect_status(6);
}

fn mounted(size_bytes: u64) -> Option<SmallDisk> {
    SmallDisk::mount(size_bytes).map_err(|error| println!("SKIPPED: {error}")).ok()
}

fn noise(seed: u64, len_bytes: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(len_bytes).expect("a test's content fits")];
    Chance::new(seed).fill(&mut content);
    content
}

/// Writes a file until nothing more fits.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("make a file");
    while file.write_all(&[1; 4096]).is_ok() {}
}

#[track_caller]
fn says_no_space(outcome: &Outcome) {
    let line = outcome.stderr.trim_end().lines().next_back().unwrap_or_default();
    assert!(
        line.contains("no space") && line.contains("free space"),
        "what is wrong and what to do: {}",
        outcome.story()
    );
}

/// The offset of the first error must lie behind what can be read.
#[track_caller]
fn names_an_offset(outcome: &Outcome, limit: u64) {
    let said = format!("{} {}", outcome.stdout, outcome.stderr);
    let numbers =
        said.split(|character: char| !character.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
    let behind = limit - MIB..IMAGE_BYTES;
    assert!(
        said.contains("bad") && numbers.into_iter().any(|number| behind.contains(&number)),
        "{}",
        outcome.story()
    );
}

/// A repository and one image, which has a content for every number.
struct World {
    repository: Repository,
    directory: TempDir,
}

impl World {
    fn new(repository: &Path) -> Self {
        Self::with(tempfile::tempdir().expect("make a directory"), repository)
    }

    fn in_own_directory() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let place = directory.path().to_owned();
        Self::with(directory, &place)
    }

    fn with(directory: TempDir, place: &Path) -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_coffer-under-test"));
        let repository = Repository::init(&program, &place.join("repository"), directory.path());
        Self { repository, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn volume(&self) -> String {
        format!("image={}", self.path("image.img").display())
    }

    fn write_image(&self, number: u64) {
        std::fs::write(self.path("image.img"), noise(number, IMAGE_BYTES)).expect("write an image");
    }

    fn backup(&self) -> std::process::Command {
        // Each in a chain of its own: space of a chain comes back only with the whole chain.
        self.repository.backup(&[self.volume()], &["--memory", "64MiB", "--type", "full"])
    }

    #[track_caller]
    fn back_up(&self, number: u64) -> String {
        self.write_image(number);
        text(&run(self.backup()).expect_status(0).json()["point"])
    }

    /// A backup that does not fit: `points` and nothing else are there afterwards.
    #[track_caller]
    fn fail_to_back_up(&self, number: u64, points: &[&str]) {
        self.write_image(number);
        let failed = run(self.backup()).expect_status(1);
        says_no_space(&failed);
        assert_eq!(self.repository.point_ids(), points, "{}", failed.story());
        let uploads = leftovers::listed_uploads(self.repository.root());
        assert!(uploads.is_empty(), "a failed run clears up: {uploads:?}");
        self.repository.expect_clean(&["--read-data"]);
    }

    /// Forget and prune on the full disk.
    #[track_caller]
    fn make_room(&self) {
        run(self.repository.forget(1)).expect_status(0);
        let pruned = run(self.repository.prune()).expect_status(0);
        assert!(pruned.json()["bytes_deleted"].as_u64() >= Some(IMAGE_BYTES), "{}", pruned.story());
        assert_eq!(self.repository.point_ids().len(), 1, "{}", pruned.story());
    }

    /// Restores the image of a point to a new file and compares it.
    #[track_caller]
    fn compare(&self, point: &str, number: u64) {
        let target = self.path("restored");
        let word = format!("--volume=image={}", target.display());
        let outcome = run(self.repository.restore(point, &[&word])).expect_status(0);
        let restored = std::fs::read(&target).expect("read a restored file");
        let difference = content::first_difference(&restored, &noise(number, IMAGE_BYTES));
        assert!(difference.is_none(), "{difference:?}\n{}", outcome.story());
        std::fs::remove_file(&target).expect("remove a restored file");
    }

    /// Shortens the large image once the backup has begun to store it.
    fn shrink_once_it_is_stored(&self, is_over: &AtomicBool) {
        while leftovers::listed_uploads(self.repository.root()).is_empty() {
            if is_over.load(Ordering::Acquire) {
                return;
            }
            std::thread::yield_now();
        }
        let file = File::options().write(true).open(self.path("large.img")).expect("open the image");
        file.set_len(MIB).expect("shorten the image");
    }
}
