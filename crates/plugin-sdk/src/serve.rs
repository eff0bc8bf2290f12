//! Serves a plugin on a Unix socket, until somebody asks it to stop.

use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_proto::PLUGIN_DESCRIPTORS;
use coffer_proto::plugin::v1::identity_server::IdentityServer;
use coffer_proto::plugin::v1::protectables_server::ProtectablesServer;
use coffer_proto::plugin::v1::protection_server::ProtectionServer;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::catalogue::CatalogueError;
use crate::plugin::Plugin;
use crate::service::{Host, Service};

/// Messages of a plugin and its caller are no longer.
pub(crate) const MESSAGE_LEN_MAX: usize = 4 << 20;

/// A plugin cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What it says of itself breaks the rules.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Its socket.
    #[error("socket {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The server.
    #[error("serve: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves `plugin` on `socket` until SIGTERM or SIGINT. The socket can be opened by its owner alone; one that a dead plugin left is replaced.
///
/// # Errors
/// [`ServeError::Socket`] where a live plugin listens there, or something else lies there.
pub async fn serve<P: Plugin>(plugin: P, socket: &Path) -> Result<(), ServeError> {
    let wrong = |source| ServeError::Socket { path: socket.to_owned(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
    serve_until(plugin, socket, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}

/// As [`serve`], until `stop` is over.
pub async fn serve_until<P: Plugin>(
    plugin: P,
    socket: &Path,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let service = Service(Arc::new(Host::new(plugin)?));
    let listener = bind(socket).map_err(|source| ServeError::Socket { path: socket.to_owned(), source })?;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(PLUGIN_DESCRIPTORS)
        .build_v1()
        .expect("the descriptors were compiled with the program");
    let protection = ProtectionServer::new(service.clone());
    let served = Server::builder()
        .add_service(reflection)
        .add_service(IdentityServer::new(service.clone()).max_decoding_message_size(MESSAGE_LEN_MAX))
        .add_service(ProtectablesServer::new(service).max_decoding_message_size(MESSAGE_LEN_MAX))
        .add_service(protection.max_decoding_message_size(MESSAGE_LEN_MAX))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await;
    // Whoever looks for plugins finds no dead socket; one that cannot be removed is replaced by the next start.
    let _left = std::fs::remove_file(socket);
    Ok(served?)
}

fn bind(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(socket) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(socket).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another plugin listens there"));
            }
            std::fs::remove_file(socket)?;
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else lies there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Nobody connects before the rights are set: it appears under its name by a rename.
    let made = socket.with_extension(format!("new-{}", std::process::id()));
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&made, socket))
        .inspect_err(|_| drop(std::fs::remove_file(&made)))?;
    Ok(listener)
}
