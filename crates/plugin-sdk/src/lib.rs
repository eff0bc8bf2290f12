//! For authors of plugins, and for their callers: `coffer.plugin.v1` over a Unix socket.
//!
//! An author implements [`Plugin`] and calls [`serve`]; `examples/files.rs` is one that is complete. Requests and options are checked before the
//! plugin sees them, deadlines are kept, progress is sent, a panic is a failure. [`check::check`] is the conformance suite.
//!
//! # Map
//! - `plugin`, `job`, `failure`: what an author sees.
//! - `schema`, `strict_json`, `catalogue`: options and their schemas.
//! - `service`, `serve`: the server.
//! - `client`: the caller.
//! - `check`: the conformance suite.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod catalogue;
pub mod check;
mod client;
mod failure;
mod job;
mod plugin;
mod schema;
mod serve;
mod service;
mod strict_json;

pub use catalogue::{CatalogueError, Schemas};
pub use client::{Enumerated, Outcome, PluginClient, PluginError, WorkOrder};
pub use coffer_format::ResourceRef;
pub use coffer_proto::checked::PluginArtefact;
pub use coffer_proto::plugin::v1;
pub use failure::{DOMAIN, Failure, Reason};
pub use job::{DataStream, Job};
pub use plugin::{Listing, NO_OPTIONS, Page, Plugin, SchemaTexts, TypeInfo, unknown_type};
pub use schema::{OPTIONS_LEN_MAX, SCHEMA_LEN_MAX, Schema, SchemaError};
pub use serve::{ServeError, serve, serve_until};
pub use tonic::async_trait;
