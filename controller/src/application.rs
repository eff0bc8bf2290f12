//! An application: what of a namespace a plan selects, on which nodes its volumes are, and which objects make it up.

mod collect;
mod observe;
pub mod references;
pub mod select;

pub use self::collect::{Document, collect};
pub use self::observe::observe;
