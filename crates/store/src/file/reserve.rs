//! A little space that is kept free for the day the disk is full: whoever deletes announces it first, and that takes room too.
//!
//! The reserve is a file beside the keys, of bytes that no file system can store in less room. It must never be listed, and never
//! take the last room that somebody else needs.

use std::io;

use super::FileStore;
use super::dirs::is_absent;
use super::fs::{Fs, WriteMode};
use super::names::RESERVE;
use super::publish::move_noreplace;
use super::temp::TempKind;

/// Some thousand small records.
const LEN_MAX: usize = 1 << 20;
/// Less than this is not worth a file.
const LEN_MIN: usize = 64 << 10;

impl<F: Fs> FileStore<F> {
    /// Frees the reserve. Whether there was one.
    pub(super) fn free_reserve(&self) -> io::Result<bool> {
        let root = self.fs.root()?;
        match self.fs.unlink(&root, RESERVE) {
            Err(error) if is_absent(&error) => Ok(false),
            done => {
                done?;
                // Some file systems give blocks back only when the change is on the disk.
                self.fs.sync_dir(&root)?;
                Ok(true)
            }
        }
    }

    /// Makes the reserve, or as much of it as there is room for.
    pub(super) fn make_reserve(&self) -> io::Result<()> {
        let root = self.fs.root()?;
        let len_max = u64::try_from(LEN_MAX).expect("a mebibyte");
        match self.fs.stat(&root, RESERVE) {
            Ok(there) if there.len >= len_max => return Ok(()),
            Err(error) if !is_absent(&error) => return Err(error),
            _ => self.free_reserve()?,
        };
        let mut len = LEN_MAX;
        loop {
            match self.write_reserve(len) {
                Err(error) if is_full(&error) && len > LEN_MIN => len /= 2,
                done => return done,
            }
        }
    }

    fn write_reserve(&self, len: usize) -> io::Result<()> {
        let mut bytes = vec![0; len];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let (dir, temp, file) = self.create_temp(TempKind::Put, WriteMode::Buffered)?;
        let made =
            self.fs.write_at(&file, 0, &bytes).and_then(|()| self.fs.sync_file(&file)).and_then(|()| {
                let root = self.fs.root()?;
                move_noreplace(&self.fs, (&dir, &temp), (&root, RESERVE))?;
                self.fs.sync_dir(&root)
            });
        match made {
            Ok(()) => Ok(()),
            Err(error) => {
                let _ = self.fs.unlink(&dir, &temp);
                // Another process made it.
                if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
