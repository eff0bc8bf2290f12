//! What is at a path before anything is opened for writing: kind, size, room, and whether somebody uses it.
//!
//! It only looks. Its answer is advice that may be outdated a moment later; the guards that count are the exclusive
//! open and the lock that [`crate::FileTarget`] takes.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::statvfs::statvfs;

use crate::error::OpenError;
use crate::kind::PathKind;
use crate::place::Place;
use crate::{kernel, open, usage};

/// The answer of [`describe_path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The path as it was given.
    pub path: PathBuf,
    /// What it names.
    pub kind: PathKind,
    /// Whether it names anything.
    pub exists: bool,
    /// The size of a file or device in bytes; 0 for everything else.
    pub size_bytes: u64,
    /// What a regular file occupies on disk, in bytes: what is gained by replacing it. 0 for everything else.
    pub allocated_bytes: u64,
    /// Who uses the device or file, in words for a person: a mount, a device on top of it, swap, a loop device.
    pub mounted_or_held: Option<String>,
    /// Room for this user on the file system that holds the path (its directory, if missing), in bytes.
    ///
    /// For a device this is about the file system of the device *node*, and of no use.
    pub free_bytes: u64,
}

/// Looks at `path` without changing it.
///
/// A device that this user may not open for reading is an error, because its size cannot be told.
///
/// # Errors
/// [`OpenError::Io`]; a missing path is not an error, a missing parent directory is.
pub fn describe_path(path: &Path) -> Result<PathInfo, OpenError> {
    describe(&Place::Path(path))
}

/// Looks at what `handle` holds (a descriptor of O_PATH will do) without changing it. `label` is the path to name in
/// the answer and in errors; it is never opened.
///
/// # Errors
/// As of [`describe_path`].
pub fn describe_handle(handle: impl AsFd, label: &Path) -> Result<PathInfo, OpenError> {
    describe(&Place::Handle { handle: handle.as_fd(), label })
}

fn describe(place: &Place<'_>) -> Result<PathInfo, OpenError> {
    let path = place.label();
    let metadata = match place.metadata() {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(OpenError::Io { step: "look at", path: path.into(), source }),
    };
    let kind = metadata.as_ref().map_or(PathKind::Missing, |found| PathKind::of(found.file_type()));
    Ok(PathInfo {
        path: path.into(),
        kind,
        exists: metadata.is_some(),
        size_bytes: size_bytes(place, kind, metadata.as_ref())?,
        allocated_bytes: metadata.as_ref().map_or(0, |found| allocated_bytes(kind, found)),
        mounted_or_held: metadata.as_ref().and_then(usage::mounted_or_held),
        free_bytes: free_bytes(place, metadata.is_some())?,
    })
}

fn size_bytes(place: &Place<'_>, kind: PathKind, metadata: Option<&Metadata>) -> Result<u64, OpenError> {
    match (kind, metadata) {
        (PathKind::Image, Some(found)) => Ok(found.len()),
        (PathKind::Device, _) => place
            .open(File::options().read(true).custom_flags(libc::O_NONBLOCK))
            .and_then(|device| kernel::device_size_bytes(&device))
            .map_err(|source| open::io_error("ask for the size of", place.label(), source)),
        _ => Ok(0),
    }
}

fn allocated_bytes(kind: PathKind, metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // st_blocks counts units of 512 bytes on every Linux file system.
    if kind == PathKind::Image { metadata.blocks().saturating_mul(512) } else { 0 }
}

fn free_bytes(place: &Place<'_>, exists: bool) -> Result<u64, OpenError> {
    let asked = if exists { place.system_path() } else { directory_of(place.label()).to_path_buf() };
    let shown = if exists { place.label() } else { &asked };
    let figures =
        statvfs(&asked).map_err(|errno| open::io_error("ask for the free space at", shown, errno.into()))?;
    Ok(figures.blocks_available().saturating_mul(figures.fragment_size()))
}

/// The directory that holds `path`, `.` for a bare name.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::directory_of;

    #[test]
    fn a_bare_name_lies_in_the_current_directory() {
        let check =
            |path: &str, expected: &str| assert_eq!(directory_of(Path::new(path)), Path::new(expected));
        check("disk.img", ".");
        check("images/disk.img", "images");
        check("/disk.img", "/");
        check("/", "/");
    }
}
