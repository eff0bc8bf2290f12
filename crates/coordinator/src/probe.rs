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

use crate::agent_error::AgentError;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An agent that takes the certificate says its first words at once, or waits for ours.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How to ask an agent once more why it closed a TLS connection.
#[derive(Clone)]
pub(crate) struct Probe {
    place: String,
    server_name: Option<String>,
    config: Arc<ClientConfig>,
}

impl Probe {
    pub(crate) fn new(place: String, server_name: Option<&str>, config: Arc<ClientConfig>) -> Probe {
        Probe { place, server_name: server_name.map(str::to_owned), config }
    }

    /// The refusal of a certificate, its own or ours, if that is what closes connections. A probe that fails tells nothing.
    pub(crate) async fn refusal(&self, node: &str) -> Option<AgentError> {
        let Probe { place, server_name, config } = self.clone();
        let asked = tokio::task::spawn_blocking(move || refusal(&place, server_name.as_deref(), config));
        let refused = asked.await.ok().flatten()?;
        AgentError::from_tls(node, &refused)
    }
}

/// The TLS error with which the agent at `https://HOST:PORT` ends a connection, if it does.
fn refusal(address: &str, server_name: Option<&str>, config: Arc<ClientConfig>) -> Option<rustls::Error> {
    let uri: Uri = address.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(server_name.unwrap_or(host).to_owned()).ok()?;
    let place = (host, uri.port_u16()?).to_socket_addrs().ok()?.next()?;
    let mut connection = ClientConnection::new(config, name).ok()?;
    let mut socket = TcpStream::connect_timeout(&place, CONNECT_MAX).ok()?;
    socket.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    socket.set_write_timeout(Some(ANSWER_MAX)).ok()?;
    // What it says does not matter, only whether it may be read.
    Stream::new(&mut connection, &mut socket).read_exact(&mut [0]).err().as_ref().and_then(tls)
}

fn tls(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}
