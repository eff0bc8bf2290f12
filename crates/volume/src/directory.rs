//! Directories and images that lie directly below configured directories, and the file systems they lie on.
//!
//! Directories are not walked, and a file system on a network is not asked: it may never answer.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::inventory::Problem;
use crate::mounts::{Mount, Mounts};
use crate::reader::{Reader, is_gone};
use crate::roots::{DirectoryUse, Roots};
use crate::volume::FileSystem;

/// An entry of a configured directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) holds: DirectoryUse,
    /// The length of an image in bytes.
    pub(crate) size_bytes: Option<u64>,
}

/// Lists the directories below a configured one. What may hang is not looked at: a mount point is a directory.
pub(crate) fn read_entries(
    reader: &Reader<'_>,
    root: &Path,
    may_hang: &dyn Fn(&Path) -> bool,
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    let names = reader.names(root).unwrap_or_else(|error| {
        problems.push(Problem::new(root, "list the configured directory", &error));
        Vec::new()
    });
    let mut entries = Vec::new();
    for name in names {
        let path = root.join(name);
        let is_directory = match may_hang(&path) {
            true => true,
            false => match reader.look(&path) {
                // Links, and what does not belong here.
                Ok(found) => found.is_dir(),
                Err(error) => {
                    note(&path, &error, problems);
                    false
                }
            },
        };
        if is_directory {
            entries.push(Entry { path, holds: DirectoryUse::HostPath, size_bytes: None });
        }
    }
    entries
}

/// The image at a path, if a regular file is there. On what may hang it is taken for one unseen.
pub(crate) fn look_at_image(
    reader: &Reader<'_>,
    path: PathBuf,
    may_hang: bool,
    problems: &mut Vec<Problem>,
) -> Option<Entry> {
    if may_hang {
        return Some(Entry { path, holds: DirectoryUse::Images, size_bytes: None });
    }
    match reader.look(&path) {
        Ok(found) if found.is_file() => {
            Some(Entry { path, holds: DirectoryUse::Images, size_bytes: Some(found.len()) })
        }
        Ok(_) => None,
        Err(error) => {
            note(&path, &error, problems);
            None
        }
    }
}

/// What has gone meanwhile is no problem.
fn note(path: &Path, error: &io::Error, problems: &mut Vec<Problem>) {
    if !is_gone(error) {
        problems.push(Problem::new(path, "look at", error));
    }
}

/// Asks each file system for its room once.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    known: HashMap<PathBuf, Option<(u64, u64)>>,
}

impl Spaces {
    /// The file system that `path` lies on.
    pub(crate) fn file_system(&mut self, reader: &Reader<'_>, mount: &Mount, path: &Path) -> FileSystem {
        let space = match mount.may_hang() {
            true => None,
            false => *self.known.entry(mount.point.clone()).or_insert_with(|| reader.space(path).ok()),
        };
        FileSystem {
            name: mount.file_system.clone(),
            size_bytes: space.map(|(size, _)| size),
            free_bytes: space.map(|(_, free)| free),
            is_read_only: mount.is_read_only,
        }
    }
}

/// The mount that a path of ours lies on.
pub(crate) fn mount_above<'a>(mounts: &'a Mounts, roots: &Roots, path: &Path) -> Option<&'a Mount> {
    mounts.above(&roots.in_mount_table(path))
}
