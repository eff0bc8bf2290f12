//! Random operations on an image file, and what it must hold afterwards, kept in memory.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Unit of operations that file systems do in whole blocks only.
const BLOCK: usize = 4096;
const LEN_MAX: usize = 4 << 20;

/// An image and its truth.
pub(crate) struct Image {
    path: PathBuf,
    file: File,
    random: StdRng,
    pub(crate) truth: Vec<u8>,
    pub(crate) log: Vec<String>,
}

impl Image {
    pub(crate) fn create(path: &Path, seed: u64) -> Image {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        let random = StdRng::seed_from_u64(seed);
        let mut image = Image { path: path.to_owned(), file, random, truth: Vec::new(), log: Vec::new() };
        image.truncate(3 << 20);
        image.write(0, 1 << 20);
        image.write((2 << 20) + 777, 300_000);
        image
    }

    pub(crate) fn write(&mut self, start: usize, len: usize) {
        let compressible = self.random.random_bool(0.5);
        let bytes: Vec<u8> = if compressible {
            let byte = self.random.random_range(1..=255);
            vec![byte; len]
        } else {
            (0..len).map(|_| self.random.random()).collect()
        };
        self.log.push(format!("write {start} {len}"));
        self.file.write_all_at(&bytes, start as u64).unwrap();
        self.truth[start..start + len].copy_from_slice(&bytes);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.log.push(format!("truncate {len}"));
        self.file.set_len(len as u64).unwrap();
        self.truth.resize(len, 0);
    }

    pub(crate) fn punch(&mut self, start: usize, len: usize) {
        if self.fallocate("--punch-hole", start, len) {
            self.truth[start..start + len].fill(0);
        }
    }

    pub(crate) fn random_operation(&mut self) {
        let blocks = self.truth.len() / BLOCK;
        if blocks < 16 {
            return self.truncate(1 << 20);
        }
        let first = self.random.random_range(0..blocks - 8);
        let count = self.random.random_range(1..(blocks - first).min(40));
        let (start, len) = (first * BLOCK, count * BLOCK);
        match self.random.random_range(0..12) {
            0..=2 => self.write(start + 100, len - 200),
            3 => self.write(start, len),
            4 => self.punch(start + 50, len - 70),
            5 => {
                if self.fallocate("--zero-range", start, len) {
                    self.truth[start..start + len].fill(0);
                }
            }
            6 => {
                if self.fallocate("--collapse-range", start, len) {
                    self.truth.drain(start..start + len);
                }
            }
            7 if self.truth.len() + len <= LEN_MAX => {
                if self.fallocate("--insert-range", start, len) {
                    self.truth.splice(start..start, std::iter::repeat_n(0, len));
                }
            }
            8 => {
                let before = self.truth.len();
                self.truncate(start + 1000);
                self.truncate(before);
            }
            9 => {
                let len = self.random.random_range(BLOCK * 20..LEN_MAX);
                self.truncate(len);
            }
            10 => self.clone_within(start, len),
            _ => self.rename_over(),
        }
    }

    /// Puts blocks of the image itself somewhere else in it, sharing them.
    fn clone_within(&mut self, start: usize, len: usize) {
        let to = self.random.random_range(0..(self.truth.len() - len) / BLOCK) * BLOCK;
        if to < start + len && start < to + len {
            return;
        }
        self.log.push(format!("reflink {start} to {to} {len}"));
        let path = self.path.to_str().unwrap();
        let command = format!("reflink {path} {start} {to} {len}");
        let done = Command::new("xfs_io").args(["-c", &command, path]).output().unwrap();
        if done.status.success() && done.stderr.is_empty() {
            let bytes = self.truth[start..start + len].to_vec();
            self.truth[to..to + len].copy_from_slice(&bytes);
        }
        // Whatever the program says, the file itself is the truth of what it did.
        let mut now = vec![0; self.truth.len()];
        self.file.read_exact_at(&mut now, 0).unwrap();
        self.truth = now;
    }

    /// A copy without shared blocks takes the name.
    fn rename_over(&mut self) {
        self.log.push("rename over".into());
        let other = self.path.with_extension("new");
        std::fs::write(&other, &self.truth).unwrap();
        std::fs::rename(&other, &self.path).unwrap();
        self.file = OpenOptions::new().read(true).write(true).open(&self.path).unwrap();
    }

    /// `false` where this file system has no such operation, and then nothing was done.
    fn fallocate(&mut self, what: &str, start: usize, len: usize) -> bool {
        self.log.push(format!("{what} {start} {len}"));
        let words = [what, "--offset", &start.to_string(), "--length", &len.to_string()];
        Command::new("fallocate").args(words).arg(&self.path).output().unwrap().status.success()
    }
}
