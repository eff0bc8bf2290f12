//! `Restore`: a point brought back.

use crate::context::Context;
use crate::errors::ReconcileError;
use coffer_api::Restore;
use kube::runtime::controller::Action;
use std::sync::Arc;
use std::time::Duration;

/// Looks after one restore.
pub async fn reconcile(_restore: Arc<Restore>, _context: Arc<Context>) -> Result<Action, ReconcileError> {
    Ok(Action::requeue(Duration::from_secs(60)))
}
