//! One run: what is protected is looked up, agents make the point, retention follows, the status tells.
//!
//! Killed anywhere, the next controller begins it again with the same key (the backup's UID): the coordinator takes up what agents did, or finds
//! the point made.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use coffer_api::{Backup, BackupPhase, BackupStatus, ContinuityPlan, Unprotected, label};
use coffer_coordinator::make_point;
use coffer_engine::backup::BackupReport;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::order::{self, Prepared};
use super::retention::{self, Kept};
use super::status;
use crate::context::Context;
use crate::notes::Note;
use crate::runs::{RunStop, on_thread};

/// How often a run is tried, and the pauses between.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(3), Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(60)];

/// What came of a run.
struct Made {
    report: BackupReport,
    nodes: Vec<(String, String)>,
    unprotected: Vec<Unprotected>,
    kept: anyhow::Result<Kept>,
}

/// Runs a backup to its end and writes it down.
pub(super) async fn run(context: Arc<Context>, backup: Arc<Backup>, stop: RunStop) {
    let namespace = backup.namespace().unwrap_or_default();
    let name = backup.name_any();
    let api: Api<Backup> = Api::namespaced(context.client.clone(), &namespace);
    // What was seen may be older than the end that a run before this one wrote.
    let backup = match api.get_opt(&name).await {
        Ok(Some(backup)) => Arc::new(backup),
        Ok(None) => return,
        Err(_) => backup,
    };
    if backup.status.as_ref().is_some_and(|status| status.phase.has_ended()) {
        return;
    }
    if let Err(error) = begin(&context, &api, &backup).await {
        tracing::warn!(namespace, backup = name, %error, "the status of a backup cannot be written");
        return;
    }
    tracing::info!(namespace, backup = name, "backup begins");
    let made = attempts(&context, &backup, &namespace, &stop).await;
    if stop.token().is_cancelled() {
        // The object goes, or this process: whoever comes next takes it up.
        tracing::info!(namespace, backup = name, "backup left as it is");
        return;
    }
    let now = context.now_text();
    let (next, point) = match &made {
        Ok(made) => {
            leave_note(&context, &backup, &namespace, made);
            let status = status::made(&backup, &made.report, &made.nodes, &now);
            (status, Some(made.report.point.to_string()))
        }
        Err(error) => (status::failed(&backup, &format!("{error:#}"), &now), None),
    };
    match next.phase {
        BackupPhase::Completed => tracing::info!(namespace, backup = name, point, "backup completed"),
        phase => tracing::error!(
            namespace,
            backup = name,
            ?phase,
            message = next.message,
            "backup did not complete"
        ),
    }
    write_end(&context, &api, &backup, &next, point.as_deref()).await;
    if let Ok(made) = made {
        after(&context, &backup, &namespace, made).await;
    }
}

async fn begin(context: &Context, api: &Api<Backup>, backup: &Backup) -> kube::Result<()> {
    let running = status::running(backup, &context.now_text());
    if backup.status.as_ref() == Some(&running) {
        return Ok(());
    }
    crate::status::write(api, &backup.name_any(), &running).await
}

async fn attempts(
    context: &Arc<Context>,
    backup: &Backup,
    namespace: &str,
    stop: &RunStop,
) -> anyhow::Result<Made> {
    let mut pauses = PAUSES.iter();
    loop {
        let failed = match attempt(context, backup, namespace, stop).await {
            Err(error) if !stop.token().is_cancelled() => error,
            done => return done,
        };
        let Some(pause) = pauses.next() else { return Err(failed) };
        tracing::warn!(
            namespace,
            backup = backup.name_any(),
            error = format!("{failed:#}"),
            "backup failed, trying again"
        );
        tokio::time::sleep(*pause).await;
    }
}

async fn attempt(
    context: &Arc<Context>,
    backup: &Backup,
    namespace: &str,
    stop: &RunStop,
) -> anyhow::Result<Made> {
    let plans: Api<ContinuityPlan> = Api::namespaced(context.client.clone(), namespace);
    let plan_name = backup.spec.plan.as_deref().unwrap_or_default();
    let plan = plans.get_opt(plan_name).await.context("read the plan")?;
    let plan =
        plan.with_context(|| format!("there is no ContinuityPlan {plan_name} in namespace {namespace}"))?;
    let prepared = order::prepare(context, backup, &plan, namespace).await?;
    let unprotected = prepared.unprotected.clone();
    let nodes = prepared.nodes_by_volume();
    let (shared, stop) = (context.clone(), stop.clone());
    let retention = plan.spec.retention.clone();
    let (report, kept) = on_thread("backup", move || {
        let Prepared { access, directory, nodes, order, .. } = prepared;
        let repository = access.open(&shared, stop.token())?;
        let agents = directory.connect(&nodes, &stop)?;
        let made = make_point(&agents, &repository, &order, Arc::new(()))?;
        let kept = retention::apply(&repository, &order.point.plan, retention.as_ref());
        anyhow::Ok((made.report, kept))
    })
    .await??;
    Ok(Made { report, nodes, unprotected, kept })
}

/// Writes the end down; it is tried until it is there, since the point stands whatever the API does.
async fn write_end(
    context: &Context,
    api: &Api<Backup>,
    backup: &Backup,
    status: &BackupStatus,
    point: Option<&str>,
) {
    let name = backup.name_any();
    let labels = json!({ "metadata": { "labels": {
        label::PLAN: backup.spec.plan,
        label::CLUSTER: context.cluster.to_string(),
        label::ORIGIN: "Local",
        label::POINT: point,
    } } });
    for seconds in [1, 2, 5, 10, 30, 60] {
        let labelled = api.patch(&name, &PatchParams::default(), &Patch::Merge(&labels)).await;
        let written = match labelled {
            Ok(_) => crate::status::write(api, &name, status).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => return,
            Err(kube::Error::Api(answer)) if answer.code == 404 => return,
            Err(error) => {
                tracing::warn!(backup = name, %error, "the end of a backup cannot be written, trying again")
            }
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// What follows from a point: objects of points that were given up go.
async fn after(context: &Context, backup: &Backup, namespace: &str, made: Made) {
    let plan = backup.spec.plan.as_deref().unwrap_or_default();
    let shown = match &made.kept {
        Ok(kept) => retention::show(context, namespace, kept).await,
        Err(_) => Ok(()),
    };
    if let Err(error) = shown {
        tracing::warn!(
            namespace,
            plan,
            error = format!("{error:#}"),
            "objects of points that were given up stay for now"
        );
    }
}

/// Tells the plan what is not protected, and whether retention gave up what it should.
fn leave_note(context: &Context, backup: &Backup, namespace: &str, made: &Made) {
    let plan = backup.spec.plan.as_deref().unwrap_or_default();
    let retention_blocked = match &made.kept {
        Ok(kept) => kept.blocked.clone(),
        Err(error) => {
            tracing::error!(namespace, plan, error = format!("{error:#}"), "retention failed");
            Some(format!("{error:#}"))
        }
    };
    context.notes.leave(namespace, plan, Note { unprotected: made.unprotected.clone(), retention_blocked });
}
