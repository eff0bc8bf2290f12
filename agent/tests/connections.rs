//! Clients that take connections and do nothing with them, and the controller, which gets in all the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/certificates.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod certificates;
#[path = "harness/client.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod client;
#[path = "harness/running.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod running;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use certificates::{Authority, Mounted};
use coffer_agent::config::ListenAddress;
use coffer_agent::edge::listener::Listener;
use coffer_agent::edge::patience::Expects;
use coffer_agent::metrics::{Metrics, page};
use coffer_proto::agent::v1::InfoRequest;
use coffer_proto::agent::v1::node_client::NodeClient;
use running::{Running, settings};
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// As many as the agent has connections for.
const FLOOD: usize = 256;
/// A limit for hangs, not a measure of anything: who is kept out is kept out for longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The beginning of every HTTP/2 connection, with empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

struct Lab {
    authority: Authority,
    agent: Running,
    address: SocketAddr,
    _directory: TempDir,
}

impl Lab {
    async fn new() -> Lab {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority of a test");
        let mounted = Mounted::new(directory.path(), &authority.server("one"), &authority.certificate);
        let mut config = settings("listen = '127.0.0.1:0'");
        config.tls = Some(mounted.files());
        let agent = Running::start(&config).await;
        let address = agent.grpc.unwrap();
        Lab { authority, agent, address, _directory: directory }
    }

    fn tls(&self, role: Option<&str>) -> Arc<ClientConfig> {
        let own = role.map(|role| self.authority.role(role));
        client::tls(&self.authority.certificate, own.as_ref(), b"h2")
    }

    /// Whether this caller's call is answered. It comes again as long as it is turned away.
    async fn is_answered(&self, role: &str) -> bool {
        let tls = self.tls(Some(role));
        let answered = async {
            loop {
                let Ok(channel) = client::channel(self.address, Arc::clone(&tls)).await else { continue };
                if NodeClient::new(channel).info(InfoRequest {}).await.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.is_ok()
    }
}

/// Clients that each do one thing over and over; returns when each has begun once.
async fn flood<F>(again: impl Fn() -> F + Clone + Send + 'static) -> JoinSet<()>
where
    F: Future<Output = ()> + Send,
{
    let begun = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..FLOOD {
        let (again, begun) = (again.clone(), Arc::clone(&begun));
        clients.spawn(async move {
            begun.fetch_add(1, Ordering::SeqCst);
            loop {
                again().await;
            }
        });
    }
    while begun.load(Ordering::SeqCst) < FLOOD {
        tokio::task::yield_now().await;
    }
    clients
}

/// Waits until the agent ends the connection.
async fn hold(mut stream: impl AsyncReadExt + Unpin) {
    let mut sink = [0; 4_096];
    while stream.read(&mut sink).await.is_ok_and(|len| len > 0) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_strangers_do_not_keep_the_controller_out() {
    let lab = Lab::new().await;
    let address = lab.address;
    let _flood = flood(move || async move {
        if let Ok(stream) = TcpStream::connect(address).await {
            hold(stream).await;
        }
    })
    .await;
    assert!(lab.is_answered("controller").await);
    assert!(lab.is_answered("team/shop").await);
    lab.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_shake_hands_over_and_over_do_not_keep_the_controller_out() {
    let lab = Lab::new().await;
    let (address, tls) = (lab.address, lab.tls(None));
    let _flood = flood(move || {
        let tls = Arc::clone(&tls);
        async move {
            if let Ok(stream) = client::shake_hands(address, tls).await {
                hold(stream).await;
            }
        }
    })
    .await;
    assert!(lab.is_answered("controller").await);
    lab.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_that_holds_all_connections_it_gets_keeps_nobody_out() {
    for speaks in [false, true] {
        let lab = Lab::new().await;
        let (address, tls) = (lab.address, lab.tls(Some("team/flood")));
        let _flood = flood(move || {
            let tls = Arc::clone(&tls);
            async move {
                let Ok(mut stream) = client::shake_hands(address, tls).await else { return };
                if !speaks || stream.write_all(PREFACE).await.is_ok() {
                    hold(stream).await;
                }
            }
        })
        .await;
        assert!(lab.is_answered("controller").await, "speaks: {speaks}");
        assert!(lab.is_answered("team/shop").await, "speaks: {speaks}");
        lab.agent.stop().await;
    }
}

/// A listener without certificates whose clients have 20 ms.
async fn impatient(expects: Expects) -> (Listener, SocketAddr, Metrics) {
    let address = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
    let metrics = Metrics::new("test");
    let listener = Listener::bind(&address, None, expects, metrics.clone()).await.unwrap();
    let bound = listener.tcp_address().unwrap();
    (listener.with_handshake_time(Duration::from_millis(20)), bound, metrics)
}

#[tokio::test]
async fn a_half_sent_scrape_ends() {
    let (listener, address, metrics) = impatient(Expects::Exchanges).await;
    let mut tasks = JoinSet::new();
    let connections = listener.connections(&mut tasks);
    tasks.spawn(page::serve(connections, metrics, std::future::pending()));
    for half in ["", "GET /met", "GET /metrics HTTP/1.1\r\nhost: a\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        tokio::time::timeout(PATIENCE, hold(stream)).await.expect("the agent ends it");
    }
    let whole = client::http(TcpStream::connect(address).await.unwrap(), "GET", "/metrics").await.unwrap();
    assert!(whole.contains("coffer_agent_build_info"), "{whole}");
}

#[tokio::test]
async fn a_connection_that_does_not_begin_to_speak_http2_ends() {
    let (listener, address, _metrics) = impatient(Expects::Preface).await;
    let mut tasks = JoinSet::new();
    let connections = listener.connections(&mut tasks);
    let incoming = tokio_stream::StreamExt::map(
        tokio_stream::wrappers::ReceiverStream::new(connections),
        Ok::<_, std::io::Error>,
    );
    let (_reporter, health) = tonic_health::server::health_reporter();
    let server = tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming);
    tasks.spawn(async move { server.await.unwrap() });
    for half in [&b""[..], &PREFACE[..10], &PREFACE[..23]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(half).await.unwrap();
        tokio::time::timeout(PATIENCE, hold(stream)).await.expect("the agent ends it");
    }
}
