//! Verbs through node agents: from options to the coordinator (`coffer-coordinator`), which does the work.
//!
//! # Map
//! - `options`, `supported_options`, `split`: from words to where agents are and what may be asked of them.
//! - `access`: secrets that travel.
//! - `connect`: certificates are read, agents connected.

mod access;
mod connect;
mod options;
mod split;
mod supported_options;

pub(crate) use self::access::Access;
pub(crate) use self::connect::{connect, only_one};
pub(crate) use self::options::AgentOptions;
pub(crate) use self::split::{Placed, placed};
pub(crate) use self::supported_options::contradiction;
