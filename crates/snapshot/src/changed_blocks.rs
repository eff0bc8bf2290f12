//! The port that tells changes.

use std::ops::Range;

use crate::error::ChangesError;
use crate::token::BaseToken;

/// Tells which bytes of a snapshot differ from an earlier one.
pub trait ChangedBlockSource: Send + Sync {
    /// Its name in records: 1 to 32 characters of `a-z0-9-`.
    fn name(&self) -> &'static str;

    /// What the next run needs to ask for the changes since this snapshot.
    fn token(&self) -> &BaseToken;

    /// Gives `sink` every range of bytes of this snapshot that may differ from the base's, ascending. Ranges past the base's end are among them. What was given
    /// before an error says nothing.
    ///
    /// # Errors
    /// [`ChangesError`], whose disposition says what to do.
    fn changed_since(&self, base: &BaseToken, sink: &mut dyn FnMut(Range<u64>)) -> Result<(), ChangesError>;
}
