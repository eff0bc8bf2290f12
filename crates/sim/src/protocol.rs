//! The checked model of the repository protocol: commit, resume, hold, forget, prune and restore on one bucket.
//!
//! It explores every interleaving of single requests, with crashes after any of them, within the bounds of each
//! scenario. Must never depend on the code that it is the model of.

pub mod aftermath;
pub mod agent;
pub mod agents;
pub mod command;
pub mod explore;
pub mod forger;
pub mod forger_steps;
pub mod forgetter;
pub mod forgetter_steps;
pub mod holder;
pub mod holder_steps;
pub mod listing;
pub mod look;
pub mod names;
pub mod property;
mod property_name;
pub mod pruner;
pub mod pruner_order;
pub mod pruner_steps;
pub mod reader;
pub mod reader_steps;
pub mod rotator;
pub mod rotator_steps;
pub mod rule;
pub mod scenario;
pub mod scenarios;
pub mod state;
pub mod step;
pub mod store;
pub mod survey;
pub mod writer;
pub mod writer_order;
pub mod writer_steps;
