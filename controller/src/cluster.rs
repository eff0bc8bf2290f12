//! Which cluster this is: the UID of its namespace `kube-system`, written down where agents find it.

use anyhow::Context;
use coffer_format::Label;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};

use crate::FIELD_MANAGER;

/// ConfigMap whose key `id` agents take the cluster's id from.
const CONFIG_MAP: &str = "coffer-cluster";

/// The cluster's id.
///
/// # Errors
/// The API does not tell.
pub async fn id(client: &Client) -> anyhow::Result<Label> {
    let api: Api<Namespace> = Api::all(client.clone());
    let system = api.get("kube-system").await.context("read namespace kube-system")?;
    let uid = system.uid().context("namespace kube-system has no UID")?;
    uid.parse().with_context(|| format!("the UID of kube-system, `{uid}`, is no label"))
}

/// Writes it down for agents.
///
/// # Errors
/// The ConfigMap cannot be written.
pub async fn announce(client: &Client, namespace: &str, cluster: &Label) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(CONFIG_MAP.into()), ..ObjectMeta::default() },
        data: Some([("id".to_owned(), cluster.to_string())].into()),
        ..ConfigMap::default()
    };
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(CONFIG_MAP, &apply, &Patch::Apply(&map)).await.context("write ConfigMap coffer-cluster")?;
    Ok(())
}
