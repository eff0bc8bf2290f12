//! `Restore`: a point brought back into the restore's namespace.

mod claims;
mod journal;
mod objects;
mod preflight;
mod reconcile;
pub mod rename;
mod resolve;
mod run;
mod scale;
mod status;
mod target;
mod volumes;

pub use self::reconcile::reconcile;
