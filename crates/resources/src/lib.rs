//! Resources of points: what plugins protect beside volumes.
//!
//! Which resources there are and in which order they are worked on is decided before anything is done; a run then does it and lets go of what it
//! holds, whatever happens. This crate knows plugins and no repository: what it made is handed to whoever commits the point.
//!
//! # Map
//! - `registry`: the plugins of a directory.
//! - `graph`, `plan`: which resources, in which order.
//! - `run`: one run.
//! - `journal`: what a run that was killed began.
//! - `stored`: restore, verify and delete of what points hold.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod error;
mod graph;
mod journal;
mod plan;
mod registry;
mod run;
mod stored;

pub use error::ResourceError;
pub use graph::{Graph, GraphError};
pub use journal::{Begun, BegunResource, Journal};
pub use plan::{Plan, Planned, Wish, plan};
pub use registry::Registry;
pub use run::{DataSink, Done, RunOrder, run};
pub use stored::{Restored, artefact, delete, release, restore, restore_options, take_back, verify};
