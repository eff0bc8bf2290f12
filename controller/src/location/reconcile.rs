//! Looks after a location: opens it, shows its points, gives space back when it is time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coffer_api::{AccessMode, Backup, BackupLocation, BackupLocationStatus, ContinuityPlan, Team};
use coffer_engine::CancelToken;
use coffer_engine::catalog::{Filter, PointEntry, list_points};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt};

use super::catalogue::{Changes, New, View, compare};
use super::prune;
use crate::FIELD_MANAGER;
use crate::backup;
use crate::context::{Context, rfc3339};
use crate::errors::ReconcileError;
use crate::repositories::{Access, KeyUse};
use crate::runs::on_thread;
use crate::status::{State, set_state, write};
use crate::tenants;

/// How often `lastSyncTime` is written where nothing else changed, seconds.
const SYNC_TIME_EVERY: i64 = 60;

/// What looking after locations needs.
pub struct LocationContext {
    /// What all reconcilers need.
    pub shared: Arc<Context>,
    /// All backups, as they were seen last.
    pub backups: Store<Backup>,
    /// All plans.
    pub plans: Store<ContinuityPlan>,
}

/// What a look at the bucket told.
struct Synced {
    repository: String,
    points: usize,
}

/// Looks after one location.
///
/// # Errors
/// The API did not do what was asked.
pub async fn reconcile(
    location: Arc<BackupLocation>,
    context: Arc<LocationContext>,
) -> Result<Action, ReconcileError> {
    let shared = &context.shared;
    let api: Api<BackupLocation> = Api::all(shared.client.clone());
    let Some(location) = api.get_opt(&location.name_any()).await? else { return Ok(Action::await_change()) };
    let teams = tenants::teams(&shared.client).await?;
    let synced = sync(&context, &location, &teams).await;
    let pruned = give_back(shared, &location, &teams).await;
    let status = next_status(shared, &location, &synced, pruned);
    if location.status.as_ref() != Some(&status) {
        write(&api, &location.name_any(), &status).await?;
    }
    Ok(Action::requeue(Duration::from_secs(u64::from(location.spec.sync_period_seconds))))
}

async fn sync(
    context: &LocationContext,
    location: &BackupLocation,
    teams: &[Team],
) -> anyhow::Result<Synced> {
    let shared = &context.shared;
    // Seen before the points are listed: what a run makes meanwhile is not taken for gone.
    let name = location.name_any();
    let is_here = |backup: &Backup| match &backup.spec.plan {
        None => true,
        Some(plan) => context.plans.state().iter().any(|known| {
            known.name_any() == *plan
                && known.namespace() == backup.namespace()
                && known.spec.location == name
        }),
    };
    let known: Vec<Backup> = context
        .backups
        .state()
        .iter()
        .filter(|backup| is_here(backup))
        .map(|backup| (**backup).clone())
        .collect();
    let access = Access::read(shared, location, None, KeyUse::None).await?;
    let labels: Vec<coffer_format::Label> =
        teams.iter().filter_map(|team| team.name_any().parse().ok()).collect();
    let for_thread = shared.clone();
    let (repository, points) = on_thread("sync", move || {
        let repository = access.open(&for_thread, CancelToken::default())?;
        let mut points: Vec<PointEntry> = Vec::new();
        for team in labels {
            points.extend(list_points(&repository, &Filter { team: Some(team), ..Filter::default() })?);
        }
        anyhow::Ok((repository.id().to_string(), points))
    })
    .await??;
    let namespaces = namespaces(shared).await?;
    let cluster = shared.cluster.to_string();
    let now: Vec<Backup> = context.backups.state().iter().map(|backup| (**backup).clone()).collect();
    let view = View { location: &name, cluster: &cluster, teams, namespaces: &namespaces, now: &now };
    apply(shared, compare(&view, &known, &points)).await?;
    Ok(Synced { repository, points: points.len() })
}

async fn namespaces(context: &Context) -> anyhow::Result<BTreeSet<String>> {
    let api: Api<Namespace> = Api::all(context.client.clone());
    Ok(api.list_metadata(&ListParams::default()).await?.items.iter().map(ResourceExt::name_any).collect())
}

async fn apply(context: &Context, changes: Changes<'_>) -> anyhow::Result<()> {
    for new in changes.make {
        make(context, new).await?;
    }
    for (namespace, name) in changes.delete {
        let api: Api<Backup> = Api::namespaced(context.client.clone(), &namespace);
        match api.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            deleted => drop(deleted?),
        }
    }
    Ok(())
}

async fn make(context: &Context, new: New<'_>) -> anyhow::Result<()> {
    let api: Api<Backup> = Api::namespaced(context.client.clone(), &new.namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    let backup = match api.create(&parameters, &new.backup).await {
        Ok(backup) => backup,
        Err(kube::Error::Api(status)) if status.code == 409 => api.get(&new.backup.name_any()).await?,
        Err(error) => return Err(error.into()),
    };
    let status = backup::discovered(&backup, new.point, new.origin, &context.now_text());
    Ok(write(&api, &backup.name_any(), &status).await?)
}

/// Begins to give space back where it is time. The slot that was served, if there was one.
async fn give_back(
    context: &Context,
    location: &BackupLocation,
    teams: &[Team],
) -> anyhow::Result<Option<Timestamp>> {
    let Some(prune) = location.spec.prune.as_ref() else { return Ok(None) };
    if location.spec.access_mode == AccessMode::ReadOnly {
        return Ok(None);
    }
    let last = location.status.as_ref().and_then(|status| status.last_prune_time.as_ref()?.parse().ok());
    let now = context.clock.instant();
    // Nothing is given back at once when a location is made.
    let Some(last) = last else { return Ok(Some(now)) };
    let Some(slot) = prune::due(prune, last, now)? else { return Ok(None) };
    prune::start(context, location, prune, teams, slot).await?;
    Ok(Some(slot))
}

fn next_status(
    context: &Context,
    location: &BackupLocation,
    synced: &anyhow::Result<Synced>,
    pruned: anyhow::Result<Option<Timestamp>>,
) -> BackupLocationStatus {
    let before = location.status.clone().unwrap_or_default();
    let mut status = before.clone();
    status.observed_generation = location.metadata.generation;
    let now = context.clock.instant();
    let state = match (synced, &pruned) {
        (Ok(synced), Ok(_)) => {
            status.repository = Some(synced.repository.clone());
            status.points = i64::try_from(synced.points).ok();
            State::Ready {
                reason: "Synced",
                message: "the repository can be read; its points are shown".into(),
            }
        }
        (Err(error), _) => {
            tracing::warn!(
                location = location.name_any(),
                error = format!("{error:#}"),
                "the location cannot be read"
            );
            State::Stalled { reason: "Unreachable", message: format!("{error:#}") }
        }
        (_, Err(error)) => State::Stalled { reason: "PruneFailed", message: format!("{error:#}") },
    };
    if let Ok(Some(slot)) = pruned {
        status.last_prune_time = Some(rfc3339(slot));
    }
    set_state(&mut status.conditions, &state, location.metadata.generation, &rfc3339(now));
    let last: Option<Timestamp> = before.last_sync_time.as_ref().and_then(|time| time.parse().ok());
    let is_due = last.is_none_or(|last| now.duration_since(last).as_secs().abs() >= SYNC_TIME_EVERY);
    if synced.is_ok() && (is_due || status != before) {
        status.last_sync_time = Some(rfc3339(now));
    }
    status
}
