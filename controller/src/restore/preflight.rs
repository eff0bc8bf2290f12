//! Whether all can be done, found out before anything is made or written.

use coffer_api::{ConflictPolicy, TargetMode};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;

use super::journal::Journal;
use super::objects::{exists, place};
use super::target::Target;
use crate::agents::AgentDirectory;

/// Looks; what is found stands in the status.
pub(super) async fn look(journal: &mut Journal<'_>, target: &Target) -> anyhow::Result<()> {
    journal.status.findings.clear();
    match journal.restore.spec.target.mode {
        TargetMode::NewVolumes => new_claims(journal, target).await?,
        TargetMode::ExistingVolumes => existing_claims(journal, target).await?,
    }
    conflicts(journal, target).await?;
    let directory = AgentDirectory::read(journal.context).await?;
    if directory.nodes().next().is_none() {
        journal.find("DaemonSet/coffer-agent".into(), true, "no node has an agent that runs");
    }
    if let Some(node) = journal.restore.spec.target.node.as_ref().filter(|node| !directory.has(node)) {
        journal.find(format!("Node/{node}"), true, "the node has no agent that runs");
    }
    Ok(())
}

async fn new_claims(journal: &mut Journal<'_>, target: &Target) -> anyhow::Result<()> {
    let classes: Api<StorageClass> = Api::all(journal.context.client.clone());
    for volume in &target.volumes {
        let object = format!("PersistentVolumeClaim/{}", volume.claim);
        let Some(claim) = &volume.object else {
            journal.find(object, true, "the point has no claim of this volume: restore it with ExistingVolumes into a claim of this name");
            continue;
        };
        if exists(&journal.context.client, &journal.namespace, claim).await? {
            let message =
                "it exists: give target.suffix, restore into another namespace, or use ExistingVolumes";
            journal.find(object.clone(), true, message);
        }
        match claim["spec"]["storageClassName"].as_str().filter(|class| !class.is_empty()) {
            Some(class) if classes.get_opt(class).await?.is_none() => {
                let message = format!(
                    "there is no StorageClass {class} on this cluster: map it with target.storageClasses"
                );
                journal.find(object, true, message);
            }
            Some(_) => {}
            None => journal.find(object, false, "it names no storage class: the cluster's default is taken"),
        }
    }
    Ok(())
}

async fn existing_claims(journal: &mut Journal<'_>, target: &Target) -> anyhow::Result<()> {
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(journal.context.client.clone(), &journal.namespace);
    for volume in &target.volumes {
        let object = format!("PersistentVolumeClaim/{}", volume.claim);
        let found = claims.get_opt(&volume.claim).await?;
        let is_bound = found
            .as_ref()
            .is_some_and(|claim| claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some()));
        match (found.is_some(), is_bound) {
            (false, _) => journal.find(object, true, "there is no such claim to write to: use NewVolumes"),
            (true, false) => journal.find(object, true, "it is not bound to a volume"),
            (true, true) => {}
        }
    }
    Ok(())
}

/// Objects that exist. In place they are left as they are.
async fn conflicts(journal: &mut Journal<'_>, target: &Target) -> anyhow::Result<()> {
    let wish = &journal.restore.spec.target;
    if wish.mode == TargetMode::ExistingVolumes {
        return Ok(());
    }
    for object in &target.objects {
        if !exists(&journal.context.client, &journal.namespace, object).await? {
            continue;
        }
        let (blocking, message) = match wish.on_conflict {
            ConflictPolicy::Fail => {
                (true, "it exists: give target.suffix, or say with onConflict what becomes of it")
            }
            ConflictPolicy::Keep => (false, "it exists and stays as it is"),
            ConflictPolicy::Replace => (false, "it exists and becomes as the point has it"),
        };
        journal.find(place(object), blocking, message);
    }
    Ok(())
}
