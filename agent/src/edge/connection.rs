//! One connection, whatever carries it, with who is at its other end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::identity::{Identity, IdentityError};
use super::patience::Patience;
use super::slots::Seat;
use super::tls::not_after;
use crate::shares::Holder;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    identity: Result<Identity, IdentityError>,
    /// When the certificate ends that says so.
    not_after: Option<SystemTime>,
    /// Where the connection comes from, for logs.
    address: String,
}

/// Why a connection's caller is nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// The certificate names no caller.
    #[error(transparent)]
    Unnamed(#[from] IdentityError),
    /// The certificate was good when the connection began, and has ended since.
    #[error("the client's certificate has expired since the connection began: connect again with a new one")]
    Expired,
}

impl Peer {
    /// Whoever reached a listener without certificates.
    pub(super) fn local(address: String) -> Peer {
        Peer { identity: Ok(Identity::Local), not_after: None, address }
    }

    /// The holder of the certificate `der`, which the transport has checked.
    pub(super) fn of_certificate(der: &[u8], trust_domain: &str, address: String) -> Peer {
        // An end that cannot be read has passed.
        let ends = not_after(der).unwrap_or(SystemTime::UNIX_EPOCH);
        Peer { identity: Identity::from_certificate(der, trust_domain), not_after: Some(ends), address }
    }

    /// Who calls at the moment `now`.
    ///
    /// # Errors
    /// [`Stranger`] says why that is nobody.
    pub fn identity(&self, now: SystemTime) -> Result<&Identity, Stranger> {
        let identity = self.identity.as_ref().map_err(|error| Stranger::Unnamed(error.clone()))?;
        match self.not_after {
            Some(ends) if ends < now => Err(Stranger::Expired),
            _ => Ok(identity),
        }
    }

    /// On whose account the connection is, whatever becomes of its certificate.
    pub(super) fn holder(&self) -> Holder {
        self.identity.as_ref().map_or(Holder::Stranger, Holder::from)
    }

    /// Where the connection comes from.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// A connection that has been let in. It counts as one until it is dropped.
#[derive(Debug)]
pub struct Connection {
    carrier: Carrier,
    peer: Arc<Peer>,
    patience: Patience,
    _seat: Seat,
}

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Carrier {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Connection {
    pub(super) fn new(carrier: Carrier, peer: Peer, patience: Patience, seat: Seat) -> Connection {
        Connection { carrier, peer: Arc::new(peer), patience, _seat: seat }
    }

    /// Who is at its other end.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let before = buffer.filled().len();
        let read = match &mut own.carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_read(task, buffer),
            Carrier::Tls(stream) => Pin::new(stream).poll_read(task, buffer),
            Carrier::Unix(stream) => Pin::new(stream).poll_read(task, buffer),
        };
        if read.is_ready() {
            own.patience.has_read(buffer.filled().len() - before);
        }
        own.patience.check(task)?;
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let own = self.get_mut();
        let written = match &mut own.carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_write(task, bytes),
            Carrier::Tls(stream) => Pin::new(stream).poll_write(task, bytes),
            Carrier::Unix(stream) => Pin::new(stream).poll_write(task, bytes),
        };
        own.patience.has_written(written.is_ready());
        own.patience.check(task)?;
        written
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_flush(task),
            Carrier::Tls(stream) => Pin::new(stream).poll_flush(task),
            Carrier::Unix(stream) => Pin::new(stream).poll_flush(task),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_shutdown(task),
            Carrier::Tls(stream) => Pin::new(stream).poll_shutdown(task),
            Carrier::Unix(stream) => Pin::new(stream).poll_shutdown(task),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_that_ends_while_a_connection_lasts_names_nobody_any_more() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI("spiffe://d/coffer/controller".try_into().unwrap())];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(2030, 1, 1);
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let peer = Peer::of_certificate(&der, "d", "test".into());
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
        assert_eq!(peer.identity(end), Ok(&Identity::Controller));
        assert_eq!(peer.identity(end + Duration::from_secs(1)), Err(Stranger::Expired));
    }

    #[test]
    fn who_needs_no_certificate_stays_who_it_is() {
        let peer = Peer::local("test".into());
        assert_eq!(peer.identity(SystemTime::UNIX_EPOCH), Ok(&Identity::Local));
    }
}
