//! What could not be read.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Something that could not be read, and may hide volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: PathBuf,
    /// What was attempted and what came of it, in words.
    pub reason: String,
}

impl Problem {
    pub(crate) fn new(path: &Path, step: &'static str, error: &io::Error) -> Self {
        Self { path: path.into(), reason: format!("{step}: {error}") }
    }

    pub(crate) fn odd_name(path: &Path) -> Self {
        Self {
            path: path.into(),
            reason: "the name is not UTF-8, as no name of Kubernetes or the kernel is".into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.reason)
    }
}
