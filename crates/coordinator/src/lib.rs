//! The client of node agents: makes points whose volumes are on their nodes, and runs restores and verifications there.
//!
//! A caller gives addresses, certificates and keys as values, hears of progress through [`Progress`], and stops work through a [`StopWish`]. Nothing
//! here prints, reads arguments or the environment, or ends the process. Calls block; connections live on a thread of their own.
//!
//! # Map
//! - [`address`], `tls`, `probe`, `connector`, `connect`: from where agents listen to connections.
//! - `agent`, `agent_error`: one agent and what goes wrong there.
//! - `watch`, `board`, `backoff`: one operation followed to its end, through broken streams and restarts.
//! - `rounds`, `answers`, `parts`, `point_order`, `point_reference`: decisions about a point of several nodes. Pure.
//! - `backup`, `jobs`: what callers call.

pub mod address;
mod agent;
mod agent_error;
mod answers;
mod backoff;
mod backup;
mod board;
mod connect;
mod connector;
mod error;
mod jobs;
mod parts;
mod point_order;
mod point_reference;
mod probe;
mod progress;
mod rounds;
mod stop;
mod tls;
mod watch;

pub use self::address::AgentAddress;
pub use self::agent::Agent;
pub use self::agent_error::{AgentError, AgentErrorKind, certificate_error, plain};
pub use self::backup::make_point;
pub use self::connect::{Agents, ConnectOptions};
pub use self::error::CoordinatorError;
pub use self::jobs::{Job, run_jobs, watch};
pub use self::parts::{counts, total};
pub use self::point_order::{OwnVolumes, Part, PointMade, PointOrder};
pub use self::point_reference::plan;
pub use self::progress::{Progress, Standing};
pub use self::stop::StopWish;
pub use self::tls::{Tls, TlsError};
pub use self::watch::Start;
