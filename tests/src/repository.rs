//! A repository in a directory with its keys, and the commands on it. Must decide nothing: it only spells commands out.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Outcome, Program, run};

/// The plan of all backups here.
pub const PLAN: &str = "work";

/// A repository and its keys.
#[derive(Debug)]
pub struct Repository {
    program: Program,
    root: PathBuf,
    keys: PathBuf,
}

impl Repository {
    /// Makes a repository in `root`, with its keys in `keys`, which is there.
    #[track_caller]
    pub fn init(program: &Program, root: &Path, keys: &Path) -> Self {
        let repository = Self { program: program.clone(), root: root.into(), keys: keys.into() };
        let (recovery, writer) = (repository.key("recovery.key"), repository.key("writer.key"));
        let words = ["init", "--json", "--key-out", &recovery, "--writer-key-out", &writer];
        run(repository.command(&words, None)).expect_status(0);
        repository
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
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

    fn command(&self, words: &[&str], key: Option<&str>) -> Command {
        let mut command = self.program.command(words);
        command.arg("--repo").arg(format!("file://{}", self.root.display()));
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
