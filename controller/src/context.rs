//! What every reconciler needs: the API, settings, this cluster's name, time, and a place for work that is under way.

use std::sync::Arc;

use coffer_format::Label;
use kube::Client;

use crate::clock::SharedClock;
use crate::notes::Notes;
use crate::runs::Runs;
use crate::settings::Settings;

/// Shared by all reconcilers of one controller.
pub struct Context {
    /// The Kubernetes API.
    pub client: Client,
    /// The settings.
    pub settings: Settings,
    /// This cluster, in the names of points.
    pub cluster: Label,
    /// Time.
    pub clock: Arc<SharedClock>,
    /// Backups and restores that are under way.
    pub runs: Runs,
    /// What runs tell plans.
    pub notes: Notes,
}

impl Context {
    /// A context of this cluster.
    pub fn new(client: Client, settings: Settings, cluster: Label, clock: Arc<SharedClock>) -> Arc<Context> {
        let runs = Runs::new(settings.runs_max);
        Arc::new(Context { client, settings, cluster, clock, runs, notes: Notes::default() })
    }

    /// The time now, RFC 3339 in whole seconds.
    pub fn now_text(&self) -> String {
        rfc3339(self.clock.instant())
    }
}

/// RFC 3339 in whole seconds, UTC.
pub fn rfc3339(moment: jiff::Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
