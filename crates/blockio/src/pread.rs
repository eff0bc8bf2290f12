//! The source that reads with `pread`: works everywhere, and many threads may use one at once.
//!
//! It never writes, never goes through the page cache for a device, and never returns fewer bytes than asked for.

use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskActivity};
use crate::error::{OpenError, ReadError};
use crate::handle::{Access, Handle};
use crate::holes;
use crate::kind::SourceKind;
use crate::open::{self, Purpose};
use crate::place::Place;
use crate::source::BlockSource;

/// A block device or regular file opened for reading.
#[derive(Debug)]
pub struct PreadSource {
    /// Shared with reads that are in flight, so that it stays open until they are done.
    handle: Arc<Handle>,
    size_bytes: u64,
    knows_holes: bool,
}

impl PreadSource {
    /// Opens the block device or regular file at `path`, symbolic links followed.
    ///
    /// Devices are read with O_DIRECT only; files with O_DIRECT where their file system takes it.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], [`OpenError::WrongKind`] for everything else than a device or file,
    /// [`OpenError::NotDirect`] for a device without direct I/O, [`OpenError::Replaced`], [`OpenError::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_place(&Place::Path(path.as_ref()))
    }

    /// Opens the block device or regular file that `handle` holds, which any descriptor of it will do for, one of
    /// O_PATH too. `label` is the path to name in errors; it is never opened.
    ///
    /// The handle is opened again through `/proc/self/fd`, so that its own flags do not matter and it may be closed
    /// afterwards.
    ///
    /// # Errors
    /// As of [`PreadSource::open`], but never [`OpenError::NotFound`]: without `/proc` it is [`OpenError::Io`].
    pub fn open_handle(handle: impl AsFd, label: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_place(&Place::Handle { handle: handle.as_fd(), label: label.as_ref() })
    }

    fn open_place(place: &Place<'_>) -> Result<Self, OpenError> {
        let path = place.label();
        let handle = Arc::new(Handle::new(path, open::open(place, Purpose::Source)?));
        let size_bytes =
            handle.size_bytes().map_err(|source| open::io_error("ask for the size of", path, source))?;
        let knows_holes = match &handle.access {
            Access::Image { buffered, .. } => holes::are_known(buffered),
            Access::Device(_) => false,
        };
        Ok(Self { handle, size_bytes, knows_holes })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.handle.path
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }
}

impl BlockSource for PreadSource {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.handle.read_exact_at(offset, buf)
    }

    fn is_direct(&self) -> bool {
        self.handle.alignment().is_some()
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        let end = end.min(self.size_bytes);
        if start >= end {
            return Ok(Vec::new());
        }
        match &self.handle.access {
            Access::Image { buffered, .. } if self.knows_holes => holes::data_ranges(buffered, start, end)
                .map_err(|source| ReadError::Holes {
                    path: self.handle.path.clone(),
                    offset: start,
                    len_bytes: end - start,
                    source,
                }),
            _ => Ok(std::iter::once(start..end).collect()),
        }
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        if offset >= self.size_bytes {
            return Ok(None);
        }
        match &self.handle.access {
            Access::Image { buffered, .. } if self.knows_holes => {
                holes::next_data(buffered, offset, self.size_bytes).map_err(|source| ReadError::Holes {
                    path: self.handle.path.clone(),
                    offset,
                    len_bytes: self.size_bytes - offset,
                    source,
                })
            }
            _ => Ok(Some(offset)),
        }
    }

    fn knows_holes(&self) -> bool {
        self.knows_holes
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        self.handle.size_bytes().map_err(|source| ReadError::Size { path: self.handle.path.clone(), source })
    }

    fn kind(&self) -> SourceKind {
        self.handle.kind()
    }

    fn disks(&self) -> Vec<Box<dyn DiskActivity>> {
        let below = self.handle.metadata().map(|metadata| Disk::below(&metadata)).unwrap_or_default();
        below.into_iter().map(|disk| Box::new(disk) as Box<dyn DiskActivity>).collect()
    }
}
