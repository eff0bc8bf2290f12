//! Why the edge cannot serve.

use std::io;
use std::path::PathBuf;

/// A listener or its certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A file of certificates or keys cannot be read.
    #[error("{key} = {path} cannot be read: {source}")]
    TlsFile {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something other than what is needed.
    #[error("{key} = {path} {problem}")]
    TlsContent {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate and key do not serve together.
    #[error("tls.cert = {cert} and tls.key = {key} cannot be used: {problem}")]
    TlsPair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        problem: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Anybody who reaches the address could call, and others than this host can.
    #[error(
        "will not listen on {address} without certificates: add [tls], or listen on 127.0.0.1 or a Unix socket"
    )]
    Open {
        /// The address.
        address: String,
    },
    /// Something else is where the socket should be.
    #[error("cannot listen on {path}: {problem}")]
    SocketTaken {
        /// The path.
        path: PathBuf,
        /// What is there, and what to do.
        problem: &'static str,
    },
    /// The descriptors of the services, which are part of the program, cannot be used.
    #[error("the services cannot be described: {0}")]
    Descriptors(#[source] tonic_reflection::server::Error),
    /// The server ended by itself.
    #[error("serving failed: {0}")]
    Serve(#[source] tonic::transport::Error),
}
