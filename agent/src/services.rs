//! The gRPC services, each a thin layer over what does the work.

mod message;
pub mod node;
pub mod operations;
pub mod turnstile;
pub mod volumes;
mod waits;
