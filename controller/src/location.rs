//! `BackupLocation`: whether its repository can be opened, which points it has, and giving back space.

mod catalogue;
mod prune;
mod reconcile;

pub use self::reconcile::{LocationContext, reconcile};
