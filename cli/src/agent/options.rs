//! `--agent` and what belongs to it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use coffer_coordinator::AgentAddress;
use coffer_coordinator::address::Place;

/// Through which agents a verb works, and how it reaches them.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Agents")]
pub(crate) struct AgentOptions {
    /// Work through this node's agent: https://HOST:PORT, http://127.0.0.1:PORT or unix:/PATH; several, repeated or with commas between them, for backup, restore, volumes, operations and node
    #[arg(long, global = true, value_name = "[NODE=]ADDR", env = "COFFER_AGENT", value_delimiter = ',')]
    pub(crate) agent: Vec<AgentAddress>,

    /// Certificates (PEM) that agents' certificates must come from; needed with https
    #[arg(long, global = true, value_name = "FILE", env = "COFFER_AGENT_CA")]
    pub(crate) agent_ca: Option<PathBuf>,

    /// This caller's certificate and those between it and its root (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "COFFER_AGENT_CERT")]
    pub(crate) agent_cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "COFFER_AGENT_KEY")]
    pub(crate) agent_key: Option<PathBuf>,

    /// Name that agents' certificates must bear, where it is not the host of the address
    #[arg(long, global = true, value_name = "NAME", env = "COFFER_AGENT_SERVER_NAME")]
    pub(crate) agent_server_name: Option<String>,

    /// How long an agent may be away before it is given up
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) agent_patience: u32,

    /// The agent opens the repository with this key file of its own, and none travels: restore and verify then need no --key, backup signs the point here and needs one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) agent_key_name: Option<String>,

    /// The agent reaches the object store with this credentials file of its own instead of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from here
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) agent_credentials_name: Option<String>,
}

impl AgentOptions {
    /// Whether work goes through agents.
    pub(crate) fn are_given(&self) -> bool {
        !self.agent.is_empty()
    }

    /// Whether an agent is reached by TLS.
    pub(crate) fn needs_tls(&self) -> bool {
        self.agent.iter().any(|address| matches!(address.place, Place::Tls(_)))
    }

    /// How long an agent may be away.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.agent_patience.into())
    }
}
