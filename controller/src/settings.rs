//! The controller's settings: TOML -> plain data that was checked once. Secrets are not here; they are read from the API when they are needed.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// The settings of a controller, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The controller's own namespace, with the Secrets of teams and locations; `POD_NAMESPACE`, else `coffer-system`, where empty.
    #[serde(default)]
    pub namespace: String,
    /// Name of this controller among others that want the lease; `POD_NAME`, else the host's name, where empty.
    #[serde(default)]
    pub identity: String,
    /// Where metrics and health are served over HTTP.
    #[serde(default = "default_metrics_listen")]
    pub metrics_listen: SocketAddr,
    /// Runs (backups and restores) that are at work at once.
    #[serde(default = "default_runs_max")]
    pub runs_max: usize,
    /// Seconds that an agent may be away in the middle of an operation.
    #[serde(default = "default_agent_patience_seconds")]
    pub agent_patience_seconds: u64,
    /// Form of the log.
    #[serde(default)]
    pub log_format: LogFormat,
    /// Least level that is logged.
    #[serde(default)]
    pub log_level: LogLevel,
    /// How agents are found.
    #[serde(default)]
    pub agents: AgentSettings,
    /// Certificates between controller and agents.
    #[serde(default)]
    pub certificates: CertificateSettings,
    /// What Jobs run.
    #[serde(default)]
    pub jobs: JobSettings,
    /// For tests: a clock that can be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockSettings>,
}

/// How agents are found: pods in the controller's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// Labels of their pods.
    pub selector: String,
    /// Port of gRPC.
    pub port: u16,
    /// Name that their certificates bear.
    pub server_name: String,
}

/// Certificates between controller and agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateSettings {
    /// Whether the controller makes and renews them; else somebody else keeps the Secrets.
    pub bootstrap: bool,
    /// The `DOMAIN` of `spiffe://DOMAIN/coffer/controller`.
    pub trust_domain: String,
}

/// What Jobs run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobSettings {
    /// Image with the program `/usr/bin/coffer`, such as the agent's.
    pub image: String,
    /// Image of pods that only hold a volume until it is filled; any that does nothing.
    pub placeholder_image: String,
}

/// A clock that can be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSettings {
    /// ConfigMap in the controller's namespace whose `offsetSeconds` is added to the system's time.
    pub config_map: String,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// Least level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// Odd, work went on.
    Warn,
    /// State changed.
    #[default]
    Info,
    /// Every step.
    Debug,
}

impl Default for AgentSettings {
    fn default() -> AgentSettings {
        AgentSettings {
            selector: "app.kubernetes.io/name=coffer-agent".into(),
            port: 9443,
            server_name: "coffer-agent".into(),
        }
    }
}

impl Default for CertificateSettings {
    fn default() -> CertificateSettings {
        CertificateSettings { bootstrap: true, trust_domain: "coffer.dev".into() }
    }
}

impl Default for JobSettings {
    fn default() -> JobSettings {
        JobSettings {
            image: concat!("localhost/coffer-agent:", env!("CARGO_PKG_VERSION")).into(),
            placeholder_image: "registry.k8s.io/pause:3.10".into(),
        }
    }
}

impl Settings {
    /// Reads and checks a file. `variable` reads the environment.
    ///
    /// # Errors
    /// What is wrong with which key, and what to write instead.
    pub fn read(path: &Path, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Settings> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read settings {}", path.display()))?;
        Settings::parse(&text, variable).with_context(|| format!("settings {}", path.display()))
    }

    fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Settings> {
        let mut settings: Settings = toml::from_str(text)?;
        let or = |value: &mut String, name: &str, default: &str| {
            if value.is_empty() {
                *value =
                    variable(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned());
            }
        };
        or(&mut settings.namespace, "POD_NAMESPACE", "coffer-system");
        or(&mut settings.identity, "POD_NAME", "");
        or(&mut settings.identity, "HOSTNAME", "coffer-controller");
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(1..=256).contains(&self.runs_max) {
            bail!("runs_max = {}: write 1 to 256", self.runs_max);
        }
        if !(1..=86_400).contains(&self.agent_patience_seconds) {
            bail!("agent_patience_seconds = {}: write 1 to 86400", self.agent_patience_seconds);
        }
        if self.agents.port == 0 {
            bail!("agents.port = 0: write the port that agents listen on, such as 9443");
        }
        Ok(())
    }

    /// The settings as TOML, for the log.
    pub fn effective(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| error.to_string())
    }
}

fn default_metrics_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 9445))
}

fn default_runs_max() -> usize {
    8
}

fn default_agent_patience_seconds() -> u64 {
    300
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_will_do_and_the_environment_tells_the_rest() {
        let settings =
            Settings::parse("", |name| (name == "POD_NAMESPACE").then(|| "backups".into())).unwrap();
        assert_eq!(settings.namespace, "backups");
        assert_eq!(settings.identity, "coffer-controller");
        assert!(settings.certificates.bootstrap);
        let again = Settings::parse(&settings.effective(), |_| None).unwrap();
        assert_eq!(again, settings);
    }

    #[test]
    fn the_documentation_lists_every_setting() {
        let document = include_str!("../../docs/controller.md");
        let settings = Settings::parse("[clock]\nconfig_map = 'c'", |_| None).unwrap();
        let table: toml::Table = toml::from_str(&settings.effective()).unwrap();
        let mut names = Vec::new();
        for (key, value) in &table {
            match value.as_table() {
                Some(inner) => names.extend(inner.keys().map(|inner| format!("{key}.{inner}"))),
                None => names.push(key.clone()),
            }
        }
        for name in names {
            assert!(document.contains(&format!("| `{name}` |")), "docs/controller.md does not list {name}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in ["runs_max = 0", "agent_patience_seconds = 0", "name = 1", "[agents]\nport = 0"] {
            assert!(Settings::parse(wrong, |_| None).is_err(), "{wrong}");
        }
    }
}
