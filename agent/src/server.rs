//! The server: listeners, the rules before all services, health, reflection, metrics.
//!
//! Which services there are is the caller's affair; none of them is reached but through the rules.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coffer_proto::DESCRIPTORS;
use coffer_proto::agent::v1::node_server::NodeServer;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server as Transport;
use tower::Layer;
use tracing::warn;

use crate::config::{Config, ListenAddress};
use crate::edge::EdgeError;
use crate::edge::authorize::AuthorizeLayer;
use crate::edge::listener::Listener;
use crate::edge::patience::Expects;
use crate::edge::tls::{ALPN_GRPC, ALPN_METRICS, Certificates};
use crate::health::Health;
use crate::metrics::{Metrics, page};
use crate::requests::RequestBudget;
use crate::services::node::{NodeFacts, NodeOperations, NodeService, SharedLimits};

/// Calls and streams that one connection may have open.
const STREAMS_MAX: u32 = 256;
/// Bytes that one call may have sent which nobody has looked at yet.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same of all calls of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Headers of one call, bytes.
const HEADER_BYTES_MAX: u32 = 8 << 10;
/// Calls of a connection that were taken back, or went wrong, before the agent was done with them; past it the connection ends.
const RESETS_MAX: usize = 32;
/// How often a quiet connection is asked whether its other end still lives.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(60);
/// How long the answer may take.
const KEEPALIVE_TIME: Duration = Duration::from_secs(20);
/// A connection is asked to end when it is this old, so that an authority that is trusted no longer is forgotten.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3_600);
/// How long its calls may then go on; a Watch is taken up again by its caller.
const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(600);
/// How long answers may still go out when the agent ends.
const GOODBYE_TIME: Duration = Duration::from_secs(3);

/// What is served, apart from health and reflection.
pub struct Parts {
    /// What Node/Info tells.
    pub facts: NodeFacts,
    /// The limits in force.
    pub limits: SharedLimits,
    /// What Node and signals need of the operations.
    pub operations: Arc<dyn NodeOperations>,
    /// The memory that calls and messages count in.
    pub requests: RequestBudget,
    /// Where everything is counted.
    pub metrics: Metrics,
    /// What health is told to.
    pub health: Health,
}

/// A server that has its addresses and serves nothing yet.
pub struct Server {
    grpc: Listener,
    scrapes: Option<Listener>,
    routes: Routes,
    requests: RequestBudget,
    metrics: Metrics,
}

impl Server {
    /// Takes the addresses of `config`. `add` adds further services.
    ///
    /// # Errors
    /// [`EdgeError`], if certificates cannot be used or an address cannot be had.
    pub async fn bind(
        config: &Config,
        parts: Parts,
        add: impl FnOnce(&mut RoutesBuilder),
    ) -> Result<Server, EdgeError> {
        let (metrics, requests) = (parts.metrics.clone(), parts.requests.clone());
        let grpc = listener(config, &config.listen, Expects::Preface, &metrics).await?;
        let scrapes = match config.metrics_listen {
            Some(address) => {
                Some(listener(config, &ListenAddress::Tcp(address), Expects::Exchanges, &metrics).await?)
            }
            None => None,
        };
        Ok(Server { grpc, scrapes, routes: routes(parts, add)?, requests, metrics })
    }

    /// Where gRPC is served, with the port that the kernel chose; `None` for a Unix socket.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.tcp_address()
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.scrapes.as_ref()?.tcp_address()
    }

    /// Serves until `stop`, then lets answers that are on their way go out for up to 3 s.
    ///
    /// # Errors
    /// [`EdgeError::Serve`].
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), EdgeError> {
        let (stopping, stopped) = watch::channel(());
        let ended = |mut stopped: watch::Receiver<()>| async move {
            // It is never changed; the sender goes when the agent stops.
            while stopped.changed().await.is_ok() {}
        };
        let mut tasks = JoinSet::new();
        let rules = AuthorizeLayer::new(self.metrics.clone(), self.requests, SystemTime::now);
        let incoming = ReceiverStream::new(self.grpc.connections(&mut tasks)).map(Ok::<_, std::io::Error>);
        let server =
            server().serve_with_incoming_shutdown(rules.layer(self.routes), incoming, ended(stopped.clone()));
        if let Some(scrapes) = self.scrapes {
            let connections = scrapes.connections(&mut tasks);
            tasks.spawn(page::serve(connections, self.metrics, ended(stopped.clone())));
        }
        drop(stopped);
        let mut server = Box::pin(server);
        tokio::select! {
            served = &mut server => return served.map_err(EdgeError::Serve),
            () = stop => drop(stopping),
        }
        let served = tokio::time::timeout(GOODBYE_TIME, server).await;
        while tasks.join_next().await.is_some() {}
        match served {
            Ok(served) => served.map_err(EdgeError::Serve),
            Err(_) => {
                warn!("connections were still open when the agent ended");
                Ok(())
            }
        }
    }
}

async fn listener(
    config: &Config,
    address: &ListenAddress,
    expects: Expects,
    metrics: &Metrics,
) -> Result<Listener, EdgeError> {
    let alpn = match expects {
        Expects::Preface => ALPN_GRPC,
        Expects::Exchanges => ALPN_METRICS,
    };
    let certificates = config.tls.as_ref().map(|files| Certificates::load(files, alpn)).transpose()?;
    Listener::bind(address, certificates, expects, metrics.clone()).await
}

/// All services. None of them stands behind the rules yet: [`Server::serve`] puts these before the whole.
fn routes(parts: Parts, add: impl FnOnce(&mut RoutesBuilder)) -> Result<Routes, EdgeError> {
    let reflection =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    let mut routes = Routes::builder();
    routes
        .add_service(parts.health.service())
        .add_service(reflection().build_v1().map_err(EdgeError::Descriptors)?)
        .add_service(reflection().build_v1alpha().map_err(EdgeError::Descriptors)?)
        .add_service(NodeServer::new(NodeService::new(
            parts.facts,
            parts.limits,
            parts.operations,
            parts.health,
        )));
    add(&mut routes);
    Ok(routes.routes().prepare())
}

fn server() -> Transport {
    Transport::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(RESETS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIME))
        .max_connection_age(CONNECTION_AGE_MAX)
        .max_connection_age_grace(CONNECTION_AGE_GRACE)
}
