//! The status of a restore as its journal: what is done is written down before the next step, so that whoever goes on knows.

use coffer_api::{Restore, RestoreFinding, RestorePhase, RestoreStage, RestoreStatus};
use kube::{Api, ResourceExt};

use super::status;
use crate::context::Context;

/// A restore and its status, of which this is the only writer.
pub(super) struct Journal<'a> {
    pub(super) context: &'a Context,
    pub(super) restore: &'a Restore,
    pub(super) namespace: String,
    pub(super) status: RestoreStatus,
}

impl<'a> Journal<'a> {
    /// Takes up what was written down.
    pub(super) fn new(context: &'a Context, restore: &'a Restore) -> Journal<'a> {
        let namespace = restore.namespace().unwrap_or_default();
        Journal { context, restore, namespace, status: restore.status.clone().unwrap_or_default() }
    }

    /// Writes down that a stage begins.
    pub(super) async fn stage(&mut self, stage: RestoreStage, message: &str) -> anyhow::Result<()> {
        self.status.phase = RestorePhase::Running;
        self.status.stage = Some(stage);
        self.status.start_time.get_or_insert_with(|| self.context.now_text());
        status::in_progress(&mut self.status, self.restore, message, &self.context.now_text());
        self.write().await
    }

    /// Writes down that all is done.
    pub(super) async fn complete(&mut self, message: &str) -> anyhow::Result<()> {
        self.status.phase = RestorePhase::Completed;
        self.status.completion_time = Some(self.context.now_text());
        self.status.message = None;
        status::ready(&mut self.status, self.restore, message, &self.context.now_text());
        self.write().await
    }

    /// Writes down that it failed.
    pub(super) async fn fail(&mut self, message: &str) -> anyhow::Result<()> {
        self.status.phase = RestorePhase::Failed;
        self.status.completion_time = Some(self.context.now_text());
        status::stalled(&mut self.status, self.restore, message, &self.context.now_text());
        self.write().await
    }

    /// Notes a finding of the preflight; it is written with the next step.
    pub(super) fn find(&mut self, object: String, blocking: bool, message: impl Into<String>) {
        self.status.findings.push(RestoreFinding { object, blocking, message: message.into() });
    }

    /// Writes the status.
    pub(super) async fn write(&self) -> anyhow::Result<()> {
        let api: Api<Restore> = Api::namespaced(self.context.client.clone(), &self.namespace);
        Ok(crate::status::write(&api, &self.restore.name_any(), &self.status).await?)
    }
}
