//! Brings a point back: pack by pack, out of order, each block checked before it is written.

mod in_place;
mod run;
mod stream;
mod volume;
mod writer;

pub use run::{RestoreMode, RestoreReport, RestoreRequest, RestoreVolume, RestoredVolume, run_restore};
pub use stream::restore_to_stream;
