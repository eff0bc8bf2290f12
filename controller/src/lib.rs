//! The controller of Coffer: observes what teams want, plans (pure), applies. It never touches a volume's data; agents do, through `coffer-coordinator`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod plan;
pub mod schedule;

pub mod agents;
pub mod certificates;
pub mod clock;
pub mod cluster;
pub mod context;
pub mod leader;
pub mod logging;
pub mod repositories;
pub mod runs;
pub mod settings;
pub mod shifted_store;

/// Who owns the fields that the controller sets.
pub const FIELD_MANAGER: &str = "coffer-controller";
