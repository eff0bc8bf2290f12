//! The gRPC services, each a thin layer over what does the work.

pub mod admission;
mod message;
pub mod node;
pub mod operations;
pub mod volumes;
mod waits;
