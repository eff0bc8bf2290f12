//! The way to one agent: TLS on both sides, loopback or a Unix socket. Whether the agent lets us in is found out here, before any work begins.

use std::sync::Arc;
use std::time::Duration;

use coffer_engine::one_line;
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::node_client::NodeClient;
use tonic::transport::{Channel, Endpoint};

use crate::address::{AgentAddress, Place};
use crate::agent::{Agent, answer};
use crate::agent_error::{AgentError, AgentErrorKind, plain};
use crate::error::CoordinatorError;
use crate::probe::Probe;
use crate::tls::{Tls, TlsError};

const CONNECT_MAX: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_MAX: Duration = Duration::from_secs(10);

/// An agent that is not connected to yet.
pub(crate) struct Connector {
    address: AgentAddress,
    endpoint: Endpoint,
    /// What a connection is probed with, where there is TLS.
    probe: Option<Probe>,
}

impl Connector {
    /// Checks the address, and that there is what TLS needs.
    pub(crate) fn new(address: &AgentAddress, tls: Option<&Tls>) -> Result<Connector, CoordinatorError> {
        let place = address.place.to_string();
        let endpoint = Endpoint::from_shared(place.clone())
            .map_err(|error| CoordinatorError::Address { address: place.clone(), detail: one_line(&error) })?
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_MAX);
        let address = address.clone();
        if !matches!(address.place, Place::Tls(_)) {
            return Ok(Connector { address, endpoint, probe: None });
        }
        let Some(tls) = tls else { return Err(CoordinatorError::NoAuthority { address: place }) };
        let unusable = |error| TlsError::Unusable(one_line(&error));
        let endpoint = endpoint.tls_config(tls.tonic(CONNECT_MAX)).map_err(unusable)?;
        let probe = Some(Probe::new(place, tls.server_name(), Arc::new(tls.rustls()?)));
        Ok(Connector { address, endpoint, probe })
    }

    /// Connects. With `ask_name` an agent that the caller gave no name is asked for its node's.
    pub(crate) async fn open(self, ask_name: bool) -> Agent {
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
            Err(error) if error.kind == AgentErrorKind::Unavailable => self.closed(node, error).await,
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
