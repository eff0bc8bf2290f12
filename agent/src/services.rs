//! The gRPC services, each a thin layer over what does the work.

pub mod node;
