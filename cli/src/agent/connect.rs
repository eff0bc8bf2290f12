//! Connections to agents: TLS on both sides, or loopback and Unix sockets. An agent that cannot be reached is told by its error, so that the
//! others can go on.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use coffer_engine::{Advice, CancelToken, EngineError};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::node_client::NodeClient;
use coffer_proto::agent::v1::operations_client::OperationsClient;
use coffer_proto::agent::v1::volumes_client::VolumesClient;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::runtime::Runtime;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Response, Status};

use super::address::{AgentAddress, Place};
use super::failure::{AgentError, plain};
use super::options::AgentOptions;
use crate::error::{CliError, one_line};

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// No call but Watch takes longer; a restart of an agent is waited for by calling again.
const CALL_MAX: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_MAX: Duration = Duration::from_secs(10);
/// Records of 256 volumes with long lineages.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How soon a signal is noticed.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// The agents of `--agent`, in their order, and the runtime that carries their connections.
pub(crate) struct Agents {
    pub(super) runtime: Runtime,
    pub(super) all: Vec<Agent>,
    pub(super) cancel: CancelToken,
}

/// One agent.
#[derive(Clone)]
pub(crate) struct Agent {
    /// Its node: as the caller named it, or as it calls itself, or its address.
    pub(crate) node: String,
    link: Result<Channel, AgentError>,
}

impl Agents {
    /// Connects to all agents at once. Only what is wrong with the options fails here.
    pub(crate) fn connect(options: &AgentOptions, cancel: CancelToken) -> Result<Agents, CliError> {
        let mut endpoints = Vec::new();
        for address in &options.agent {
            endpoints.push((address.clone(), endpoint(address, options)?));
        }
        // One thread beside ours: connections stay alive while the engine works.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(
                |source| CliError::File { step: "start", path: "the connections' thread".into(), source },
            )?;
        let ask_names = endpoints.len() > 1;
        let links: Vec<_> = endpoints
            .into_iter()
            .map(|(address, endpoint)| runtime.spawn(link(address, endpoint, ask_names)))
            .collect();
        let mut all = Vec::new();
        for link in links {
            all.push(
                runtime
                    .block_on(unless(&cancel, link))?
                    .map_err(|error| EngineError::Bug(error.to_string()))?,
            );
        }
        check_names(&all)?;
        Ok(Agents { runtime, all, cancel })
    }

    /// All agents, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.all.iter()
    }

    /// Names of the nodes, in the order of the agents.
    pub(crate) fn nodes(&self) -> Vec<&str> {
        self.all.iter().map(|agent| agent.node.as_str()).collect()
    }

    /// Waits for calls of agents, unless a signal comes first.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, CliError> {
        self.runtime.block_on(unless(&self.cancel, work))
    }

    /// An error where there are several agents.
    pub(crate) fn only(&self, verb: &str) -> Result<(), CliError> {
        match self.all.as_slice() {
            [_] => Ok(()),
            _ => Err(CliError::Usage(format!("coffer {verb} goes through one agent; give --agent once"))),
        }
    }
}

impl Agent {
    /// The connection, or why there is none.
    fn link(&self) -> Result<Channel, AgentError> {
        self.link.clone()
    }

    pub(crate) fn operations(&self) -> Result<OperationsClient<Channel>, AgentError> {
        Ok(OperationsClient::new(self.link()?).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    pub(crate) fn volumes(&self) -> Result<VolumesClient<Channel>, AgentError> {
        Ok(VolumesClient::new(self.link()?).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    pub(crate) fn info(&self) -> Result<NodeClient<Channel>, AgentError> {
        Ok(NodeClient::new(self.link()?))
    }

    /// Waits for the answer to a call, but not for ever.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, AgentError> {
        answer(&self.node, call).await
    }

    /// An error of ours about this agent.
    pub(super) fn error(&self, kind: &str, advice: Advice, message: impl Into<String>) -> AgentError {
        AgentError::new(&self.node, kind, advice, message)
    }
}

fn check_names(agents: &[Agent]) -> Result<(), CliError> {
    let mut nodes = BTreeSet::new();
    match agents.iter().map(|agent| agent.node.as_str()).find(|node| !nodes.insert(*node)) {
        None => Ok(()),
        Some(twice) => Err(CliError::Usage(format!(
            "two agents are of node {twice}; give each once, or names of their own: NODE=ADDR"
        ))),
    }
}

/// `work`, unless a signal comes first.
async fn unless<T>(cancel: &CancelToken, work: impl Future<Output = T>) -> Result<T, CliError> {
    tokio::select! {
        done = work => Ok(done),
        () = cancelled(cancel) => Err(CliError::Engine(EngineError::Cancelled)),
    }
}

/// Returns once a signal came.
pub(super) async fn cancelled(cancel: &CancelToken) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(CANCEL_POLL).await;
    }
}

async fn answer<T>(
    node: &str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, AgentError> {
    let late = || Err(Status::deadline_exceeded(format!("no answer within {} s", CALL_MAX.as_secs())));
    let answer = tokio::time::timeout(CALL_MAX, call).await.unwrap_or_else(|_| late());
    answer.map(Response::into_inner).map_err(|status| AgentError::from_status(node, &status))
}

async fn link(address: AgentAddress, endpoint: Endpoint, ask_name: bool) -> Agent {
    let place = address.place.to_string();
    let node = address.node.clone().unwrap_or_else(|| place.clone());
    let link = endpoint.connect().await.map_err(|error| AgentError::from_connect(&node, &place, &error));
    match (link, ask_name && address.node.is_none()) {
        (Ok(channel), true) => named(place, channel).await,
        (link, _) => Agent { node, link },
    }
}

/// Asks the agent what its node is called.
async fn named(place: String, channel: Channel) -> Agent {
    let mut client = NodeClient::new(channel.clone());
    match answer(&place, client.info(v1::InfoRequest {})).await {
        Ok(info) if !info.node.is_empty() => Agent { node: plain(&info.node), link: Ok(channel) },
        Ok(_) => Agent { node: place, link: Ok(channel) },
        Err(error) => Agent { node: place, link: Err(error) },
    }
}

fn endpoint(address: &AgentAddress, options: &AgentOptions) -> Result<Endpoint, CliError> {
    let wrong = |error: tonic::transport::Error| {
        CliError::Usage(format!("--agent {}: {}", address.place, one_line(&error)))
    };
    let endpoint = Endpoint::from_shared(address.place.to_string()).map_err(wrong)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_MAX);
    match address.place {
        Place::Tls(_) => {
            let tls = tls(options)?;
            endpoint.tls_config(tls).map_err(|error| {
                CliError::Usage(format!("--agent-cert, --agent-key, --agent-ca: {}", one_line(&error)))
            })
        }
        Place::Loopback(_) | Place::Socket(_) => Ok(endpoint),
    }
}

fn tls(options: &AgentOptions) -> Result<ClientTlsConfig, CliError> {
    let Some(ca) = &options.agent_ca else {
        return Err(CliError::Usage(
            "--agent https://…: whom is the agent's certificate from? give --agent-ca FILE".into(),
        ));
    };
    let authority = Certificate::from_pem(certificates(ca)?);
    let mut tls = ClientTlsConfig::new().timeout(CONNECT_MAX).ca_certificate(authority);
    if let Some(name) = &options.agent_server_name {
        tls = tls.domain_name(name);
    }
    match (&options.agent_cert, &options.agent_key) {
        (Some(certificate), Some(key)) => {
            Ok(tls.identity(Identity::from_pem(certificates(certificate)?, private_key(key)?)))
        }
        (None, None) => Ok(tls),
        (Some(_), None) => {
            Err(CliError::Usage("--agent-cert is given without --agent-key; give both".into()))
        }
        (None, Some(_)) => {
            Err(CliError::Usage("--agent-key is given without --agent-cert; give both".into()))
        }
    }
}

/// A PEM file with certificates.
fn certificates(path: &Path) -> Result<Vec<u8>, CliError> {
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    if all.is_ok_and(|all| !all.is_empty()) { Ok(pem) } else { Err(no_pem(path, "certificate")) }
}

/// A PEM file with a private key. Nothing of it is ever told.
fn private_key(path: &Path) -> Result<Vec<u8>, CliError> {
    let pem = read(path)?;
    if PrivateKeyDer::from_pem_slice(&pem).is_ok() { Ok(pem) } else { Err(no_pem(path, "private key")) }
}

fn no_pem(path: &Path, what: &str) -> CliError {
    CliError::Usage(format!("{} holds no {what} in PEM form; check the file", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::File { step: "read", path: path.into(), source })
}
