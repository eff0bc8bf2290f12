//! Opens devices and images: looks at the kind first, then finds out by trying whether O_DIRECT works.
//!
//! It must never open what is neither a regular file nor a block device (a pipe would block, a tape would rewind),
//! never change what it opens, and never open by handle anything but what the handle holds.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use crate::BUFFER_ALIGN_BYTES;
use crate::alignment::Alignment;
use crate::bounce::Bounce;
use crate::error::OpenError;
use crate::handle::{Access, DirectFile, is_refusal};
use crate::kernel::{self, DirectSupport};
use crate::kind::PathKind;
use crate::patience::patiently;
use crate::place::Place;
use crate::usage;

/// What a descriptor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reading only.
    Source,
    /// Writing and reading; nobody else may use it at the same time.
    Target,
}

/// Opens the device or image at `place`.
pub(crate) fn open(place: &Place<'_>, purpose: Purpose) -> Result<Access, OpenError> {
    match kind_at(place)? {
        PathKind::Device => Ok(Access::Device(open_device(place, purpose)?)),
        PathKind::Image => {
            let buffered = open_as(place, purpose, 0, PathKind::Image)?;
            image(place, purpose, buffered)
        }
        kind => Err(OpenError::WrongKind { path: place.label().into(), kind }),
    }
}

/// Completes an image of which only the buffered descriptor is open.
pub(crate) fn image(place: &Place<'_>, purpose: Purpose, buffered: File) -> Result<Access, OpenError> {
    let Some(alignment) = image_alignment(&buffered, purpose) else {
        return Ok(Access::Image { buffered, direct: None });
    };
    let file = match open_flags(place, purpose, libc::O_DIRECT) {
        Ok(file) => file,
        Err(error) if is_refusal(&error) => return Ok(Access::Image { buffered, direct: None }),
        Err(source) => return Err(io_error("open", place.label(), source)),
    };
    if !same_file(&metadata(place, &buffered)?, &metadata(place, &file)?) {
        return Err(OpenError::Replaced { path: place.label().into() });
    }
    let direct = DirectFile { file, alignment };
    let direct = probe(&direct).is_ok().then_some(direct);
    Ok(Access::Image { buffered, direct })
}

pub(crate) fn io_error(step: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { step, path: path.into(), source }
}

fn kind_at(place: &Place<'_>) -> Result<PathKind, OpenError> {
    let found = place.metadata().map_err(|source| not_found_or("look at", place, source))?;
    Ok(PathKind::of(found.file_type()))
}

fn open_device(place: &Place<'_>, purpose: Purpose) -> Result<DirectFile, OpenError> {
    let file = match purpose {
        Purpose::Source => open_as(place, purpose, libc::O_DIRECT, PathKind::Device)?,
        Purpose::Target => claim_device(place)?,
    };
    let path = place.label();
    let sector_bytes = kernel::device_sector_bytes(&file)
        .map_err(|source| io_error("ask for the sector size of", path, source))?;
    let alignment = alignment(sector_bytes, sector_bytes).ok_or_else(|| {
        io_error("make sense of the sector size of", path, io::ErrorKind::InvalidData.into())
    })?;
    let direct = DirectFile { file, alignment };
    probe(&direct).map_err(|source| OpenError::NotDirect { path: path.into(), source })?;
    Ok(direct)
}

/// On a block device O_EXCL without O_CREAT claims it: mounted, or part of another device, means EBUSY.
fn claim_device(place: &Place<'_>) -> Result<File, OpenError> {
    let claim = || open_as(place, Purpose::Target, libc::O_DIRECT | libc::O_EXCL, PathKind::Device);
    let passes = |error: &OpenError| matches!(error, OpenError::Busy { .. }) && known_use(place).is_none();
    patiently(claim, passes)
}

fn open_as(place: &Place<'_>, purpose: Purpose, flags: i32, expected: PathKind) -> Result<File, OpenError> {
    let file = open_flags(place, purpose, flags).map_err(|source| open_error(place, source, expected))?;
    let found = metadata(place, &file)?;
    if PathKind::of(found.file_type()) != expected || !is_what_the_handle_holds(place, &found)? {
        return Err(OpenError::Replaced { path: place.label().into() });
    }
    Ok(file)
}

/// A path may name something else by now, which the callers check; what a handle holds is known.
fn is_what_the_handle_holds(place: &Place<'_>, opened: &Metadata) -> Result<bool, OpenError> {
    let held = place.held_metadata().map_err(|source| io_error("look at", place.label(), source))?;
    Ok(held.is_none_or(|held| same_file(&held, opened) && held.rdev() == opened.rdev()))
}

fn open_error(place: &Place<'_>, source: io::Error, expected: PathKind) -> OpenError {
    let path = place.label();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EBUSY | Errno::ETXTBSY) => {
            OpenError::Busy { path: path.into(), reason: busy_reason(place) }
        }
        // A driver without direct I/O refuses the open itself.
        Some(Errno::EINVAL) if expected == PathKind::Device => {
            OpenError::NotDirect { path: path.into(), source }
        }
        _ => not_found_or("open", place, source),
    }
}

fn known_use(place: &Place<'_>) -> Option<String> {
    place.metadata().ok().and_then(|found| usage::mounted_or_held(&found))
}

fn busy_reason(place: &Place<'_>) -> String {
    known_use(place)
        .unwrap_or_else(|| "another program, or a mount that cannot be seen from here, holds it".to_owned())
}

/// Opens close-on-exec. Sources are opened without updating their access time, where they belong to this user.
fn open_flags(place: &Place<'_>, purpose: Purpose, flags: i32) -> io::Result<File> {
    let open = |flags| {
        let mut options = OpenOptions::new();
        options.read(true).write(purpose == Purpose::Target).custom_flags(flags);
        place.open(&options)
    };
    if purpose == Purpose::Target {
        return open(flags);
    }
    match open(flags | libc::O_NOATIME) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => open(flags),
        result => result,
    }
}

/// What direct I/O on an image demands; `None` if it does not take any.
fn image_alignment(buffered: &File, purpose: Purpose) -> Option<Alignment> {
    // 4 KiB suits every file system that does not say: it is a multiple of all sector sizes in use.
    let page_bytes = u32::try_from(BUFFER_ALIGN_BYTES).expect("a page is 4 KiB");
    let found = match kernel::direct_support(buffered) {
        DirectSupport::No => None,
        DirectSupport::Unknown => alignment(page_bytes, page_bytes),
        DirectSupport::Aligned { memory_bytes, offset_bytes } => alignment(memory_bytes, offset_bytes),
    }?;
    // Targets write whole pages directly and parts of pages through the cache, so that no page is written both ways
    // by writers whose ranges do not overlap.
    let offset_bytes = match purpose {
        Purpose::Source => found.offset_bytes,
        Purpose::Target => found.offset_bytes.max(page_bytes.into()),
    };
    Some(Alignment { offset_bytes, ..found })
}

fn alignment(memory_bytes: u32, offset_bytes: u32) -> Option<Alignment> {
    let usable = memory_bytes.is_power_of_two() && offset_bytes.is_power_of_two();
    let memory_bytes = usize::try_from(memory_bytes).ok()?;
    usable.then_some(Alignment { memory_bytes, offset_bytes: offset_bytes.into() })
}

/// Tries one aligned read. Only a refusal of direct I/O as such counts; a bad first sector is for the reader to meet.
fn probe(direct: &DirectFile) -> io::Result<()> {
    let alignment = direct.alignment;
    let len_bytes = usize::try_from(alignment.offset_bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bounce = Bounce::zeroed(len_bytes, alignment.memory_bytes);
    match direct.file.read_at(bounce.bytes_mut(), 0) {
        Err(error) if is_refusal(&error) => Err(error),
        _ => Ok(()),
    }
}

fn metadata(place: &Place<'_>, file: &File) -> Result<Metadata, OpenError> {
    file.metadata().map_err(|source| io_error("look at", place.label(), source))
}

fn same_file(left: &Metadata, right: &Metadata) -> bool {
    (left.dev(), left.ino()) == (right.dev(), right.ino())
}

fn not_found_or(step: &'static str, place: &Place<'_>, source: io::Error) -> OpenError {
    match (source.kind(), place) {
        (io::ErrorKind::NotFound, Place::Path(path)) => OpenError::NotFound { path: (*path).into() },
        (io::ErrorKind::NotFound, Place::Handle { label, .. }) => {
            io_error("open through /proc/self/fd, where /proc may not be mounted,", label, source)
        }
        _ => io_error(step, place.label(), source),
    }
}
