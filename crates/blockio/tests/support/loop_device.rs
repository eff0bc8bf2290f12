//! Loop devices and mounts for tests, undone on drop; must never touch a device it did not set up itself.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A loop device over a temporary file.
pub(crate) struct LoopDevice {
    pub(crate) path: PathBuf,
    pub(crate) backing: PathBuf,
    _directory: TempDir,
}

impl LoopDevice {
    /// Sets one up, or says why the test is skipped: not root, no loop driver.
    pub(crate) fn try_new(test: &str, size_bytes: u64, sector_bytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let backing = directory.path().join("backing.img");
        File::create(&backing).unwrap().set_len(size_bytes).unwrap();
        let sector_size = sector_bytes.to_string();
        let arguments = ["--find", "--show", "--sector-size", &sector_size];
        match run(Command::new("losetup").args(arguments).arg(&backing)) {
            Ok(path) => Some(Self { path: path.into(), backing, _directory: directory }),
            Err(reason) => {
                eprintln!("SKIPPED {test}: no loop device: {reason}");
                None
            }
        }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        if let Err(reason) = run(Command::new("losetup").arg("--detach").arg(&self.path)) {
            eprintln!("left behind {}: {reason}", self.path.display());
        }
    }
}

/// A mount on a temporary directory.
pub(crate) struct Mount {
    pub(crate) directory: TempDir,
}

impl Mount {
    /// Mounts, or says why the test is skipped.
    pub(crate) fn try_new(test: &str, arguments: &[&str]) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("blockio mount ").tempdir().unwrap();
        match run(Command::new("mount").args(arguments).arg(directory.path())) {
            Ok(_) => Some(Self { directory }),
            Err(reason) => {
                eprintln!("SKIPPED {test}: no mount: {reason}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Mount {
    /// Out of the way at once: a child that another test is just starting may still hold a copy of a descriptor below it.
    fn drop(&mut self) {
        if let Err(reason) = run(Command::new("umount").arg("--lazy").arg(self.directory.path())) {
            eprintln!("left behind {}: {reason}", self.directory.path().display());
        }
    }
}

/// Runs a command; its output without the line end, or what it complained about.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
