//! The conformance suite: what every plugin must do, tried on a running one.
//!
//! The first part changes nothing. With a resource to try (one that may be protected and restored), the second part makes one artefact, makes
//! it again under the same key, verifies it, restores it if options for that are given, and deletes it twice.

mod reading;
mod report;
mod trial;

use std::path::Path;

pub use self::report::Checked;
use self::report::Report;
pub use self::trial::Trial;
use crate::client::PluginClient;

/// Runs the suite on the plugin behind `socket`.
pub async fn check(socket: &Path, trial: Option<&Trial>) -> Vec<Checked> {
    let mut report = Report::default();
    let connected = PluginClient::connect(socket).await;
    let Some(client) = report.take("it answers, with a name and types that keep the rules", connected) else {
        return report.checked();
    };
    reading::check(&client, &mut report).await;
    if let Some(trial) = trial {
        trial::check(&client, trial, &mut report).await;
    }
    report.checked()
}
