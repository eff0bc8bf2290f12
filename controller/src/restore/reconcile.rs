//! Begins restores, also those that an earlier controller began.

use std::sync::Arc;
use std::time::Duration;

use coffer_api::Restore;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::run;
use crate::context::Context;
use crate::errors::ReconcileError;

/// Looks after one restore.
///
/// # Errors
/// None: a restore tells its own.
pub async fn reconcile(restore: Arc<Restore>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let uid = restore.uid().unwrap_or_default();
    if restore.metadata.deletion_timestamp.is_some() {
        context.runs.stop(&uid);
        return Ok(Action::await_change());
    }
    if restore.status.as_ref().is_some_and(|status| status.phase.has_ended()) {
        return Ok(Action::await_change());
    }
    let shared = context.clone();
    context.runs.begin(&uid, |stop| run::run(shared, restore, stop));
    Ok(Action::requeue(Duration::from_secs(60)))
}
