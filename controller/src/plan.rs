//! `ContinuityPlan`: when its runs begin, and what its status says.

pub mod decide;
