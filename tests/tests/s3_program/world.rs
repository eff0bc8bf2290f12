//! One repository on a server, one image, and what people do with them.

use std::path::{Path, PathBuf};

use coffer_tests::chance::Chance;
use coffer_tests::content;
use coffer_tests::process::{Outcome, Program, run};
use coffer_tests::repository::{Place, Repository, text};
use coffer_tests::s3::servers::Server;
use coffer_tests::s3::{ACCESS_KEY, Endpoint, SECRET_KEY};
use tempfile::TempDir;

/// Where servers keep their data.
pub(crate) const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// The program under test.
pub(crate) fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_coffer-under-test"))
}

/// The owner's place on a server.
pub(crate) fn owners_place(endpoint: &Endpoint, bucket: &str, prefix: &str) -> Place {
    Place::s3(&endpoint.address(bucket, prefix, ""), ACCESS_KEY, SECRET_KEY)
}

/// The owner's place on versitygw, whose files can be seen.
pub(crate) fn visible_place(server: &Server, bucket: &str, prefix: &str) -> Place {
    Place { root: server.data().join(bucket).join(prefix), ..owners_place(server.endpoint(), bucket, prefix) }
}

/// A repository with an image.
pub(crate) struct World {
    pub(crate) repository: Repository,
    pub(crate) directory: TempDir,
}

impl World {
    /// Makes the repository.
    #[track_caller]
    pub(crate) fn new(place: Place) -> Self {
        let world = Self::without_repository(place);
        run(world.repository.init_command()).expect_status(0);
        world
    }

    /// Before the repository is made.
    pub(crate) fn without_repository(place: Place) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let repository = Repository::at(&program(), place, directory.path());
        Self { repository, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn volume(&self) -> String {
        format!("image={}", self.path("image.img").display())
    }

    /// Writes the image.
    pub(crate) fn write(&self, image: &[u8]) {
        std::fs::write(self.path("image.img"), image).expect("write an image");
    }

    /// Backs the image up; what the program said.
    #[track_caller]
    pub(crate) fn back_up(&self, image: &[u8], options: &[&str]) -> Outcome {
        self.write(image);
        run(self.repository.backup(&[self.volume()], options)).expect_status(0)
    }

    /// Restores a point to a new file and compares it; what the program said.
    #[track_caller]
    pub(crate) fn compare(&self, point: &str, image: &[u8]) -> Outcome {
        let target = self.path("restored");
        let word = format!("--volume=image={}", target.display());
        let outcome = run(self.repository.restore(point, &[&word])).expect_status(0);
        let restored = std::fs::read(&target).expect("read a restored file");
        let difference = content::first_difference(&restored, image);
        assert!(difference.is_none(), "{difference:?}\n{}", outcome.story());
        std::fs::remove_file(&target).expect("remove a restored file");
        outcome
    }
}

/// The point that a backup made.
#[track_caller]
pub(crate) fn point_of(outcome: &Outcome) -> String {
    text(&outcome.json()["point"])
}

/// Bytes that no compressor makes smaller.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Chance::new(seed).fill(&mut bytes);
    bytes
}

/// The last line on standard error.
pub(crate) fn last_line(outcome: &Outcome) -> &str {
    outcome.stderr.trim_end().lines().next_back().unwrap_or_default()
}

/// The directory for servers.
pub(crate) fn tmp() -> &'static Path {
    Path::new(TMP)
}
