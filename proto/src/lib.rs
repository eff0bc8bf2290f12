//! gRPC messages of Coffer: generated code, the closed list of calls, and domain types that cannot be wrong.
//!
//! A request is checked once, at the edge, by turning it into a type of [`checked`]; nothing behind that point sees a generated
//! message that came from outside. This crate never acts.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod checked;
mod redacted;
mod rpc;

pub use rpc::Rpc;

/// Version 1 of the node agent's services, generated from `coffer/agent/v1/*.proto`.
pub mod agent {
    /// Generated code; the .proto files say what everything means.
    #[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
    pub mod v1 {
        tonic::include_proto!("coffer.agent.v1");
    }
}

/// Version 1 of what plugins serve, generated from `coffer/plugin/v1/*.proto`.
pub mod plugin {
    /// Generated code; the .proto files say what everything means.
    #[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
    pub mod v1 {
        tonic::include_proto!("coffer.plugin.v1");
    }
}

/// Descriptors of the plugins' services, for reflection.
pub const PLUGIN_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin_descriptors.bin"));

/// Descriptors of the agent's services, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
