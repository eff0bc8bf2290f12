//! The controller of Coffer: observes what teams want, plans (pure), applies. It never touches a volume's data; agents do, through `coffer-coordinator`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod agents;
pub mod application;
pub mod backup;
pub mod certificates;
pub mod clock;
pub mod cluster;
pub mod context;
pub mod errors;
pub mod leader;
pub mod location;
pub mod logging;
pub mod notes;
pub mod plan;
pub mod repositories;
pub mod restore;
pub mod run;
pub mod runs;
pub mod schedule;
pub mod serve;
pub mod settings;
pub mod shifted_store;
pub mod status;
pub mod team;
pub mod tenants;
pub mod wiring;

/// Who owns the fields that the controller sets.
pub const FIELD_MANAGER: &str = "coffer-controller";
