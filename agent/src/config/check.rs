//! What the types of the settings cannot say. Pure; nothing here looks at files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use coffer_engine::MEMORY_BYTES_MIN;
use coffer_format::Label;
use coffer_volume::DeviceClass;

use super::{Config, ConfigError, ListenAddress, Size, TlsFiles};

const NODE_NAME_LEN_MAX: usize = 253;
const TRUST_DOMAIN_LEN_MAX: usize = 255;

impl Config {
    /// Checks what one value says of another, and limits.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.check_names()?;
        self.check_numbers()?;
        self.check_paths()?;
        self.check_listeners()?;
        if self.repositories.is_empty() {
            let problem = "no repository could be used; \"s3://\" allows every bucket";
            return Err(value("repositories", "[]", problem));
        }
        self.check_teams()
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        let name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
        if self.node.len() > NODE_NAME_LEN_MAX || !self.node.bytes().all(name) {
            return Err(value("node", &self.node, "a node's name has 1 to 253 of a-z, 0-9, - and ."));
        }
        match self.device_classes.iter().find_map(|class| Some((class, class.parse::<DeviceClass>().err()?)))
        {
            Some((class, problem)) => Err(value("device_classes", class, &problem)),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        if self.memory.0 < MEMORY_BYTES_MIN {
            let least = Size(MEMORY_BYTES_MIN);
            return Err(value("memory", &self.memory.to_string(), &format!("at least {least} are needed")));
        }
        let numbers = [
            ("operations_max", self.operations_max.into(), 1, 1_024),
            ("queued_max", self.queued_max.into(), 0, 100_000),
            ("threads", self.threads.into(), 0, 1_024),
            ("nice", self.nice.into(), 0, 19),
            ("disk_share_percent", self.disk_share_percent.into(), 1, 100),
            ("grace_period_seconds", self.grace_period_seconds, 0, 3_600),
            ("history_max", self.history_max.into(), 1, 100_000),
            ("history_days", self.history_days.into(), 1, 3_650),
        ];
        match numbers.into_iter().find(|(_, number, least, most)| !(least..=most).contains(&number)) {
            Some((key, number, least, most)) => {
                Err(value(key, &number.to_string(), &format!("write {least} to {most}")))
            }
            None => Ok(()),
        }
    }

    fn check_paths(&self) -> Result<(), ConfigError> {
        let roots = self.roots.iter().map(|path| ("roots", path));
        let others = [
            ("state_dir", &self.state_dir),
            ("kubelet_dir", &self.kubelet_dir),
            ("host_root", &self.host_root),
        ];
        let credentials = self.credentials_dir.iter().map(|path| ("credentials_dir", path));
        let teams = self.teams.iter().flat_map(|team| &team.roots).map(|path| ("teams.roots", path));
        let tls = self.tls.iter().flat_map(|TlsFiles { cert, key, client_ca, .. }| {
            [("tls.cert", cert), ("tls.key", key), ("tls.client_ca", client_ca)]
        });
        let mut all = roots.chain(others).chain(credentials).chain(teams).chain(tls);
        match all.find(|(_, path)| !is_plain(path)) {
            Some((key, path)) => {
                Err(value(key, &path.display().to_string(), "write an absolute path without `.` and `..`"))
            }
            None => self.check_roots(),
        }
    }

    fn check_roots(&self) -> Result<(), ConfigError> {
        match self.roots.iter().find(|root| root.parent().is_none()) {
            Some(_) => {
                let problem = "it holds everything there is on this node; name directories that hold volumes and nothing else";
                Err(value("roots", "/", problem))
            }
            None => Ok(()),
        }
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        if let Some(tls) = &self.tls {
            return check_trust_domain(&tls.trust_domain);
        }
        let listen = match self.listen {
            ListenAddress::Tcp(address) => Some(("listen", address)),
            ListenAddress::Unix(_) => None,
        };
        let open = listen.into_iter().chain(self.metrics_listen.map(|address| ("metrics_listen", address)));
        match open.into_iter().find(|(_, address)| !address.ip().is_loopback()) {
            Some((key, address)) => {
                let problem = "without [tls] anybody could call from there: add [tls], or listen on 127.0.0.1 or a Unix socket";
                Err(value(key, &address.to_string(), problem))
            }
            None => Ok(()),
        }
    }

    fn check_teams(&self) -> Result<(), ConfigError> {
        let mut names = BTreeSet::new();
        let mut namespaces = BTreeMap::new();
        let mut volumes = BTreeMap::new();
        for team in &self.teams {
            if !names.insert(&team.name) {
                return Err(value("teams.name", team.name.as_ref(), "there is a team of this name already"));
            }
            for namespace in &team.namespaces {
                if let Some(other) = namespaces.insert(namespace, &team.name) {
                    return Err(value("teams.namespaces", namespace.as_ref(), &twice(other.as_ref())));
                }
            }
            for volume in &team.volumes {
                if let Some(other) = volumes.insert(volume, &team.name) {
                    return Err(value("teams.volumes", volume, &twice(other.as_ref())));
                }
            }
        }
        self.check_team_roots()
    }

    fn check_team_roots(&self) -> Result<(), ConfigError> {
        let all = || self.teams.iter().flat_map(|team| team.roots.iter().map(|root| (&team.name, root)));
        for (name, root) in all() {
            let shown = root.display().to_string();
            if !self.roots.iter().any(|allowed| root.starts_with(allowed)) {
                return Err(value(
                    "teams.roots",
                    &shown,
                    "it does not lie below one of `roots`: add it there, too",
                ));
            }
            let overlap = |(other, path): &(&Label, &PathBuf)| {
                *other != name && (root.starts_with(path) || path.starts_with(root))
            };
            if let Some((other, _)) = all().find(overlap) {
                return Err(value("teams.roots", &shown, &twice(other.as_ref())));
            }
            let below = |(other, path): &(&Label, &Path)| *other != name && path.starts_with(root);
            if let Some((_, path)) = self.volume_paths().find(below) {
                return Err(value("teams.volumes", &path.display().to_string(), &twice(name.as_ref())));
            }
        }
        Ok(())
    }

    /// The teams' volumes that are named by their paths.
    pub(super) fn volume_paths(&self) -> impl Iterator<Item = (&Label, &Path)> {
        let named = self.teams.iter().flat_map(|team| team.volumes.iter().map(|volume| (&team.name, volume)));
        named.map(|(team, volume)| (team, Path::new(volume))).filter(|(_, path)| path.is_absolute())
    }
}

fn check_trust_domain(domain: &str) -> Result<(), ConfigError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    if (1..=TRUST_DOMAIN_LEN_MAX).contains(&domain.len()) && domain.bytes().all(allowed) {
        return Ok(());
    }
    let problem = "write the DOMAIN of spiffe://DOMAIN/coffer/controller: 1 to 255 of a-z, 0-9, -, . and _";
    Err(value("tls.trust_domain", domain, problem))
}

/// Whether a path is absolute and names one place whatever links there are in between: no `.`, no `..`.
fn is_plain(path: &Path) -> bool {
    let dots = |part: &[u8]| part == b"." || part == b"..";
    path.is_absolute()
        && !path.as_os_str().as_encoded_bytes().split(|byte| *byte == b'/').any(dots)
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

fn twice(other: &str) -> String {
    format!("it is team {other}'s already; what is one team's cannot be another's")
}

fn value(key: &'static str, value: &str, problem: &str) -> ConfigError {
    ConfigError::Value { key, value: value.to_owned(), problem: problem.to_owned() }
}
