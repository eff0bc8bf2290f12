//! The inventory: every volume of this node, in one pass over text files.
//!
//! A listing is a picture that may be outdated a moment later. What vanishes while it is made is left out, what cannot
//! be read is in it with the reason, and it fails only by being short of what it names under `problems`.

mod assemble;
mod choice;
mod groups;
mod identify;
mod images;
mod locate;
mod survey;
mod usage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use self::choice::Images;
use self::images::{Choice, offer_images};
use crate::id::VolumeId;
pub use crate::problem::Problem;
use crate::reader::{Effort, Reader};
use crate::roots::{DirectoryUse, Roots};
use crate::volume::Volume;

/// What [`Inventory::list`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The volumes, by id; no two have the same.
    pub volumes: Vec<Volume>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What it cost.
    pub effort: Effort,
    /// Images with greater ids than this one were left out, as there would have been more than were asked for.
    pub images_cut_after: Option<VolumeId>,
}

/// The caller wanted to stop before all was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped while this node's volumes were looked at")]
pub struct Stopped;

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
    single_images: Vec<PathBuf>,
}

impl Inventory {
    /// An inventory that looks at these places.
    pub fn new(roots: Roots) -> Self {
        Self { roots, single_images: Vec::new() }
    }

    /// Images at these paths are listed, too, wherever they lie.
    #[must_use]
    pub fn with_images(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        self.single_images.extend(paths);
        self
    }

    /// The places that it looks at.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Looks at everything.
    pub fn list(&self) -> Listing {
        self.look(Images::All, &|| false).expect("nobody wants to stop")
    }

    /// Looks. Takes 9 to 15 small reads for each device and 4 for each volume of a pod, and one for each image that is listed; tables are read
    /// once. `stop` is asked before each read and at each entry of a directory.
    ///
    /// # Errors
    /// [`Stopped`] soon after `stop` has said so.
    pub fn look(&self, images: Images<'_>, stop: &dyn Fn() -> bool) -> Result<Listing, Stopped> {
        let reader = Reader::new(stop);
        let mut survey = survey::Survey::make(&self.roots, &reader);
        let images_cut_after = self.find_images(&reader, images, &mut survey);
        let (volumes, problems) = assemble::assemble(&self.roots, &reader, survey);
        if reader.was_stopped() {
            return Err(Stopped);
        }
        Ok(Listing { volumes, problems, effort: reader.effort(), images_cut_after })
    }

    fn find_images(
        &self,
        reader: &Reader<'_>,
        images: Images<'_>,
        survey: &mut survey::Survey,
    ) -> Option<VolumeId> {
        let directories = self.roots.directories.iter();
        let directories: BTreeSet<&Path> = directories
            .filter(|root| root.holds == DirectoryUse::Images)
            .map(|root| root.path.as_path())
            .collect();
        let mut choice = Choice::new(images);
        match images {
            Images::At(paths) => {
                let known = |path: &&&Path| {
                    path.parent().is_some_and(|parent| directories.contains(parent))
                        || self.single_images.iter().any(|single| single == **path)
                };
                paths.iter().filter(known).for_each(|path| choice.offer(path.to_path_buf()));
            }
            Images::All | Images::Page { .. } => {
                self.single_images.iter().for_each(|path| choice.offer(path.clone()));
                for directory in directories {
                    offer_images(reader, directory, &mut choice, &mut survey.problems);
                }
            }
        }
        let (paths, cut) = choice.made();
        survey.add_images(&self.roots, reader, paths);
        cut
    }
}
