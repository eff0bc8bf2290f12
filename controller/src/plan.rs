//! `ContinuityPlan`: when its runs begin, and what its status says.

pub mod decide;
mod reconcile;
pub mod summary;

pub use self::reconcile::{PlanContext, reconcile};
