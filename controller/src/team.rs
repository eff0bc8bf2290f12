//! `Team`: whether its keys are there and its namespaces are its own.

use std::sync::Arc;
use std::time::Duration;

use coffer_api::{SecretName, Team, TeamStatus};
use coffer_format::KeyFile;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::errors::ReconcileError;
use crate::status::{State, set_state, write};
use crate::tenants;

/// How often keys are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// Looks after one team.
///
/// # Errors
/// The API did not do what was asked.
pub async fn reconcile(team: Arc<Team>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let state = match check(&context, &team).await {
        Ok(()) => State::Ready { reason: "Ready", message: "its keys are there".into() },
        Err(error) => State::Stalled { reason: "NotUsable", message: format!("{error:#}") },
    };
    let mut status: TeamStatus = team.status.clone().unwrap_or_default();
    status.observed_generation = team.metadata.generation;
    set_state(&mut status.conditions, &state, team.metadata.generation, &context.now_text());
    if team.status.as_ref() != Some(&status) {
        write(&Api::<Team>::all(context.client.clone()), &team.name_any(), &status).await?;
    }
    Ok(Action::requeue(LOOK_EVERY))
}

async fn check(context: &Context, team: &Team) -> anyhow::Result<()> {
    let teams = tenants::teams(&context.client).await?;
    for namespace in &team.spec.namespaces {
        tenants::tenant(&teams, namespace)?;
    }
    key(context, &team.spec.keys.writer).await?;
    match &team.spec.keys.recovery {
        Some(name) => key(context, name).await,
        None => Ok(()),
    }
}

/// Looks whether a Secret holds a key file.
async fn key(context: &Context, name: &SecretName) -> anyhow::Result<()> {
    let namespace = &context.settings.namespace;
    let place = format!("Secret {namespace}/{}", name.name);
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let Some(secret) = api.get_opt(&name.name).await? else {
        anyhow::bail!("there is no {place}: make it with the team's key file under `key`");
    };
    let bytes = secret.data.as_ref().and_then(|data| data.get("key"));
    let text = bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
    let Some(text) = text else { anyhow::bail!("{place} has no text under `key`") };
    KeyFile::decode(text).map_err(|error| anyhow::anyhow!("`key` of {place} is no key file: {error}"))?;
    Ok(())
}
