//! Why an agent closed a TLS connection. With TLS 1.3 a server refuses a client's certificate after the client believes itself connected, and
//! HTTP/2 then tells no more than that the connection was closed; so the handshake is made once more and its answer read.
//!
//! Nothing but the handshake is ever sent.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};
use tonic::transport::Uri;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An agent that takes the certificate says its first words at once, or waits for ours.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The TLS error with which the agent at `https://HOST:PORT` ends a connection, if it does.
pub(super) fn refusal(
    address: &str,
    server_name: Option<&str>,
    config: Arc<ClientConfig>,
) -> Option<rustls::Error> {
    let uri: Uri = address.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(server_name.unwrap_or(host).to_owned()).ok()?;
    let place = (host, uri.port_u16()?).to_socket_addrs().ok()?.next()?;
    let mut connection = ClientConnection::new(config, name).ok()?;
    let mut socket = TcpStream::connect_timeout(&place, CONNECT_MAX).ok()?;
    socket.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    socket.set_write_timeout(Some(ANSWER_MAX)).ok()?;
    match Stream::new(&mut connection, &mut socket).read(&mut [0]) {
        Ok(_) => None,
        Err(error) => tls(&error),
    }
}

fn tls(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}
