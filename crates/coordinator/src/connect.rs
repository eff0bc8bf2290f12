//! Connections to agents. An agent that cannot be reached is told by its error, so that the others can go on.

use std::collections::BTreeSet;
use std::time::Duration;

use coffer_engine::EngineError;
use tokio::runtime::Runtime;

use crate::address::AgentAddress;
use crate::agent::Agent;
use crate::connector::Connector;
use crate::error::CoordinatorError;
use crate::stop::StopWish;
use crate::tls::Tls;

/// Where agents are and how they are reached.
pub struct ConnectOptions {
    /// Their addresses.
    pub addresses: Vec<AgentAddress>,
    /// What TLS needs; without it agents are reached on loopback addresses and Unix sockets only.
    pub tls: Option<Tls>,
    /// How long an agent may be away in the middle of an operation.
    pub patience: Duration,
}

/// Agents in the order of their addresses, and the runtime that carries their connections.
pub struct Agents {
    pub(crate) runtime: Runtime,
    pub(crate) all: Vec<Agent>,
    pub(crate) stop: StopWish,
    pub(crate) patience: Duration,
}

impl Agents {
    /// Connects to all agents at once. Blocks; not to be called on a thread of an async runtime.
    ///
    /// # Errors
    /// What is wrong with the options, and [`EngineError::Cancelled`] where a stop was wished. An agent that is away is none: its calls fail.
    pub fn connect(options: ConnectOptions, stop: StopWish) -> Result<Agents, CoordinatorError> {
        let tls = options.tls.as_ref();
        let connectors: Vec<_> =
            options.addresses.iter().map(|address| Connector::new(address, tls)).collect::<Result<_, _>>()?;
        // One thread beside the caller's: connections stay alive while the engine works.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(CoordinatorError::Runtime)?;
        let ask_names = connectors.len() > 1;
        let links: Vec<_> = connectors
            .into_iter()
            .map(|connector| runtime.spawn(async move { connector.open(ask_names).await }))
            .collect();
        let mut all = Vec::new();
        for link in links {
            let agent = runtime.block_on(unless(&stop, link))?;
            all.push(agent.map_err(|error| EngineError::Bug(error.to_string()))?);
        }
        check_names(&all)?;
        Ok(Agents { runtime, all, stop, patience: options.patience })
    }

    /// All agents, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.all.iter()
    }

    /// Names of the nodes, in the order of the agents.
    pub fn nodes(&self) -> Vec<&str> {
        self.all.iter().map(|agent| agent.node.as_str()).collect()
    }

    /// Waits for calls of agents, unless a stop is wished first.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, CoordinatorError> {
        self.runtime.block_on(unless(&self.stop, work))
    }

    /// An error if a stop is wished.
    pub(crate) fn check_stop(&self) -> Result<(), CoordinatorError> {
        if self.stop.is_wanted() { Err(EngineError::Cancelled.into()) } else { Ok(()) }
    }
}

fn check_names(agents: &[Agent]) -> Result<(), CoordinatorError> {
    let mut nodes = BTreeSet::new();
    match agents.iter().map(|agent| agent.node.as_str()).find(|node| !nodes.insert(*node)) {
        None => Ok(()),
        Some(twice) => Err(CoordinatorError::SameNode(twice.to_owned())),
    }
}

/// `work`, unless a stop is wished first.
async fn unless<T>(stop: &StopWish, work: impl Future<Output = T>) -> Result<T, CoordinatorError> {
    tokio::select! {
        done = work => Ok(done),
        () = stop.wanted() => Err(EngineError::Cancelled.into()),
    }
}
