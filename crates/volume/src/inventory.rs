//! The inventory: every volume of this node, in one pass over text files.
//!
//! A listing is a picture that may be outdated a moment later. What vanishes while it is made is left out, what cannot
//! be read is in it with the reason, and it fails only by being short of what it names under `problems`.

mod assemble;
mod groups;
mod identify;
mod locate;
mod survey;
mod usage;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::reader::{Effort, Reader};
use crate::roots::Roots;
use crate::volume::Volume;

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

/// What [`Inventory::list`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The volumes, by id; no two have the same.
    pub volumes: Vec<Volume>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What it cost.
    pub effort: Effort,
}

impl Listing {
    /// The volume with this id, else the only one that has it as an alias.
    pub fn find(&self, id: &str) -> Option<&Volume> {
        if let Some(volume) = self.volumes.iter().find(|volume| volume.id.as_str() == id) {
            return Some(volume);
        }
        let has_alias = |volume: &&Volume| volume.aliases.iter().any(|alias| alias.as_str() == id);
        let mut named = self.volumes.iter().filter(has_alias);
        named.next().filter(|_| named.next().is_none())
    }
}

/// Lists the volumes of a node.
#[derive(Debug, Clone)]
pub struct Inventory {
    roots: Roots,
}

impl Inventory {
    /// An inventory that looks at these places.
    pub fn new(roots: Roots) -> Self {
        Self { roots }
    }

    /// The places that it looks at.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Looks. Takes 9 to 15 small reads for each device and 4 for each volume of a pod; tables are read once.
    pub fn list(&self) -> Listing {
        let reader = Reader::default();
        let survey = survey::Survey::make(&self.roots, &reader);
        let (volumes, problems) = assemble::assemble(&self.roots, &reader, survey);
        Listing { volumes, problems, effort: reader.effort() }
    }
}
