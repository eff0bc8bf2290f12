//! The operations of the agent over its library: a real gRPC server on loopback, real files, no TLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod flows;
mod history;
mod isolation;
mod limits;
mod sight;
mod stopping;
mod stores;
mod world;
