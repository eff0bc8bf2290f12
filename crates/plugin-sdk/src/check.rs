//! The conformance suite: what every plugin must do, tried on a running one.
//!
//! The first part changes nothing. With a resource to try (one that may be protected and restored), the second part makes one artefact, makes
//! it again under the same key, verifies it, restores it if options for that are given, and deletes it twice.

mod reading;
mod trial;

use std::path::Path;

pub use self::trial::Trial;
use crate::client::PluginClient;

/// What came of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// Why it is broken; `None` where it holds.
    pub problem: Option<String>,
}

/// Runs the suite on the plugin behind `socket`.
pub async fn check(socket: &Path, trial: Option<&Trial>) -> Vec<Checked> {
    let mut report = Report::default();
    let connected = PluginClient::connect(socket).await;
    let Some(client) = report.take("it answers, with a name and types that keep the rules", connected) else {
        return report.checked;
    };
    reading::check(&client, &mut report).await;
    if let Some(trial) = trial {
        trial::check(&client, trial, &mut report).await;
    }
    report.checked
}

/// What was found so far.
#[derive(Default)]
struct Report {
    checked: Vec<Checked>,
}

impl Report {
    fn note(&mut self, rule: &'static str, problem: Option<String>) {
        self.checked.push(Checked { rule, problem });
    }

    /// Notes that something must be so.
    fn must(&mut self, rule: &'static str, holds: bool, otherwise: impl FnOnce() -> String) {
        self.note(rule, (!holds).then(otherwise));
    }

    /// Notes that a call must succeed, and gives what it answered.
    fn take<T, E: std::fmt::Display>(&mut self, rule: &'static str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                self.note(rule, None);
                Some(value)
            }
            Err(error) => {
                self.note(rule, Some(error.to_string()));
                None
            }
        }
    }
}
