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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_single_directory_can_be_synced_all_is() {
        // Like directories of such file systems, a pipe takes no fsync and lies on a file system that takes syncfs.
        let (pipe, _writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        assert_eq!(fsync(&pipe), Err(Errno::EINVAL));
        sync_directory(&pipe).unwrap();
        sync_directory(&File::open("/").unwrap()).unwrap();
    }
}
