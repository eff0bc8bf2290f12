//! Brings a point back: pack by pack, out of order, each block checked before it is written.

mod from_map;
mod in_place;
mod lost;
mod plan;
mod preflight;
mod request;
mod run;
mod salvage;
mod stream;
mod threads;
mod volume;
mod window;
mod writer;

pub use from_map::{MapVolume, map_volume, salvage_from_map};
pub use lost::LostRange;
pub use preflight::check_restore;
pub use run::{
    RestoreMode, RestoreReport, RestoreRequest, RestoreVolume, RestoredVolume, run_restore, run_salvage,
};
pub use stream::restore_to_stream;
