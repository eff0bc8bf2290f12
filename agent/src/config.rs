//! The agent's settings: TOML -> plain data that was checked once.
//!
//! Every key is described in `docs/agent.md`; tests keep the two in step. It must never hold a secret: keys and credentials travel with an
//! operation or lie in a directory that is named here.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffer_blockio::IoClass;
use coffer_format::Label;
use serde::{Deserialize, Serialize};

mod address;
mod check;
mod grant;
mod places;
mod repositories;
mod size;
mod words;

pub use address::ListenAddress;
pub use grant::{Grant, RepositoryRefusal, judge};
pub use repositories::RepositoryRule;
pub use size::Size;
pub use words::{IoClassWord, LogFormat, LogLevel};

/// The settings of one agent, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the node; the host's name where the file has none.
    #[serde(default)]
    pub node: String,
    /// Name of the cluster that the node belongs to.
    pub cluster: Label,
    /// Where gRPC is served.
    #[serde(default = "default_listen")]
    pub listen: ListenAddress,
    /// Where metrics are served over HTTP; nowhere if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
    /// Directory of the journal.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// The process stays below this resident size.
    #[serde(default = "default_memory")]
    pub memory: Size,
    /// Operations that run at once.
    #[serde(default = "default_operations_max")]
    pub operations_max: u32,
    /// Operations that wait; one more is refused.
    #[serde(default = "default_queued_max")]
    pub queued_max: u32,
    /// Threads that compute; 0: one per processor that the process may use.
    #[serde(default)]
    pub threads: u32,
    /// Place of worker threads' requests to disks.
    #[serde(default)]
    pub io_class: IoClassWord,
    /// Nice value of worker threads, 0 to 19.
    #[serde(default = "default_nice")]
    pub nice: u8,
    /// Share of a disk's time that backups take while others read from it, percent, 1 to 100.
    #[serde(default = "default_disk_share_percent")]
    pub disk_share_percent: u8,
    /// How long running operations may go on after SIGTERM, seconds.
    #[serde(default = "default_grace_period_seconds")]
    pub grace_period_seconds: u64,
    /// Ended operations that are remembered.
    #[serde(default = "default_history_max")]
    pub history_max: u32,
    /// Days that an ended operation is remembered.
    #[serde(default = "default_history_days")]
    pub history_days: u32,
    /// Directory with `<team>/keys/` and `<team>/s3/`; without it keys and credentials travel with operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_dir: Option<PathBuf>,
    /// Repositories that operations may name.
    pub repositories: Vec<RepositoryRule>,
    /// Directories below which files may be read and written.
    #[serde(default)]
    pub roots: Vec<PathBuf>,
    /// Classes of block devices that may be read and written.
    #[serde(default)]
    pub device_classes: Vec<String>,
    /// Kubelet's directory.
    #[serde(default = "default_kubelet_dir")]
    pub kubelet_dir: PathBuf,
    /// Where the node's own root directory is seen.
    #[serde(default = "default_host_root")]
    pub host_root: PathBuf,
    /// Form of the log.
    #[serde(default)]
    pub log_format: LogFormat,
    /// Least level that is logged.
    #[serde(default)]
    pub log_level: LogLevel,
    /// Limits of throughput.
    #[serde(default)]
    pub limits: Limits,
    /// Certificates. Without them only loopback and Unix sockets are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Which volumes are a team's.
    #[serde(default)]
    pub teams: Vec<Team>,
}

/// Limits of throughput, all operations together; 0 is unlimited. SIGHUP reads them anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes per second read from volumes.
    pub read_bytes_per_second: Size,
    /// Requests per second to volumes.
    pub read_requests_per_second: u64,
    /// Bytes per second sent to object stores.
    pub upload_bytes_per_second: Size,
}

/// Files of certificates, PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The agent's certificate, with those between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates of the authorities whose clients are let in.
    pub client_ca: PathBuf,
    /// SPIFFE trust domain of the clients' identities.
    pub trust_domain: String,
}

/// What is a team's on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Its name, as in certificates and repositories.
    pub name: Label,
    /// Namespaces of the pods whose volumes are the team's.
    #[serde(default)]
    pub namespaces: Vec<Label>,
    /// Directories that are the team's; each lies below one of the agent's `roots`.
    #[serde(default)]
    pub roots: Vec<PathBuf>,
    /// Ids or absolute paths of single volumes.
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("settings file {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The text is no TOML, has an unknown key, or a value of the wrong kind. The line itself is not repeated: it may hold a secret.
    #[error("settings, line {line}: {message}; docs/agent.md lists every key")]
    Text {
        /// Counts from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value is not allowed.
    #[error("settings, `{key}` = {value}: {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
}

impl Config {
    /// Reads and checks the file at `path`; what it does not name of node and cluster is `told`.
    ///
    /// # Errors
    /// [`ConfigError`] says where and what.
    pub fn read(path: &Path, told: &Told) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Config::parse(&text, told)
    }

    /// As [`Config::read`], from text.
    pub fn parse(text: &str, told: &Told) -> Result<Config, ConfigError> {
        let cluster = told.cluster.as_ref().filter(|_| lacks_cluster(text));
        let first = cluster
            .map(|cluster| format!("cluster = {}\n", toml::Value::from(cluster.as_str())))
            .unwrap_or_default();
        let whole = format!("{first}{text}");
        let mut config: Config = toml::from_str(&whole).map_err(|error| {
            let before = error.span().and_then(|span| whole.get(..span.start)).unwrap_or_default();
            let own_lines = first.matches('\n').count();
            let line = before.matches('\n').count().saturating_sub(own_lines) + 1;
            ConfigError::Text { line, message: error.message().to_owned() }
        })?;
        if config.node.is_empty() {
            told.node.clone_into(&mut config.node);
        }
        config.validate()?;
        Ok(config)
    }

    /// All values in force, as TOML that can be read again.
    pub fn effective(&self) -> String {
        toml::to_string(self).expect("plain data with text keys is always TOML")
    }

    /// How long running operations may go on after SIGTERM.
    pub fn grace_period(&self) -> Duration {
        Duration::from_secs(self.grace_period_seconds)
    }

    /// What worker threads step back to; see [`coffer_blockio::lower_this_thread`].
    pub fn worker_priority(&self) -> (IoClass, u8) {
        (self.io_class.into(), self.nice)
    }
}

/// What the environment tells where the settings do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The node's name.
    pub node: String,
    /// The cluster's.
    pub cluster: Option<String>,
}

impl Told {
    /// `COFFER_NODE`, else the host's name; `COFFER_CLUSTER`. `variable` reads the environment.
    pub fn by(variable: impl Fn(&str) -> Option<String>) -> Told {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        Told { node: set("COFFER_NODE").unwrap_or_else(host_name), cluster: set("COFFER_CLUSTER") }
    }
}

/// Whether the text, which is TOML, does not name the cluster.
fn lacks_cluster(text: &str) -> bool {
    toml::from_str::<toml::Table>(text).is_ok_and(|table| !table.contains_key("cluster"))
}

/// The host's name as the kernel tells it; `localhost` where it does not.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_ascii_lowercase(),
    }
}

fn default_listen() -> ListenAddress {
    ListenAddress::Unix("/run/coffer/agent.sock".into())
}

fn default_state_dir() -> PathBuf {
    "/var/lib/coffer-agent".into()
}

fn default_memory() -> Size {
    Size(256 << 20)
}

fn default_operations_max() -> u32 {
    16
}

fn default_queued_max() -> u32 {
    1_024
}

fn default_nice() -> u8 {
    10
}

fn default_disk_share_percent() -> u8 {
    10
}

/// Below the 30 s after which Kubernetes kills a pod unless told otherwise.
fn default_grace_period_seconds() -> u64 {
    25
}

fn default_history_max() -> u32 {
    1_000
}

fn default_history_days() -> u32 {
    30
}

fn default_kubelet_dir() -> PathBuf {
    "/var/lib/kubelet".into()
}

fn default_host_root() -> PathBuf {
    "/".into()
}

#[cfg(test)]
mod tests;
