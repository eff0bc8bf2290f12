//! What a point says about how its volume was read.

use std::fmt;

/// How good a copy is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consistency {
    /// Read while it was, or may have been, written to: no moment's state.
    None,
    /// One moment's state, as after a power cut.
    Crash,
    /// One moment's state with the file system at rest.
    Filesystem,
    /// One moment's state with the application at rest.
    Application,
}

/// How the volume was held still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SnapshotKind {
    /// Not at all.
    None,
    /// A clone of the image file by reflink.
    Reflink,
    /// Its file systems were frozen while it was read.
    Frozen,
}

/// What is recorded of a volume's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Name of the engine, such as `reflink` or `live`.
    pub engine: &'static str,
    /// How the volume was held still.
    pub snapshot: SnapshotKind,
    /// How good the copy is.
    pub consistency: Consistency,
    /// How long file systems were frozen for it, milliseconds.
    pub frozen_ms: Option<u64>,
    /// Why nothing better was used, one reason each.
    pub fallbacks: Vec<String>,
}

impl Consistency {
    /// The word in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Crash => "crash",
            Self::Filesystem => "filesystem",
            Self::Application => "application",
        }
    }
}

impl SnapshotKind {
    /// The word in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reflink => "reflink",
            Self::Frozen => "frozen",
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for SnapshotKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
