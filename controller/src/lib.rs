//! The controller of Coffer: observes what teams want, plans (pure), applies. It never touches a volume's data; agents do, through `coffer-coordinator`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod plan;
pub mod schedule;
