//! Which image files are asked for.

use std::path::Path;

use crate::id::VolumeId;

/// Which images a listing has: there can be very many of them.
#[derive(Clone, Copy)]
pub enum Images<'a> {
    /// All.
    All,
    /// Those that lie at these paths. No directory is listed for them.
    At(&'a [&'a Path]),
    /// Of those that fit, the `max` that follow an id.
    Page {
        /// Text of the id that they follow; may be empty.
        after: &'a str,
        /// How many.
        max: usize,
        /// Whether one is wanted; asked before the file is looked at.
        fits: &'a dyn Fn(&VolumeId, &Path) -> bool,
    },
}
