//! Claims of new volumes: made, and bound to a volume on a node.
//!
//! Most local volumes are made or chosen when a pod is scheduled that uses the claim. Until the application's own pods are there, one that does
//! nothing stands in for them, and goes before anything is written.

use std::time::Duration;

use anyhow::{Context as _, bail};
use coffer_api::label;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::journal::Journal;
use super::objects;
use super::target::VolumeTarget;
use crate::application::observe;
use crate::application::select::{Volume, locate};

/// How long a claim may take until it is bound.
const BOUND_MAX: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes the claims that are missing, and binds all of them.
pub(super) async fn bind(journal: &Journal<'_>, volumes: &[VolumeTarget]) -> anyhow::Result<()> {
    let (client, namespace) = (&journal.context.client, &journal.namespace);
    for volume in volumes {
        if let Some(object) = &volume.object {
            // A claim's spec cannot be changed: one that a run before this one made stays.
            if !objects::exists(client, namespace, object).await? {
                objects::apply(client, namespace, object).await?;
            }
        }
    }
    let mut unbound = Vec::new();
    for volume in volumes {
        if !is_bound(journal, &volume.claim).await? {
            unbound.push(volume);
        }
    }
    if !unbound.is_empty() {
        stand_in(journal, &unbound).await?;
    }
    remove_stand_ins(journal).await
}

async fn is_bound(journal: &Journal<'_>, claim: &str) -> anyhow::Result<bool> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(journal.context.client.clone(), &journal.namespace);
    let found = api.get(claim).await.with_context(|| format!("read claim {claim}"))?;
    Ok(found.status.and_then(|status| status.phase).as_deref() == Some("Bound"))
}

/// Makes a pod for each claim and waits until all are bound.
async fn stand_in(journal: &Journal<'_>, volumes: &[&VolumeTarget]) -> anyhow::Result<()> {
    let api: Api<Pod> = Api::namespaced(journal.context.client.clone(), &journal.namespace);
    for (number, volume) in volumes.iter().enumerate() {
        let pod: Pod = serde_json::from_value(pod(journal, number, volume))?;
        match api.create(&PostParams::default(), &pod).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            made => drop(made.context("make a pod that holds a claim")?),
        }
    }
    let end = tokio::time::Instant::now() + BOUND_MAX;
    for volume in volumes {
        while !is_bound(journal, &volume.claim).await? {
            if tokio::time::Instant::now() >= end {
                bail!(
                    "claim {} was not bound after {} s: see its events, and whether its storage class has a volume of {} bytes on a node with room for a pod",
                    volume.claim,
                    BOUND_MAX.as_secs(),
                    volume.size_bytes
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

fn pod(journal: &Journal<'_>, number: usize, volume: &VolumeTarget) -> Value {
    let restore = journal.restore.name_any();
    let is_block = volume.object.as_ref().is_some_and(|object| object["spec"]["volumeMode"] == "Block");
    let (field, place) =
        if is_block { ("volumeDevices", "devicePath") } else { ("volumeMounts", "mountPath") };
    let container = json!({
        "name": "hold",
        "image": journal.context.settings.jobs.placeholder_image,
        field: [{ "name": "volume", place: "/volume" }],
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        "resources": { "requests": { "cpu": "1m", "memory": "4Mi" }, "limits": { "memory": "32Mi" } },
    });
    let node = journal.restore.spec.target.node.as_ref();
    json!({
        "metadata": { "name": format!("{restore}-hold-{number}"), "labels": { label::RESTORE: restore, "coffer.dev/stand-in": "true" } },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "nodeSelector": node.map(|node| json!({ "kubernetes.io/hostname": node })),
            "containers": [container],
            "volumes": [{ "name": "volume", "persistentVolumeClaim": { "claimName": volume.claim } }],
        },
    })
}

/// Removes the pods and waits until nothing of them holds a volume any more.
async fn remove_stand_ins(journal: &Journal<'_>) -> anyhow::Result<()> {
    let api: Api<Pod> = Api::namespaced(journal.context.client.clone(), &journal.namespace);
    let selector = format!("{}={},coffer.dev/stand-in=true", label::RESTORE, journal.restore.name_any());
    let list = kube::api::ListParams::default().labels(&selector);
    let end = tokio::time::Instant::now() + BOUND_MAX;
    loop {
        let pods = api.list(&list).await.context("list pods that hold claims")?.items;
        if pods.is_empty() {
            return Ok(());
        }
        for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            match api.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                deleted => drop(deleted.context("remove a pod that held a claim")?),
            }
        }
        if tokio::time::Instant::now() >= end {
            bail!("pods that held claims did not go within {} s", BOUND_MAX.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Where the claims' volumes are.
pub(super) async fn places(journal: &Journal<'_>, volumes: &[VolumeTarget]) -> anyhow::Result<Vec<Volume>> {
    let observed = observe(&journal.context.client, &journal.namespace).await?;
    let place = |volume: &VolumeTarget| {
        locate(&volume.claim, &observed).map_err(|reason| anyhow::anyhow!("claim {}: {reason}", volume.claim))
    };
    volumes.iter().map(place).collect()
}
