//! Why work through agents failed.

use std::io;

use coffer_engine::EngineError;
use coffer_format::PlanId;

use crate::agent_error::AgentError;
use crate::tls::TlsError;

/// Work through agents failed. Messages name no option of a command line or field of a message: whoever asked words that.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The engine said so, of the repository.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An agent, or the way to it.
    #[error(transparent)]
    Agent(Box<AgentError>),
    /// An agent's address cannot be used.
    #[error("agent {address}: {detail}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An agent is reached by TLS, and nothing says whose certificates are good.
    #[error("agent {address} is reached by TLS, and no authority is given for its certificate")]
    NoAuthority {
        /// The agent's address.
        address: String,
    },
    /// Certificates or keys that were given cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Two agents are of one node.
    #[error("two agents are of node {0}")]
    SameNode(String),
    /// Agents hold parts of as many unfinished points of the key as a key may have.
    #[error("agents hold parts of {points} unfinished points of key {key}")]
    KeyUsedUp {
        /// The key.
        key: String,
        /// How many.
        points: u32,
    },
    /// The key is another plan's.
    #[error("an agent holds an operation with key {key} that is not of plan {plan}")]
    KeyOfAnotherPlan {
        /// The key.
        key: String,
        /// The plan that was asked for.
        plan: Box<PlanId>,
    },
    /// The threads of the connections cannot be started.
    #[error("start the thread of the connections")]
    Runtime(#[source] io::Error),
}

impl From<AgentError> for CoordinatorError {
    fn from(error: AgentError) -> Self {
        CoordinatorError::Agent(Box::new(error))
    }
}
