//! Takes connections: TCP with certificates, or TCP on loopback and Unix sockets without.
//!
//! At most [`CONNECTIONS_MAX`] are open per listener, and a handshake has [`HANDSHAKE_TIME`]. It must never serve an address that other
//! hosts reach without certificates.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::connection::{Carrier, Connection, Peer};
use super::error::EdgeError;
use super::quota::LineQuota;
use super::tls::Certificates;
use super::unix_socket::{self, SocketFile};
use crate::config::ListenAddress;
use crate::metrics::Metrics;
use crate::metrics::labels::Refused;

/// Connections of one listener, those in their handshake included. One more waits in the kernel.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to show its certificate.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long to wait when the kernel has no more descriptors.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(200);

/// A listener that has its address and takes nothing yet.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    door: Door,
}

/// What a new connection has to pass.
#[derive(Debug, Clone)]
struct Door {
    certificates: Option<Arc<Certificates>>,
    handshake_time: Duration,
    metrics: Metrics,
    refusals: Arc<LineQuota>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix { listener: UnixListener, _file: SocketFile },
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Listens on `address`. Certificates are for TCP; a Unix socket is guarded by its mode.
    ///
    /// # Errors
    /// [`EdgeError::Open`] for an address that other hosts reach without certificates, or what the kernel says.
    pub async fn bind(
        address: &ListenAddress,
        certificates: Option<Certificates>,
        metrics: Metrics,
    ) -> Result<Listener, EdgeError> {
        let (socket, certificates) = match address {
            ListenAddress::Unix(path) => {
                let (listener, _file) = unix_socket::bind(path)?;
                warn!(%address, "listening without certificates: whoever can open this socket may do everything");
                (Socket::Unix { listener, _file }, None)
            }
            ListenAddress::Tcp(wanted) => {
                if certificates.is_none() && !wanted.ip().is_loopback() {
                    return Err(EdgeError::Open { address: address.to_string() });
                }
                let listen = |source| EdgeError::Listen { address: address.to_string(), source };
                let listener = TcpListener::bind(wanted).await.map_err(listen)?;
                let bound = listener.local_addr().map_err(listen)?;
                match certificates.is_some() {
                    true => info!(address = %bound, "listening with client certificates"),
                    false => {
                        warn!(address = %bound, "listening without certificates: every process on this host may do everything")
                    }
                }
                (Socket::Tcp(listener, bound), certificates)
            }
        };
        if let Some(certificates) = &certificates {
            metrics.certificate_ends(certificates.current().not_after);
        }
        let door = Door {
            certificates: certificates.map(Arc::new),
            handshake_time: HANDSHAKE_TIME,
            metrics,
            refusals: Arc::default(),
        };
        Ok(Listener { socket, door })
    }

    /// Gives clients another time than [`HANDSHAKE_TIME`] to show their certificates.
    #[must_use]
    pub fn with_handshake_time(mut self, time: Duration) -> Listener {
        self.door.handshake_time = time;
        self
    }

    /// The TCP address, with the port that the kernel chose; `None` for a Unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(_, address) => Some(*address),
            Socket::Unix { .. } => None,
        }
    }

    /// Takes connections from now on, in a task of `tasks`, which ends, and with it every handshake, when the receiver is dropped.
    pub fn connections(self, tasks: &mut JoinSet<()>) -> mpsc::Receiver<Connection> {
        let (out, connections) = mpsc::channel(1);
        tasks.spawn(self.run(out));
        connections
    }

    async fn run(self, out: mpsc::Sender<Connection>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut handshakes = JoinSet::new();
        loop {
            let next = async {
                let permit = Arc::clone(&slots).acquire_owned().await.ok()?;
                Some((self.socket.accept().await, permit))
            };
            let next = tokio::select! {
                () = out.closed() => return,
                next = next => next,
            };
            while handshakes.try_join_next().is_some() {}
            match next {
                None => return,
                Some((Ok(accepted), permit)) => {
                    handshakes.spawn(self.door.clone().greet(accepted, permit, out.clone()));
                }
                Some((Err(error), _)) => {
                    warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Socket::Tcp(listener, _) => {
                listener.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer))
            }
            Socket::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| Accepted::Unix(stream))
            }
        }
    }
}

impl Door {
    /// Finds out who is there and hands the connection on.
    async fn greet(self, accepted: Accepted, permit: OwnedSemaphorePermit, out: mpsc::Sender<Connection>) {
        let greeted = match (accepted, &self.certificates) {
            (Accepted::Unix(stream), _) => Some((Carrier::Unix(stream), Peer::local("unix".into()))),
            (Accepted::Tcp(stream, peer), None) => {
                let prepared = stream.set_nodelay(true).map(|()| stream);
                prepared.ok().map(|stream| (Carrier::Tcp(stream), Peer::local(peer.to_string())))
            }
            (Accepted::Tcp(stream, peer), Some(certificates)) => {
                self.shake_hands(stream, peer, certificates).await
            }
        };
        if let Some((carrier, peer)) = greeted {
            // Nobody takes it where the server ends.
            let _taken = out.send(Connection::new(carrier, peer, permit)).await;
        }
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        certificates: &Certificates,
    ) -> Option<(Carrier, Peer)> {
        let loaded = certificates.current();
        self.metrics.certificate_ends(loaded.not_after);
        let shaken = async {
            stream.set_nodelay(true)?;
            TlsAcceptor::from(loaded.server).accept(stream).await
        };
        match tokio::time::timeout(self.handshake_time, shaken).await {
            Err(_) => {
                self.metrics.refused(Refused::Timeout);
                if let Some(left_out) = self.refusals.take(Instant::now()) {
                    info!(%peer, left_out, "a client took too long to show its certificate");
                }
                None
            }
            // A probe of the port, or somebody who thought better of it: nobody was refused.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                debug!(%peer, "a client left before it showed a certificate");
                None
            }
            Ok(Err(error)) => {
                self.metrics.refused(Refused::Handshake);
                if let Some(left_out) = self.refusals.take(Instant::now()) {
                    info!(%peer, %error, left_out, "a client without a good certificate was refused");
                }
                None
            }
            Ok(Ok(stream)) => {
                // The handshake demands a certificate; without one there is nobody.
                let own = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let der = own.map(|certificate| certificate.to_vec()).unwrap_or_default();
                let peer = Peer::of_certificate(&der, certificates.trust_domain(), peer.to_string());
                Some((Carrier::Tls(Box::new(stream)), peer))
            }
        }
    }
}
