//! Who may call: certificates, identities, the table of rules, and the listeners.
//!
//! The way of a call: [`listener`] takes the connection, [`tls`] checks its certificate, [`identity`] reads who that is, [`authorize`] asks
//! [`rules`] whether that caller may make this call, and only then does a service see it. A service asks
//! [`identity::Identity::may_act_for`] before it shows or does anything of a team's.

pub mod authorize;
pub mod connection;
pub mod error;
mod fields;
pub mod identity;
pub mod listener;
pub mod metered;
mod observed;
pub mod patience;
mod quota;
mod refusal;
pub mod rules;
pub mod slots;
pub mod tls;
pub mod trace_context;
mod unix_socket;

pub use error::EdgeError;
