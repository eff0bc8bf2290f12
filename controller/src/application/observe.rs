//! Reads what a namespace has from the API.

use std::collections::BTreeMap;

use anyhow::Context as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::select::Observed;

/// Objects in one answer of the API.
const PAGE_LEN: u32 = 500;

/// What the namespace has.
///
/// # Errors
/// What could not be listed.
pub async fn observe(client: &Client, namespace: &str) -> anyhow::Result<Observed> {
    let claims: Vec<k8s_openapi::api::core::v1::PersistentVolumeClaim> = list(client, namespace).await?;
    let mut volumes = BTreeMap::new();
    let api: Api<PersistentVolume> = Api::all(client.clone());
    for name in claims.iter().filter_map(|claim| claim.spec.as_ref()?.volume_name.as_ref()) {
        let volume = api.get_opt(name).await.with_context(|| format!("read PersistentVolume {name}"))?;
        volumes.extend(volume.map(|volume| (name.clone(), volume)));
    }
    Ok(Observed {
        claims,
        volumes,
        pods: list(client, namespace).await?,
        stateful_sets: list(client, namespace).await?,
        deployments: list(client, namespace).await?,
        daemon_sets: list(client, namespace).await?,
        host_names: host_names(client).await?,
    })
}

/// All objects of a kind in a namespace, page by page.
///
/// # Errors
/// The API does not tell.
pub(crate) async fn list<K>(client: &Client, namespace: &str) -> anyhow::Result<Vec<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    pages(&Api::namespaced(client.clone(), namespace))
        .await
        .with_context(|| format!("list {} of namespace {namespace}", K::plural(&())))
}

async fn pages<K: Clone + DeserializeOwned + std::fmt::Debug>(api: &Api<K>) -> kube::Result<Vec<K>> {
    let mut all = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE_LEN);
    loop {
        let page = api.list(&parameters).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(all),
        }
    }
}

async fn host_names(client: &Client) -> anyhow::Result<BTreeMap<String, String>> {
    let nodes: Vec<Node> = pages(&Api::all(client.clone())).await.context("list nodes")?;
    let name = |node: &Node| Some((node.labels().get("kubernetes.io/hostname")?.clone(), node.name_any()));
    Ok(nodes.iter().filter_map(name).collect())
}
