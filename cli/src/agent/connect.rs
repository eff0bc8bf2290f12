//! Connections to agents: TLS on both sides, or loopback and Unix sockets. An agent that cannot be reached is told by its error, so that the
//! others can go on.

use std::collections::BTreeSet;
use std::time::Duration;

use coffer_engine::{Advice, EngineError};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::node_client::NodeClient;
use coffer_proto::agent::v1::operations_client::OperationsClient;
use coffer_proto::agent::v1::volumes_client::VolumesClient;
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::connector::{Connector, Probe};
use super::failure::AgentError;
use super::options::AgentOptions;
use crate::cancellation::StopWish;
use crate::error::CliError;

/// No call but Watch takes longer; a restart of an agent is waited for by calling again.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Records of 256 volumes with long lineages.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The agents of `--agent`, in their order, and the runtime that carries their connections.
pub(crate) struct Agents {
    pub(super) runtime: Runtime,
    pub(super) all: Vec<Agent>,
    pub(super) stop: StopWish,
}

/// One agent.
#[derive(Clone)]
pub(crate) struct Agent {
    /// Its node: as the caller named it, or as it calls itself, or its address.
    pub(crate) node: String,
    pub(super) link: Result<Channel, AgentError>,
    /// Finds out why connections are closed, where there is TLS.
    pub(super) probe: Option<Probe>,
}

impl Agents {
    /// Connects to all agents at once. Only what is wrong with the options fails here.
    pub(crate) fn connect(options: &AgentOptions, stop: StopWish) -> Result<Agents, CliError> {
        let mut connectors = Vec::new();
        for address in &options.agent {
            connectors.push(Connector::new(address, options)?);
        }
        // One thread beside ours: connections stay alive while the engine works.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(
                |source| CliError::File { step: "start", path: "the connections' thread".into(), source },
            )?;
        let ask_names = connectors.len() > 1;
        let links: Vec<_> = connectors
            .into_iter()
            .map(|connector| runtime.spawn(async move { connector.open(ask_names).await }))
            .collect();
        let mut all = Vec::new();
        for link in links {
            all.push(
                runtime
                    .block_on(unless(&stop, link))?
                    .map_err(|error| EngineError::Bug(error.to_string()))?,
            );
        }
        check_names(&all)?;
        Ok(Agents { runtime, all, stop })
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
        self.runtime.block_on(unless(&self.stop, work))
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
        // An agent that was away from the start is not waited for.
        self.link.clone().map_err(|error| AgentError { again: false, ..error })
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

    /// The operation with this key, with all that is kept of it: lists leave out results and what a coordinator left.
    pub(super) async fn by_key(&self, key: &str) -> Result<Option<v1::Operation>, AgentError> {
        let mut client = self.operations()?;
        let request = v1::ListOperationsRequest { idempotency_key: key.to_owned(), ..Default::default() };
        let listed = self.answer(client.list(request)).await?.operations;
        let Some(found) = listed.into_iter().find(|operation| operation.idempotency_key == key) else {
            return Ok(None);
        };
        match self.answer(client.get(v1::GetOperationRequest { id: found.id })).await {
            Ok(operation) => Ok(Some(operation)),
            // It was forgotten in between.
            Err(error) if error.kind == "not-found" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for the answer to a call, but not for ever.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, AgentError> {
        answer(&self.node, call).await
    }

    /// What is behind an error of the connection: a certificate that is refused from now on looks like an agent that is away.
    pub(super) async fn explain(&self, error: AgentError) -> AgentError {
        match &self.probe {
            Some(probe) if error.kind == "agent-unavailable" => {
                probe.refusal(&self.node).await.unwrap_or(error)
            }
            _ => error,
        }
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
async fn unless<T>(stop: &StopWish, work: impl Future<Output = T>) -> Result<T, CliError> {
    tokio::select! {
        done = work => Ok(done),
        () = stop.wanted() => Err(CliError::Engine(EngineError::Cancelled)),
    }
}

pub(super) async fn answer<T>(
    node: &str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, AgentError> {
    let late = || Err(Status::deadline_exceeded(format!("no answer within {} s", CALL_MAX.as_secs())));
    let answer = tokio::time::timeout(CALL_MAX, call).await.unwrap_or_else(|_| late());
    answer.map(Response::into_inner).map_err(|status| AgentError::from_status(node, &status))
}
