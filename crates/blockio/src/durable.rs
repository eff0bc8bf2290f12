//! Making names durable.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::unistd::{fsync, syncfs};

/// Makes the names in `directory` durable. Some file systems on networks and in user space sync no single directory: there, all that
/// the file system holds.
///
/// # Errors
/// The system's.
pub fn sync_directory(directory: &File) -> io::Result<()> {
    match fsync(directory) {
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(syncfs(directory)?),
        done => Ok(done?),
    }
}
