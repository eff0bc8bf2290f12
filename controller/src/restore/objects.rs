//! Objects of any kind in the API: whether they are there, making them, waiting for workloads.

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;

use crate::FIELD_MANAGER;

/// How long workloads may take until they are ready.
const READY_MAX: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// `Kind/name`, for people.
pub(super) fn place(object: &Value) -> String {
    format!("{}/{}", text(&object["kind"]), name(object))
}

/// Its name.
pub(super) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// Whether an object of this kind and name is there.
pub(super) async fn exists(client: &Client, namespace: &str, object: &Value) -> anyhow::Result<bool> {
    let api = api(client, namespace, object)?;
    Ok(api
        .get_metadata_opt(name(object))
        .await
        .with_context(|| format!("look for {}", place(object)))?
        .is_some())
}

/// Makes an object, or makes it what it is to be.
pub(super) async fn apply(client: &Client, namespace: &str, object: &Value) -> anyhow::Result<()> {
    let api = api(client, namespace, object)?;
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(name(object), &parameters, &Patch::Apply(object))
        .await
        .with_context(|| format!("make {}", place(object)))?;
    Ok(())
}

fn api(client: &Client, namespace: &str, object: &Value) -> anyhow::Result<Api<DynamicObject>> {
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    if version.is_empty() || kind.is_empty() || name(object).is_empty() {
        bail!("an object of the point has no apiVersion, kind or name: {}", place(object));
    }
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

/// Waits until the workloads among the objects are ready. What was ready is given back, by place.
pub(super) async fn wait_until_ready(
    client: &Client,
    namespace: &str,
    objects: &[Value],
) -> anyhow::Result<usize> {
    let mut ready = 0;
    for object in objects {
        let end = tokio::time::Instant::now() + READY_MAX;
        loop {
            match is_ready(client, namespace, object).await? {
                None => break,
                Some(true) => {
                    ready += 1;
                    break;
                }
                Some(false) if tokio::time::Instant::now() >= end => {
                    bail!(
                        "{} was not ready after {} s: see its pods and events",
                        place(object),
                        READY_MAX.as_secs()
                    );
                }
                Some(false) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
    Ok(ready)
}

/// `None` for what is no workload.
async fn is_ready(client: &Client, namespace: &str, object: &Value) -> anyhow::Result<Option<bool>> {
    let name = name(object);
    let (wanted, ready) = match text(&object["kind"]) {
        "StatefulSet" => {
            let set = Api::<StatefulSet>::namespaced(client.clone(), namespace).get(name).await?;
            let wanted = set.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            (wanted, set.status.and_then(|status| status.ready_replicas).unwrap_or(0))
        }
        "Deployment" => {
            let deployment = Api::<Deployment>::namespaced(client.clone(), namespace).get(name).await?;
            let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            (wanted, deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0))
        }
        "DaemonSet" => {
            let set = Api::<DaemonSet>::namespaced(client.clone(), namespace).get(name).await?;
            let status = set.status.unwrap_or_default();
            (status.desired_number_scheduled, status.number_ready)
        }
        _ => return Ok(None),
    };
    Ok(Some(ready >= wanted))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
