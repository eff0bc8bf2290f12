//! Mounts and loop devices that go when their value is dropped. Makes only what it can also undo, and touches nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A tmpfs of a fixed size.
#[derive(Debug)]
pub struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// Mounts one of `size_bytes`; says why it cannot.
    ///
    /// # Errors
    /// Where mounting is not allowed.
    pub fn mount(size_bytes: u64) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let size = format!("size={size_bytes}");
        call("mount", &["-t", "tmpfs", "-o", &size, "coffer-tests", path_text(directory.path())])?;
        Ok(Self { directory })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A process that is being killed may hold it for a moment: then it goes when that process does.
        if let Err(error) = call("umount", &["--lazy", path_text(self.directory.path())]) {
            eprintln!("{error}");
        }
    }
}

/// A loop device.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches one to the file `backing`; says why it cannot.
    ///
    /// # Errors
    /// Where there are no loop devices.
    pub fn attach(backing: &Path) -> Result<Self, String> {
        let name = call("losetup", &["--find", "--show", path_text(backing)])?;
        Ok(Self { path: PathBuf::from(name.trim()) })
    }

    /// The device.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        if let Err(error) = call("losetup", &["--detach", path_text(&self.path)]) {
            eprintln!("{error}");
        }
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

fn call(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}
