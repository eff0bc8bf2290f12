//! The node agent: gRPC operations on the volumes of one node, within one budget.
//!
//! The edge (`edge`) decides who may call; services turn messages into checked types; operations outlive their callers and are kept in a
//! journal; the engine does the work on plain threads. It never deletes anything from a repository.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod admission;
pub mod closed_file;
pub mod composition;
pub mod config;
pub mod directories;
pub mod edge;
pub mod errors;
pub mod health;
mod limiters;
pub mod logging;
mod metered;
pub mod metrics;
mod node_side;
pub mod node_volumes;
pub mod operations;
pub mod priority;
mod request_words;
pub mod requests;
pub mod run;
pub mod server;
pub mod services;
pub mod shares;
pub mod signals;
pub mod teams;
mod threads;
