//! Existing volumes are written while nobody uses them: workloads go down before, and up again after.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use coffer_api::ScaledDown;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::journal::Journal;
use crate::application::observe;
use crate::application::select::{Observed, of_pod, of_stateful_set};

/// How long pods may take to end.
const ENDED_MAX: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Scales down what uses these claims, once it is written down how far up it was, and waits until no pod uses them.
pub(super) async fn down(journal: &mut Journal<'_>, claims: &BTreeSet<String>) -> anyhow::Result<()> {
    let observed = observe(&journal.context.client, &journal.namespace).await?;
    let known: BTreeSet<(String, String)> =
        journal.status.scaled_down.iter().map(|scaled| (scaled.kind.clone(), scaled.name.clone())).collect();
    let users = users(&observed, claims);
    journal
        .status
        .scaled_down
        .extend(users.into_iter().filter(|user| !known.contains(&(user.kind.clone(), user.name.clone()))));
    journal.write().await?;
    for scaled in journal.status.scaled_down.clone() {
        scale(journal, &scaled, 0).await?;
    }
    let end = tokio::time::Instant::now() + ENDED_MAX;
    loop {
        let observed = observe(&journal.context.client, &journal.namespace).await?;
        let using: Vec<String> = observed
            .pods
            .iter()
            .filter(|pod| !of_pod(pod.spec.as_ref()).is_disjoint(claims))
            .filter(|pod| !has_ended(pod))
            .map(ResourceExt::name_any)
            .collect();
        if using.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= end {
            bail!("pods still use the volumes after {} s: {}", ENDED_MAX.as_secs(), using.join(", "));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Scales up again what was scaled down.
pub(super) async fn up(journal: &Journal<'_>) -> anyhow::Result<()> {
    for scaled in &journal.status.scaled_down {
        scale(journal, scaled, scaled.replicas).await?;
    }
    Ok(())
}

fn has_ended(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Workloads with replicas whose pods use one of the claims.
fn users(observed: &Observed, claims: &BTreeSet<String>) -> Vec<ScaledDown> {
    let mut users = Vec::new();
    for set in &observed.stateful_sets {
        if !of_stateful_set(set, observed).is_disjoint(claims) {
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            users.push(ScaledDown { kind: "StatefulSet".into(), name: set.name_any(), replicas });
        }
    }
    for deployment in &observed.deployments {
        let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        if !of_pod(pod).is_disjoint(claims) {
            let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            users.push(ScaledDown { kind: "Deployment".into(), name: deployment.name_any(), replicas });
        }
    }
    users
}

async fn scale(journal: &Journal<'_>, scaled: &ScaledDown, replicas: i32) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    let (client, namespace) = (journal.context.client.clone(), &journal.namespace);
    let parameters = PatchParams::default();
    let done = match scaled.kind.as_str() {
        "StatefulSet" => {
            Api::<StatefulSet>::namespaced(client, namespace)
                .patch_scale(&scaled.name, &parameters, &patch)
                .await
        }
        _ => {
            Api::<Deployment>::namespaced(client, namespace)
                .patch_scale(&scaled.name, &parameters, &patch)
                .await
        }
    };
    done.with_context(|| format!("scale {} {} to {replicas}", scaled.kind, scaled.name))?;
    Ok(())
}
