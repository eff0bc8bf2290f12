//! What can go wrong in this crate, one variant per thing a person can tell apart.
//!
//! `Display` states this step only; the system's own words are in `source`. No variant may hide which file, offset or
//! length it is about.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use thiserror::Error;

use crate::kind::PathKind;

/// Why there is no buffer.
#[derive(Debug, Error)]
pub enum ArenaError {
    /// The budget does not hold a single page.
    #[error("a memory budget of {budget_bytes} bytes is less than one 4 KiB page")]
    Budget {
        /// The budget asked for, in bytes.
        budget_bytes: usize,
    },
    /// The system refused to reserve the address space.
    #[error("reserve {budget_bytes} bytes of memory")]
    Map {
        /// The budget asked for, in bytes.
        budget_bytes: usize,
        /// The system's answer.
        source: io::Error,
    },
    /// The request can never be served: waiting would be a deadlock.
    #[error("a buffer of {len_bytes} bytes exceeds the whole memory budget of {budget_bytes} bytes")]
    TooLarge {
        /// The length asked for, in bytes.
        len_bytes: usize,
        /// The whole budget, in bytes.
        budget_bytes: usize,
    },
}

/// Why a source or target cannot be opened or described.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is nothing at this path.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The path given.
        path: PathBuf,
    },
    /// There is something at this path, and it must not be replaced.
    #[error("{} exists already", path.display())]
    Exists {
        /// The path given.
        path: PathBuf,
    },
    /// Neither a regular file nor a block device.
    #[error("{} is {kind}, not a block device or a regular file", path.display())]
    WrongKind {
        /// The path given.
        path: PathBuf,
        /// What it is instead.
        kind: PathKind,
    },
    /// Mounted, held by another device, or locked by another program.
    #[error("{} is in use: {reason}", path.display())]
    Busy {
        /// The path given.
        path: PathBuf,
        /// By whom, as far as known.
        reason: String,
    },
    /// A block device that refuses O_DIRECT, without which it is neither read nor written.
    #[error("{} refuses direct I/O", path.display())]
    NotDirect {
        /// The path given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The path named one thing when it was looked at and another when it was opened.
    #[error("{} was replaced while it was being opened", path.display())]
    Replaced {
        /// The path given.
        path: PathBuf,
    },
    /// Any other refusal of the system.
    #[error("{step} {}", path.display())]
    Io {
        /// What was attempted, as a verb with its preposition: `open`, `ask for the size of`.
        step: &'static str,
        /// The path given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why bytes could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system reported an error.
    #[error("read {len_bytes} bytes at offset {offset} of {}", path.display())]
    Io {
        /// What was read from.
        path: PathBuf,
        /// Where the request began, in bytes.
        offset: u64,
        /// How long the request was, in bytes.
        len_bytes: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The source ended before the request did: it shrank, or the request lies past its end.
    #[error(
        "{} ends inside of the {len_bytes} bytes at offset {offset}: only {read_bytes} could be read",
        path.display()
    )]
    Short {
        /// What was read from.
        path: PathBuf,
        /// Where the request began, in bytes.
        offset: u64,
        /// How long the request was, in bytes.
        len_bytes: u64,
        /// How much there was, in bytes.
        read_bytes: u64,
    },
    /// The thread that reads for all volumes ended before this read did.
    #[error("the io_uring engine stopped in the middle of a read; reads with pread do without it")]
    EngineGone,
    /// The holes of a range could not be asked for.
    #[error("look for holes in the {len_bytes} bytes at offset {offset} of {}", path.display())]
    Holes {
        /// What was asked.
        path: PathBuf,
        /// Where the range began, in bytes.
        offset: u64,
        /// How long the range was, in bytes.
        len_bytes: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The size could not be asked for again.
    #[error("ask for the size of {}", path.display())]
    Size {
        /// What was asked.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why bytes could not be written or made durable.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The system reported an error.
    #[error("write {len_bytes} bytes at offset {offset} of {}", path.display())]
    Io {
        /// What was written to.
        path: PathBuf,
        /// Where the request began, in bytes.
        offset: u64,
        /// How long the request was, in bytes.
        len_bytes: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The file system (or the quota on it) is full.
    #[error("no space left for {len_bytes} bytes at offset {offset} of {}", path.display())]
    NoSpace {
        /// What was written to.
        path: PathBuf,
        /// Where the request began, in bytes.
        offset: u64,
        /// How long the request was, in bytes.
        len_bytes: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The request reaches past the end of the target; nothing was written.
    #[error(
        "{len_bytes} bytes at offset {offset} reach past the end of {}, which has {size_bytes} bytes",
        path.display()
    )]
    OutOfRange {
        /// What would have been written to.
        path: PathBuf,
        /// Where the request began, in bytes.
        offset: u64,
        /// How long the request was, in bytes.
        len_bytes: u64,
        /// The size of the target, in bytes.
        size_bytes: u64,
    },
    /// What was written may not have reached stable storage.
    #[error("flush {}", path.display())]
    Flush {
        /// What was flushed.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A flush failed earlier; the system reports such a loss only once, so no later flush can be trusted.
    #[error("an earlier flush of {} failed, so what was written may be lost", path.display())]
    EarlierFlush {
        /// What was flushed.
        path: PathBuf,
    },
    /// The size of the target could not be changed.
    #[error("change the size of {} to {size_bytes} bytes", path.display())]
    Resize {
        /// What was to be resized.
        path: PathBuf,
        /// The size asked for, in bytes.
        size_bytes: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that is whole could not be given its final name.
    #[error("rename {} to {}", from.display(), to.display())]
    Rename {
        /// Where the file is.
        from: PathBuf,
        /// Where it was to be.
        to: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl WriteError {
    /// Sorts a failed write by what a person does about it.
    pub(crate) fn from_io(path: PathBuf, offset: u64, len_bytes: u64, source: io::Error) -> Self {
        let errno = source.raw_os_error().map(Errno::from_raw);
        match errno {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::NoSpace { path, offset, len_bytes, source },
            _ => Self::Io { path, offset, len_bytes, source },
        }
    }
}
