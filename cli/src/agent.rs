//! Verbs through node agents: this program is their client, and the coordinator of points whose volumes are on their nodes.
//!
//! # Map
//! - `address`, `options`, `given`: from words to where agents are and what may be asked of them.
//! - `split`, `rounds`, `ticket`, `parts`, `backoff`: decisions. Pure.
//! - `door`, `probe`, `connect`, `watch`, `failure`, `board`: connections, operations followed to their end, errors, progress.
//! - `access`: secrets that travel.
//! - `backup`, `job`: what verbs call.

mod access;
mod address;
mod backoff;
mod backup;
mod board;
mod connect;
mod door;
mod failure;
mod given;
mod job;
mod options;
mod parts;
mod probe;
mod rounds;
mod split;
mod ticket;
mod watch;

pub(crate) use self::backup::{Part, Wanted, run as run_backup};
pub(crate) use self::connect::{Agent, Agents};
pub(crate) use self::failure::{AgentError, plain, tls_error};
pub(crate) use self::given::contradiction;
pub(crate) use self::job::{Access, Job, plan, run_jobs, watch};
pub(crate) use self::options::AgentOptions;
pub(crate) use self::parts::{counts, total};
pub(crate) use self::split::{Placed, placed};
pub(crate) use self::watch::Start;
