//! Takes connections: TCP with certificates, or TCP on loopback and Unix sockets without.
//!
//! A handshake has [`HANDSHAKE_TIME`], and the first bytes after it as long again; [`super::slots`] says who gets in where many want to. Nobody
//! waits to be taken. It must never serve an address that other hosts reach without certificates.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::connection::{Carrier, Connection, Peer};
use super::error::EdgeError;
use super::patience::{Expects, Patience};
use super::quota::LineQuota;
use super::slots::{Guest, Slots};
use super::tls::Certificates;
use super::unix_socket::{self, SocketFile};
use crate::config::ListenAddress;
use crate::metrics::Metrics;
use crate::metrics::labels::Refused;

/// How long a client may take to show its certificate, and then to begin to speak.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long to wait when the kernel has no more descriptors.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(200);

/// A listener that has its address and takes nothing yet.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    acceptor: Acceptor,
}

/// What a new connection has to pass.
#[derive(Debug, Clone)]
struct Acceptor {
    certificates: Option<Arc<Certificates>>,
    handshake_time: Duration,
    expects: Expects,
    slots: Slots,
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
    /// Listens on `address`, for clients of whom `expects` is expected. Certificates are for TCP; a Unix socket is guarded by its mode.
    ///
    /// # Errors
    /// [`EdgeError::Open`] for an address that other hosts reach without certificates, or what the kernel says.
    pub async fn bind(
        address: &ListenAddress,
        certificates: Option<Certificates>,
        expects: Expects,
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
        let acceptor = Acceptor {
            certificates: certificates.map(Arc::new),
            handshake_time: HANDSHAKE_TIME,
            expects,
            slots: Slots::new(),
            metrics,
            refusals: Arc::default(),
        };
        Ok(Listener { socket, acceptor })
    }

    /// Gives clients another time than [`HANDSHAKE_TIME`] to show their certificates.
    #[must_use]
    pub fn with_handshake_time(mut self, time: Duration) -> Listener {
        self.acceptor.handshake_time = time;
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
        let mut greetings = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = out.closed() => return,
                accepted = self.socket.accept() => accepted,
            };
            while greetings.try_join_next().is_some() {}
            match accepted {
                Ok(accepted) => drop(greetings.spawn(self.acceptor.clone().greet(accepted, out.clone()))),
                Err(error) => {
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

impl Acceptor {
    /// Finds out who is there and hands the connection on.
    async fn greet(self, accepted: Accepted, out: mpsc::Sender<Connection>) {
        let greeted = match (accepted, &self.certificates) {
            (Accepted::Unix(stream), _) => Some((Carrier::Unix(stream), Peer::local("unix".into()))),
            (Accepted::Tcp(stream, peer), None) => {
                let prepared = stream.set_nodelay(true).map(|()| stream);
                prepared.ok().map(|stream| (Carrier::Tcp(stream), Peer::local(peer.to_string())))
            }
            (Accepted::Tcp(stream, peer), Some(certificates)) => {
                let guest = self.slots.enter(peer.ip(), RandomState::new().hash_one(peer));
                self.identify(stream, peer, certificates, guest).await
            }
        };
        let Some((carrier, peer)) = greeted else { return };
        let Some(seat) = self.slots.seat(peer.holder()) else {
            self.metrics.refused(Refused::Full);
            debug!(peer = peer.address(), caller = %peer.holder(), "a caller has as many connections as it may");
            return;
        };
        let patience = Patience::new(self.expects, self.handshake_time);
        // Nobody takes it where the server ends.
        let _taken = out.send(Connection::new(carrier, peer, patience, seat)).await;
    }

    /// Shakes hands, unless the place is needed for somebody else.
    async fn identify(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        certificates: &Certificates,
        mut guest: Guest,
    ) -> Option<(Carrier, Peer)> {
        let mut sent_away = std::mem::replace(&mut guest.sent_away, tokio::sync::oneshot::channel().1);
        let shaken = async {
            // What cannot be read shows in the handshake.
            let _readable = stream.readable().await;
            guest.has_spoken();
            self.shake_hands(stream, peer, certificates).await
        };
        let greeted = tokio::time::timeout(self.handshake_time, async {
            tokio::select! {
                _ = &mut sent_away => {
                    self.metrics.refused(Refused::Full);
                    debug!(%peer, "a client gave way to others before it showed a certificate");
                    None
                }
                greeted = shaken => greeted,
            }
        });
        greeted.await.unwrap_or_else(|_| {
            self.metrics.refused(Refused::Timeout);
            if let Some(left_out) = self.refusals.take(Instant::now()) {
                info!(%peer, left_out, "a client took too long to show its certificate");
            }
            None
        })
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
        match shaken.await {
            // A probe of the port, or somebody who thought better of it: nobody was refused.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                debug!(%peer, "a client left before it showed a certificate");
                None
            }
            Err(error) => {
                self.metrics.refused(Refused::Handshake);
                if let Some(left_out) = self.refusals.take(Instant::now()) {
                    info!(%peer, %error, left_out, "a client without a good certificate was refused");
                }
                None
            }
            Ok(stream) => {
                // The handshake demands a certificate; without one there is nobody.
                let own = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let der = own.map(|certificate| certificate.to_vec()).unwrap_or_default();
                let peer = Peer::of_certificate(&der, certificates.trust_domain(), peer.to_string());
                Some((Carrier::Tls(Box::new(stream)), peer))
            }
        }
    }
}
