//! Chooses the images of a listing by their names alone, so that a directory of a million files costs no more memory than what is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::choice::Images;
use crate::id::VolumeId;
use crate::problem::Problem;
use crate::reader::Reader;

/// The images that were chosen up to now, in the order of their ids. No two have the same path.
pub(super) struct Choice<'a> {
    images: Images<'a>,
    chosen: BTreeMap<VolumeId, PathBuf>,
    /// Whether one that fits was left out.
    is_cut: bool,
}

impl<'a> Choice<'a> {
    pub(super) fn new(images: Images<'a>) -> Self {
        Self { images, chosen: BTreeMap::new(), is_cut: false }
    }

    /// Takes the image at `path`, if it is wanted.
    pub(super) fn offer(&mut self, path: PathBuf) {
        let id = VolumeId::of_path(&path);
        let Images::Page { after, max, fits } = self.images else {
            self.chosen.insert(id, path);
            return;
        };
        let is_beyond =
            self.chosen.len() >= max && self.chosen.last_key_value().is_none_or(|(last, _)| id > *last);
        // That one more fits is known at the first of them; the others need not be asked.
        if id.as_str() <= after || (is_beyond && self.is_cut) || !fits(&id, &path) {
            return;
        }
        if !is_beyond {
            self.chosen.insert(id, path);
        }
        if is_beyond || self.chosen.len() > max {
            self.is_cut = true;
        }
        if self.chosen.len() > max {
            self.chosen.pop_last();
        }
    }

    /// The paths, and the last id if any were left out after it.
    pub(super) fn made(self) -> (Vec<PathBuf>, Option<VolumeId>) {
        let last = self.chosen.last_key_value().map(|(id, _)| id.clone());
        (self.chosen.into_values().collect(), last.filter(|_| self.is_cut))
    }
}

/// Offers the regular files that lie directly in a directory, by what the directory itself says of its entries.
pub(super) fn offer_images(
    reader: &Reader<'_>,
    directory: &Path,
    choice: &mut Choice<'_>,
    problems: &mut Vec<Problem>,
) {
    let listed = reader.entries(directory, |entry| {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            choice.offer(entry.path());
        }
    });
    if let Err(error) = listed {
        problems.push(Problem::new(directory, "list the configured directory", &error));
    }
}
