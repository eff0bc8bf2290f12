//! `Backup`: the run that makes a point, and what became of it.

mod order;
mod reconcile;
mod retention;
mod run;
mod status;

pub use self::reconcile::reconcile;
pub use self::status::discovered;
