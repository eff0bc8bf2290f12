//! Clones of images in a directory of their own beside them: made, found again, removed.
//!
//! A clone that somebody works with is locked; nobody removes a locked one. Clones are never written to.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use coffer_blockio::{clone_file, sync_directory};

/// Name of the directory.
const DIRECTORY: &str = ".coffer-snapshots";
/// How a clone's name ends.
const ENDING: &str = ".clone";
/// Characters of the owner's and of the clone's own part.
const PART_LEN: usize = 32;

/// The clones of one image for one owner.
#[derive(Debug, Clone)]
pub(crate) struct CloneSet {
    directory: PathBuf,
    /// What their names begin with.
    prefix: String,
}

/// A clone that is open and locked.
#[derive(Debug)]
pub(crate) struct CloneFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

impl CloneSet {
    /// Of the image at `image`, which is absolute and without links.
    pub(crate) fn new(image: &Path, owner: &str) -> CloneSet {
        let directory = image.parent().unwrap_or(Path::new("/")).join(DIRECTORY);
        let name = image.file_name().unwrap_or_default().as_bytes();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name).update(owner.as_bytes());
        let prefix = hasher.finalize().to_hex().as_str().get(..PART_LEN).unwrap_or_default().to_owned();
        CloneSet { directory, prefix }
    }

    /// The directory of the clones.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Clones `image`. What cannot be finished is removed.
    pub(crate) fn create(&self, image: &File) -> io::Result<CloneFile> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut id = [0; PART_LEN / 2];
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{}-{id}{ENDING}", self.prefix);
        let path = self.directory.join(&name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let made = CloneFile { name, path, file };
        made.fill(image).inspect_err(|_| {
            let _ = made.remove();
        })?;
        // Read only from here on; the descriptor that could write goes away.
        let file = File::open(&made.path)?;
        file.try_lock_shared().map_err(io::Error::from)?;
        Ok(CloneFile { file, ..made })
    }

    /// Opens and locks a clone by its name; `None` where there is none.
    pub(crate) fn open(&self, name: &str) -> io::Result<Option<CloneFile>> {
        if !self.is_own(name) {
            return Ok(None);
        }
        let path = self.directory.join(name);
        let file = match OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        file.try_lock_shared().map_err(io::Error::from)?;
        Ok(Some(CloneFile { name: name.to_owned(), path, file }))
    }

    /// Removes all clones but those named in `kept` and those that are locked.
    pub(crate) fn sweep(&self, kept: &[&str]) -> io::Result<()> {
        let entries = match self.directory.read_dir() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| self.is_own(name) && !kept.contains(name)) else {
                continue;
            };
            let path = self.directory.join(name);
            let Ok(file) = OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(&path) else {
                continue;
            };
            if file.try_lock().is_ok() {
                std::fs::remove_file(&path)?;
            }
        }
        // Only an empty directory can be removed, and that is wanted.
        let _ = std::fs::remove_dir(&self.directory);
        Ok(())
    }

    /// Whether a name is one that this set makes: nothing else is opened or removed.
    fn is_own(&self, name: &str) -> bool {
        let id = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('-'));
        let id = id.and_then(|rest| rest.strip_suffix(ENDING));
        id.is_some_and(|id| id.len() == PART_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

/// `O_NOFOLLOW` of this machine.
const NO_FOLLOW: i32 = coffer_blockio::OPEN_NO_FOLLOW;

impl CloneFile {
    fn fill(&self, image: &File) -> io::Result<()> {
        self.file.try_lock_shared().map_err(io::Error::from)?;
        clone_file(image, &self.file)?;
        self.file.set_permissions(Permissions::from_mode(0o400))?;
        self.file.sync_all()?;
        self.path.parent().map_or(Ok(()), |directory| sync_directory(&File::open(directory)?))
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)?;
        if let Some(directory) = self.path.parent() {
            let _ = std::fs::remove_dir(directory);
        }
        Ok(())
    }
}
