//! Which point is meant: by the name of a backup, or by a plan and an intent.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use coffer_api::{Backup, ContinuityPlan, PlanSource, PointIdentity, Restore};
use coffer_engine::catalog::{Filter, list_points};
use coffer_engine::{Intent, pick_proven};
use jiff::tz::TimeZone;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::repositories::{Access, KeyUse};
use crate::runs::{RunStop, on_thread};
use crate::tenants::{self, Tenant};

/// The point, of the team that the restore's namespace belongs to.
pub(super) async fn resolve(
    context: &Arc<Context>,
    restore: &Restore,
    tenant: &Tenant,
    stop: &RunStop,
) -> anyhow::Result<PointIdentity> {
    let namespace = restore.namespace().unwrap_or_default();
    let source = &restore.spec.source;
    let identity = match (&source.backup, &source.plan) {
        (Some(backup), _) => of_backup(context, &namespace, backup, tenant).await?,
        (None, Some(plan)) => of_plan(context, &namespace, plan, tenant, stop).await?,
        (None, None) => bail!("the restore names no source"),
    };
    // Whoever may write a Backup object could name another team's point in it.
    if identity.team != tenant.label.to_string() {
        bail!(
            "the point belongs to team {}, and namespace {namespace} to team {}",
            identity.team,
            tenant.label
        );
    }
    Ok(identity)
}

async fn of_backup(
    context: &Context,
    namespace: &str,
    name: &str,
    tenant: &Tenant,
) -> anyhow::Result<PointIdentity> {
    let api: Api<Backup> = Api::namespaced(context.client.clone(), namespace);
    let backup = api.get_opt(name).await.context("read the backup")?;
    let backup = backup.with_context(|| format!("there is no Backup {name} in namespace {namespace}"))?;
    if let Some(identity) = backup.spec.discovered {
        return Ok(identity);
    }
    let point = backup.status.as_ref().and_then(|status| status.point.clone());
    let point = point.with_context(|| format!("Backup {name} has made no point"))?;
    let plan_name = backup.spec.plan.unwrap_or_default();
    let plans: Api<ContinuityPlan> = Api::namespaced(context.client.clone(), namespace);
    let plan = plans.get_opt(&plan_name).await.context("read the plan")?;
    let plan = plan.with_context(|| {
        format!("the plan {plan_name} of Backup {name} is gone: name plan and pick instead")
    })?;
    Ok(PointIdentity {
        location: plan.spec.location.clone(),
        team: tenant.label.to_string(),
        cluster: context.cluster.to_string(),
        namespace: namespace.to_owned(),
        plan: plan.name_any(),
        point,
    })
}

async fn of_plan(
    context: &Arc<Context>,
    namespace: &str,
    source: &PlanSource,
    tenant: &Tenant,
    stop: &RunStop,
) -> anyhow::Result<PointIdentity> {
    let intent: Intent = source.pick.parse()?;
    let zone = TimeZone::get(&source.time_zone).with_context(|| format!("time zone {}", source.time_zone))?;
    let location = tenants::location(&context.client, &source.location).await?;
    let access = Access::read(context, &location, Some(&tenant.team), KeyUse::Writer).await?;
    let label =
        |text: &str| text.parse::<coffer_format::Label>().with_context(|| format!("`{text}` is no label"));
    let filter = Filter {
        team: Some(tenant.label.clone()),
        cluster: source.cluster.as_deref().map(label).transpose()?,
        namespace: Some(label(source.namespace.as_deref().unwrap_or(namespace))?),
        plan: Some(label(&source.name)?),
        ..Filter::default()
    };
    let (shared, token) = (context.clone(), stop.token());
    let point = on_thread("pick", move || {
        let repository = access.open(&shared, token)?;
        let points = list_points(&repository, &filter)?;
        let mut plans: Vec<String> = points.iter().map(|point| point.plan.cluster.to_string()).collect();
        plans.dedup();
        if plans.len() > 1 {
            bail!(
                "several clusters have such a plan ({}): name one in source.plan.cluster",
                plans.join(", ")
            );
        }
        anyhow::Ok(pick_proven(&repository, &points, &intent, &zone)?)
    })
    .await??;
    Ok(PointIdentity {
        location: location.name_any(),
        team: point.plan.team.to_string(),
        cluster: point.plan.cluster.to_string(),
        namespace: point.plan.namespace.to_string(),
        plan: point.plan.plan.to_string(),
        point: point.id.to_string(),
    })
}
