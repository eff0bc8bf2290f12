//! A Unix socket that only its owner can open, from the first moment.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::error::EdgeError;

/// The socket's file. It goes when this is dropped, unless another socket has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

/// Listens on `path` (mode 0600). A socket of a process that has ended is replaced; anything else there is left alone.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), EdgeError> {
    let taken = |problem| EdgeError::SocketTaken { path: path.to_owned(), problem };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(taken("there is a file of another kind: remove it or choose another path"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(taken("another process listens there: end it or choose another path"));
        }
        _ => {}
    }
    make(path).map_err(|source| EdgeError::Listen { address: format!("unix:{}", path.display()), source })
}

/// The socket is made in a directory that only we can enter, gets its mode there, and is moved to its place.
fn make(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let private = parent.join(format!(".{}", std::process::id()));
    remove(&private)?;
    DirBuilder::new().mode(0o700).create(&private)?;
    let inside = private.join("s");
    let made = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    let removed = remove(&private);
    let listener = made?;
    removed?;
    let found = fs::symlink_metadata(path)?;
    Ok((listener, SocketFile { path: path.to_owned(), device_and_inode: (found.dev(), found.ino()) }))
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.device_and_inode);
        if ours {
            // A socket that stays behind is replaced by the next agent.
            let _stays = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn only_the_owner_can_open_it_and_it_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let (listener, file) = bind(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
        let (_client, accepted) = (UnixStream::connect(&path).unwrap(), listener.accept().await.unwrap());
        drop((accepted, listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_agents_socket_is_replaced_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (_listener, file) = bind(&path).unwrap();
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.contains("another process listens"), "{error}");
        // A successor's socket is not ours to remove.
        fs::remove_file(&path).unwrap();
        let _successor = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());

        let other = directory.path().join("file");
        fs::write(&other, "precious").unwrap();
        let error = bind(&other).unwrap_err().to_string();
        assert!(error.contains("another kind"), "{error}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert!(matches!(bind(Path::new("/no/such/directory/s")), Err(EdgeError::Listen { .. })));
    }
}
