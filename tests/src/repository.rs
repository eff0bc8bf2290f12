//! A repository with its keys, and the commands on it. Must decide nothing: it only spells commands out.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Outcome, Program, run};

/// The plan of all backups here.
pub const PLAN: &str = "work";

/// Where a repository is, and how the program is told.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Its address.
    pub url: String,
    /// The directory in which its objects can be seen, if there is one.
    pub root: PathBuf,
    /// What the program finds in its environment: credentials, a proxy.
    pub environment: Vec<(String, String)>,
    /// Options before all others.
    pub options: Vec<String>,
}

impl Place {
    /// A directory.
    pub fn directory(root: &Path) -> Self {
        Self { url: format!("file://{}", root.display()), root: root.into(), ..Self::default() }
    }

    /// An address on S3 with these credentials.
    pub fn s3(url: &str, access: &str, secret: &str) -> Self {
        let place = Self { url: url.to_owned(), ..Self::default() };
        let place = place.with("AWS_ACCESS_KEY_ID", access).with("AWS_SECRET_ACCESS_KEY", secret);
        // What the machine itself might offer is not asked for.
        place.with("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// With one more word in the environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A repository and its keys.
#[derive(Debug, Clone)]
pub struct Repository {
    program: Program,
    place: Place,
    keys: PathBuf,
}

impl Repository {
    /// Makes a repository in `root`, with its keys in `keys`, which is there.
    #[track_caller]
    pub fn init(program: &Program, root: &Path, keys: &Path) -> Self {
        let repository = Self::at(program, Place::directory(root), keys);
        run(repository.init_command()).expect_status(0);
        repository
    }

    /// The repository at a place, made or not, with its keys in `keys`.
    pub fn at(program: &Program, place: Place, keys: &Path) -> Self {
        Self { program: program.clone(), place, keys: keys.into() }
    }

    /// The same one, seen from another place.
    #[must_use]
    pub fn seen_from(&self, place: Place) -> Self {
        Self { place, ..self.clone() }
    }

    /// What makes it.
    pub fn init_command(&self) -> Command {
        let (recovery, writer) = (self.key("recovery.key"), self.key("writer.key"));
        let words = ["init", "--json", "--key-out", &recovery, "--writer-key-out", &writer];
        self.command(&words, None)
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.place.root
    }

    /// A backup of `volumes`, each NAME=PATH.
    pub fn backup(&self, volumes: &[String], options: &[&str]) -> Command {
        let mut words = vec!["backup", "--json", "--quiet", "--plan", PLAN];
        words.extend(options);
        words.extend(volumes.iter().map(String::as_str));
        self.command(&words, Some("writer.key"))
    }

    /// A restore of `point`.
    pub fn restore(&self, point: &str, options: &[&str]) -> Command {
        let mut words = vec!["restore", "--json", "--quiet", point];
        words.extend(options);
        self.command(&words, Some("recovery.key"))
    }

    /// Forgets all but the newest `count`.
    pub fn forget(&self, count: usize) -> Command {
        let count = count.to_string();
        self.command(&["forget", "--json", "--plan", PLAN, "--keep-last", &count], Some("writer.key"))
    }

    /// A prune.
    pub fn prune(&self) -> Command {
        self.command(&["prune", "--json"], Some("writer.key"))
    }

    /// A verify with the recovery key.
    pub fn verify(&self, options: &[&str]) -> Command {
        let mut words = vec!["verify", "--json", "--quiet"];
        words.extend(options);
        self.command(&words, Some("recovery.key"))
    }

    /// The points, oldest first.
    #[track_caller]
    pub fn points(&self) -> Vec<Value> {
        let listed = run(self.command(&["points", "--json"], None)).expect_status(0).json();
        listed.as_array().expect("points are a list").clone()
    }

    /// Their ids.
    #[track_caller]
    pub fn point_ids(&self) -> Vec<String> {
        self.points().iter().map(|point| text(&point["point"])).collect()
    }

    /// The checked payload of a manifest.
    #[track_caller]
    pub fn manifest(&self, point: &str) -> Value {
        let shown = run(self.command(&["cat", "manifest", "--json", point], Some("writer.key")));
        shown.expect_status(0).json()["payload"].clone()
    }

    /// Panics unless `verify` finds nothing wrong; returns what it said.
    #[track_caller]
    pub fn expect_clean(&self, options: &[&str]) -> Outcome {
        let outcome = run(self.verify(options)).expect_status(0);
        let problems = &outcome.json()["problems"];
        assert!(problems.as_array().is_some_and(Vec::is_empty), "{}", outcome.story());
        outcome
    }

    /// Any verb, with one of the keys.
    pub fn command(&self, words: &[&str], key: Option<&str>) -> Command {
        let mut command = self.program.command(words);
        command.args(&self.place.options).arg("--repo").arg(&self.place.url);
        command.envs(self.place.environment.iter().map(|(name, value)| (name, value)));
        if let Some(key) = key {
            command.arg("--key").arg(self.key(key));
        }
        command
    }

    fn key(&self, name: &str) -> String {
        self.keys.join(name).to_str().expect("test paths are text").to_owned()
    }
}

/// A JSON string's text.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
