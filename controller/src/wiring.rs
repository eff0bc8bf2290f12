//! The composition root: which reconcilers there are, what they watch, and how the process ends.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use coffer_api::{Backup, BackupLocation, ContinuityPlan, Restore, Team};
use futures::{Stream, StreamExt};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::SharedClock;
use crate::context::Context;
use crate::errors::ReconcileError;
use crate::leader::{Candidate, TIMES};
use crate::location::LocationContext;
use crate::plan::PlanContext;
use crate::serve::{Telling, listen};
use crate::settings::Settings;
use crate::{backup, certificates, cluster, location, plan, restore, team};

/// Pause before a reconciler that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// How often certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(3_600);

/// Serves until a signal comes or the lease is lost.
///
/// # Errors
/// What keeps the controller from its work; losing the lease is one.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let telling = Telling::new()?;
    let http = tokio::spawn(listen(settings.metrics_listen, telling.clone()));
    let client = Client::try_default().await.context("find the Kubernetes API")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut candidate = Candidate::new(client.clone(), &settings.namespace, &settings.identity, TIMES);
    telling.set_ready();
    tokio::select! {
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        ended = http => return ended?,
        () = candidate.lead() => {}
    }
    tracing::info!("this controller leads");
    telling.is_leading.set(1);
    let context = prepare(client, settings).await?;
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        lost = candidate.keep() => lost,
        () = reconcilers(context.clone()) => anyhow::bail!("the reconcilers ended; this is a bug of Coffer"),
        ended = upkeep(context.clone(), telling) => ended,
    };
    context.runs.stop_all();
    if ended.is_ok() {
        candidate.give_up().await;
    }
    ended
}

async fn prepare(client: Client, settings: Settings) -> anyhow::Result<Arc<Context>> {
    let id = cluster::id(&client).await?;
    cluster::announce(&client, &settings.namespace, &id).await?;
    if settings.certificates.bootstrap {
        certificates::ensure(&client, &settings).await?;
    }
    let clock = SharedClock::system();
    if let Some(test) = &settings.clock {
        tracing::warn!(config_map = test.config_map, "the clock follows a ConfigMap: this is for tests");
        clock.read(client.clone(), &settings.namespace, &test.config_map).await.context("read the clock")?;
        tokio::spawn(clock.clone().follow(
            client.clone(),
            settings.namespace.clone(),
            test.config_map.clone(),
        ));
    }
    Ok(Context::new(client, settings, id, clock))
}

/// What is done beside the reconcilers: certificates, figures.
async fn upkeep(context: Arc<Context>, telling: Telling) -> anyhow::Result<()> {
    let mut certificates_due = tokio::time::interval(CERTIFICATES_EVERY);
    let mut figures_due = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = certificates_due.tick(), if context.settings.certificates.bootstrap => {
                if let Err(error) = certificates::ensure(&context.client, &context.settings).await {
                    tracing::error!(error = format!("{error:#}"), "certificates cannot be renewed");
                }
            }
            _ = figures_due.tick() => telling.runs.set(i64::try_from(context.runs.count()).unwrap_or(i64::MAX)),
        }
    }
}

async fn reconcilers(context: Arc<Context>) {
    let client = context.client.clone();
    let every = watcher::Config::default;
    let backups = Controller::new(Api::<Backup>::all(client.clone()), every());
    let backup_store = backups.store();
    let plans = Controller::new(Api::<ContinuityPlan>::all(client.clone()), every());
    let plan_store = plans.store();
    let plans = plans
        .watches(Api::<Backup>::all(client.clone()), every(), |backup| plan_of(&backup))
        .reconcile_all_on(moves(&context))
        .run(
            plan::reconcile,
            retry,
            Arc::new(PlanContext { shared: context.clone(), backups: backup_store.clone() }),
        );
    let backups = backups.run(backup::reconcile, retry, context.clone());
    let restores = Controller::new(Api::<Restore>::all(client.clone()), every()).run(
        restore::reconcile,
        retry,
        context.clone(),
    );
    let locations = Controller::new(Api::<BackupLocation>::all(client.clone()), every())
        .reconcile_all_on(moves(&context))
        .run(
            location::reconcile,
            retry,
            Arc::new(LocationContext { shared: context.clone(), backups: backup_store, plans: plan_store }),
        );
    let teams = Controller::new(Api::<Team>::all(client), every()).run(team::reconcile, retry, context);
    tokio::join!(drain(backups), drain(plans), drain(restores), drain(locations), drain(teams));
}

/// The plan that an object is of: its own, or the one that its labels name.
fn plan_of(backup: &Backup) -> Option<ObjectRef<ContinuityPlan>> {
    let labelled = || backup.labels().get(coffer_api::label::PLAN).cloned();
    let name = backup.spec.plan.clone().or_else(labelled)?;
    Some(ObjectRef::new(&name).within(&backup.namespace()?))
}

/// Tells when the clock was moved.
fn moves(context: &Context) -> impl Stream<Item = ()> + Send + Sync + use<> {
    futures::stream::unfold(context.clock.moves(), |mut moves| async move {
        moves.changed().await.ok()?;
        Some(((), moves))
    })
}

/// A reconciler's errors are told here, once.
async fn drain<K, E: Debug>(results: impl Stream<Item = Result<(ObjectRef<K>, Action), E>>)
where
    K: kube::runtime::reflector::Lookup,
    K::DynamicType: Debug,
{
    let mut results = std::pin::pin!(results);
    while let Some(result) = results.next().await {
        if let Err(error) = result {
            tracing::debug!(?error, "a reconciler was not done");
        }
    }
}

fn retry<K: kube::Resource<DynamicType = ()>, C>(
    object: Arc<K>,
    error: &ReconcileError,
    _: Arc<C>,
) -> Action {
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    let name = object.meta().name.clone().unwrap_or_default();
    tracing::warn!(kind = %K::kind(&()), namespace, name, %error, "looking after an object failed, trying again");
    Action::requeue(RETRY)
}
