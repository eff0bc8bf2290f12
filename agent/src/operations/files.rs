//! What the journal asks of a file system, so that tests can let each step fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The steps of a journal. Each is durable or has failed when it returns, as far as it says.
pub trait Files: Send + Sync {
    /// Makes or replaces the file, and returns when its bytes are on stable storage. Its name may not be.
    fn write_durably(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file another name in the same directory, atomically, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns when the directory's names are on stable storage.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Removes a file; one that is gone is fine.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The whole file, or an error for more than `len_max` bytes.
    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>>;
    /// The paths of all entries, in no order.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The file system of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

impl Files for RealFiles {
    fn write_durably(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        coffer_blockio::sync_directory(&File::open(directory)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        if fs::symlink_metadata(path)?.len() > len_max {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {len_max} bytes")));
        }
        fs::read(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }
}
