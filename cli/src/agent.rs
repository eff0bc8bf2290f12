//! Verbs through node agents: this program is their client, and the coordinator of points whose volumes are on their nodes.
//!
//! # Map
//! - `address`, `options`, `supported_options`: from words to where agents are and what may be asked of them.
//! - `split`, `rounds`, `reference`, `parts`, `backoff`: decisions. Pure.
//! - `connector`, `probe`, `connect`, `watch`, `failure`, `board`: connections, operations followed to their end, errors, progress.
//! - `access`: secrets that travel.
//! - `backup`, `job`: what verbs call.

mod access;
mod address;
mod backoff;
mod backup;
mod board;
mod connect;
mod connector;
mod failure;
mod job;
mod options;
mod parts;
mod point_reference;
mod probe;
mod rounds;
mod split;
mod supported_options;
mod watch;

pub(crate) use self::backup::{Part, Wanted, run as run_backup};
pub(crate) use self::connect::{Agent, Agents};
pub(crate) use self::failure::{AgentError, plain, tls_error};
pub(crate) use self::job::{Access, Job, plan, run_jobs, watch};
pub(crate) use self::options::AgentOptions;
pub(crate) use self::parts::{counts, total};
pub(crate) use self::split::{Placed, placed};
pub(crate) use self::supported_options::contradiction;
pub(crate) use self::watch::Start;
