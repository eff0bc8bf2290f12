//! Begins the runs of backups, also of those that an earlier controller began.

use std::sync::Arc;
use std::time::Duration;

use coffer_api::Backup;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::run;
use crate::context::Context;
use crate::errors::ReconcileError;

/// Looks after one backup.
///
/// # Errors
/// None: a run tells its own.
pub async fn reconcile(backup: Arc<Backup>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let uid = backup.uid().unwrap_or_default();
    let has_ended = backup.status.as_ref().is_some_and(|status| status.phase.has_ended());
    if backup.metadata.deletion_timestamp.is_some() || has_ended || backup.spec.plan.is_none() {
        if backup.metadata.deletion_timestamp.is_some() {
            context.runs.stop(&uid);
        }
        return Ok(Action::await_change());
    }
    let shared = context.clone();
    context.runs.begin(&uid, |stop| run::run(shared, backup, stop));
    Ok(Action::requeue(Duration::from_secs(60)))
}
