//! What the work of one attempt has at hand.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use coffer_engine::{EngineError, Repository, Resources};
use coffer_format::{Id, Label};
use coffer_proto::checked::{RepositoryAccess, VolumeRef};
use coffer_store::{ObjectStore, OpenOptions};

use super::control::Control;
use super::events::{Events, Level};
use super::live::LiveProgress;
use super::registry::Registry;
use super::stores;
use super::volumes::{Behalf, Sight};
use crate::errors::AgentError;

/// What the work of one attempt has at hand.
pub(super) struct Run<'a> {
    pub(super) registry: &'a Registry,
    pub(super) id: Id,
    pub(super) behalf: &'a Behalf,
    pub(super) control: &'a Control,
    pub(super) progress: &'a LiveProgress,
    pub(super) resources: &'a Resources,
    pub(super) events: &'a Events,
    /// What targets were when earlier attempts began to write them.
    pub(super) targets_begun: &'a BTreeMap<String, String>,
    /// The store that was opened, for its count of requests.
    pub(super) store: OnceLock<Arc<dyn ObjectStore>>,
}

impl Run<'_> {
    /// Opens a repository with the operation's own key and credentials.
    pub(super) fn open_repository(
        &self,
        access: &RepositoryAccess,
        team: &Label,
    ) -> Result<Repository, AgentError> {
        let url = stores::address(&access.url)?;
        let ports = &self.registry.ports;
        let credentials = ports.mounted.credentials(team, &access.s3)?;
        let key = ports.mounted.key(team, &access.key)?;
        let cancelled = Some(self.control.token().shared_flag());
        let store =
            ports.stores.open(&url, OpenOptions { cancelled, credentials, ..OpenOptions::default() })?;
        self.progress.watch_store(&store);
        let _opened_once = self.store.set(store.clone());
        let repository = Repository::open(store, self.registry.environment(self.control), key)?;
        self.info(format!("opened repository {} at {}", repository.id(), repository.store().describe()));
        Ok(repository)
    }

    /// This node as it is now, for these volumes.
    pub(super) fn look(&self, volumes: &[&VolumeRef]) -> Result<Box<dyn Sight + '_>, AgentError> {
        self.registry.ports.volumes.look(self.behalf, volumes, self.control.token())
    }

    pub(super) fn info(&self, text: String) {
        self.log(Level::Info, text);
    }

    pub(super) fn warn(&self, text: String) {
        tracing::warn!(operation = %self.id, text);
        self.log(Level::Warn, text);
    }

    pub(super) fn log(&self, level: Level, text: String) {
        self.events.log(self.registry.ports.clock.now(), level, text);
    }
}

/// Of an operation whose volumes all failed, the first failure.
pub(super) fn all_failed(error: EngineError) -> AgentError {
    AgentError::Engine(EngineError::AllVolumesFailed(Box::new(error)))
}
