//! The way to one agent: TLS on both sides, loopback or a Unix socket. Whether the agent lets us in is found out here, before any work begins.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffer_proto::agent::v1;
use coffer_proto::agent::v1::node_client::NodeClient;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::address::{AgentAddress, Place};
use super::connect::{Agent, answer};
use super::failure::{AgentError, plain};
use super::options::AgentOptions;
use super::probe;
use crate::error::{CliError, one_line};

const CONNECT_MAX: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_MAX: Duration = Duration::from_secs(10);

/// An agent that is not connected to yet.
pub(super) struct Connector {
    address: AgentAddress,
    endpoint: Endpoint,
    /// What a connection is probed with, where there is TLS.
    probe: Option<Probe>,
}

impl Connector {
    /// Reads the files that it takes.
    pub(super) fn new(address: &AgentAddress, options: &AgentOptions) -> Result<Connector, CliError> {
        let wrong = |error: tonic::transport::Error| {
            CliError::Usage(format!("--agent {}: {}", address.place, one_line(&error)))
        };
        let endpoint = Endpoint::from_shared(address.place.to_string()).map_err(wrong)?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_MAX);
        let address = address.clone();
        if !matches!(address.place, Place::Tls(_)) {
            return Ok(Connector { address, endpoint, probe: None });
        }
        let files = Files::read(options)?;
        let endpoint = endpoint.tls_config(files.tonic(options)).map_err(|error| files.wrong(&error))?;
        let probe = Some(Probe {
            place: address.place.to_string(),
            server_name: options.agent_server_name.clone(),
            config: Arc::new(files.rustls()?),
        });
        Ok(Connector { address, endpoint, probe })
    }

    /// Connects. With `ask_name` an agent that the caller gave no name is asked for its node's.
    pub(super) async fn open(self, ask_name: bool) -> Agent {
        let place = self.address.place.to_string();
        let node = self.address.node.clone().unwrap_or_else(|| place.clone());
        let channel = match self.endpoint.connect().await {
            Ok(channel) => channel,
            Err(error) => {
                let link = Err(AgentError::from_connect(&node, &place, &error));
                return Agent { node, link, probe: self.probe };
            }
        };
        let wants_name = ask_name && self.address.node.is_none();
        if !wants_name && self.probe.is_none() {
            return Agent { node, link: Ok(channel), probe: self.probe };
        }
        // With TLS the first call tells whether we are let in.
        let mut client = NodeClient::new(channel.clone());
        match answer(&node, client.info(v1::InfoRequest {})).await {
            Ok(info) if wants_name && !info.node.is_empty() => {
                Agent { node: plain(&info.node), link: Ok(channel), probe: self.probe }
            }
            Ok(_) => Agent { node, link: Ok(channel), probe: self.probe },
            Err(error) if error.kind == "agent-unavailable" => self.closed(node, error).await,
            Err(error) => self.told(node, channel, error, wants_name),
        }
    }

    /// The agent answers, but does not tell us about itself: that matters only if its name is needed.
    fn told(self, node: String, channel: Channel, error: AgentError, wants_name: bool) -> Agent {
        let link = if wants_name { Err(error) } else { Ok(channel) };
        Agent { node, link, probe: self.probe }
    }

    /// The agent closed the connection: looks why.
    async fn closed(self, node: String, error: AgentError) -> Agent {
        let refused = match &self.probe {
            Some(probe) => probe.refusal(&node).await,
            None => None,
        };
        Agent { node, link: Err(refused.unwrap_or(error)), probe: self.probe }
    }
}

/// How to ask an agent once more why it closed a TLS connection.
#[derive(Clone)]
pub(super) struct Probe {
    place: String,
    server_name: Option<String>,
    config: Arc<ClientConfig>,
}

impl Probe {
    /// The refusal of a certificate, its own or ours, if that is what closes connections. A probe that fails tells nothing.
    pub(super) async fn refusal(&self, node: &str) -> Option<AgentError> {
        let Probe { place, server_name, config } = self.clone();
        let asked =
            tokio::task::spawn_blocking(move || probe::refusal(&place, server_name.as_deref(), config));
        let refused = asked.await.ok().flatten()?;
        AgentError::from_tls(node, &refused)
    }
}

/// PEM files of `--agent-ca`, `--agent-cert` and `--agent-key`.
struct Files {
    authorities: Vec<u8>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Files {
    fn read(options: &AgentOptions) -> Result<Files, CliError> {
        let Some(ca) = &options.agent_ca else {
            return Err(CliError::Usage(
                "--agent https://…: whom is the agent's certificate from? give --agent-ca FILE".into(),
            ));
        };
        let identity = match (&options.agent_cert, &options.agent_key) {
            (Some(certificate), Some(key)) => Some((certificates(certificate)?, private_key(key)?)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(CliError::Usage("--agent-cert is given without --agent-key; give both".into()));
            }
            (None, Some(_)) => {
                return Err(CliError::Usage("--agent-key is given without --agent-cert; give both".into()));
            }
        };
        Ok(Files { authorities: certificates(ca)?, identity })
    }

    fn tonic(&self, options: &AgentOptions) -> ClientTlsConfig {
        let authorities = Certificate::from_pem(&self.authorities);
        let mut tls = ClientTlsConfig::new().timeout(CONNECT_MAX).ca_certificate(authorities);
        if let Some(name) = &options.agent_server_name {
            tls = tls.domain_name(name);
        }
        match &self.identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        }
    }

    /// The same for a probe.
    fn rustls(&self) -> Result<ClientConfig, CliError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&self.authorities).flatten());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| self.wrong(&error))?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).flatten().collect();
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| self.wrong(&error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| self.wrong(&error))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn wrong(&self, error: &dyn std::error::Error) -> CliError {
        CliError::Usage(format!(
            "--agent-cert, --agent-key, --agent-ca: {}; check the files",
            one_line(error)
        ))
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
