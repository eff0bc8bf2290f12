//! A file system of its own on a loop device, unmounted when it goes away.

#![allow(dead_code, reason = "every test program uses a part of this")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system in a temporary directory.
pub(crate) struct Mounted {
    directory: tempfile::TempDir,
}

impl Mounted {
    /// Makes and mounts one of `len_mib`; `None`, said on standard error, where this machine does not let us.
    pub(crate) fn new(len_mib: u64, make: &[&str], options: &str) -> Option<Mounted> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("disk");
        std::fs::File::create(&image).unwrap().set_len(len_mib << 20).unwrap();
        let at = directory.path().join("at");
        std::fs::create_dir(&at).unwrap();
        let (program, words) = make.split_first().unwrap();
        let options = format!("loop{options}");
        let run = run(Command::new(program).args(words).arg(&image))
            .and_then(|()| run(Command::new("mount").args(["-o", &options]).arg(&image).arg(&at)));
        match run {
            Ok(()) => Some(Mounted { directory }),
            Err(error) => {
                eprintln!("skipped, {}: {error}", make.join(" "));
                None
            }
        }
    }

    pub(crate) fn xfs(reflink: bool) -> Option<Mounted> {
        let reflink = if reflink { "reflink=1" } else { "reflink=0" };
        Mounted::new(320, &["mkfs.xfs", "-q", "-m", reflink], "")
    }

    pub(crate) fn btrfs(options: &str) -> Option<Mounted> {
        Mounted::new(256, &["mkfs.btrfs", "-q"], options)
    }

    pub(crate) fn ext4() -> Option<Mounted> {
        Mounted::new(64, &["mkfs.ext4", "-q", "-F"], "")
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("at")
    }

    pub(crate) fn device(&self) -> String {
        let path = self.path();
        let output = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(self.path()));
    }
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

pub(crate) fn is_empty_or_missing(directory: &Path) -> bool {
    directory.read_dir().map_or(true, |mut entries| entries.next().is_none())
}
