//! What tells whether a file was written to: its identity, size and times.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use coffer_blockio::file_generation;

/// A file's identity and the time of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// `inode.generation.seconds.nanoseconds` of the last change of data or metadata.
    text: String,
    /// Bytes.
    pub(crate) size: u64,
}

impl Stamp {
    pub(crate) fn of(file: &File) -> io::Result<Stamp> {
        let found = file.metadata()?;
        let generation = file_generation(file).unwrap_or(0);
        Ok(Stamp::new(&found, generation))
    }

    /// The text of a token.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn new(found: &Metadata, generation: u32) -> Stamp {
        // The device's number is left out: it changes from one mount to the next.
        let text = format!(
            "{}.{generation}.{}.{}.{}.{}",
            found.ino(),
            found.ctime(),
            found.ctime_nsec(),
            found.mtime(),
            found.mtime_nsec()
        );
        Stamp { text, size: found.len() }
    }
}
