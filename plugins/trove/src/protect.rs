//! A backup of an instance: made once, followed to its end, deleted with care for what builds on it.
//!
//! Trove has no key for a request. So the job's key stands in the backup's name, and whoever does not know what became of a request looks for it.

use std::time::Duration;

use coffer_plugin_sdk::{Failure, Job, PluginArtefact, Reason};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::discovery::{Readiness, readiness, unready};
use crate::trove::CallError;
use crate::trove_plugin::TrovePlugin;

/// How often a request of which nobody knows the end is made.
const TRIES: u32 = 4;
/// After it nobody looks any more: what is left of the job's time is for its answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Looks at something that is not there before it counts as gone.
const ABSENT_MAX: u32 = 3;

/// What becomes of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackupState {
    /// It is made, or in a state that this plugin does not know.
    Running,
    /// It can be restored.
    Complete,
    /// It never will.
    Failed,
}

/// What Trove's words for a backup mean.
pub(crate) fn backup_state(status: &str) -> BackupState {
    match status {
        "COMPLETED" | "RESTORED" => BackupState::Complete,
        "FAILED" | "DELETE_FAILED" => BackupState::Failed,
        _ => BackupState::Running,
    }
}

/// Waits until the instance can be protected.
pub(crate) async fn wait_for_instance(plugin: &TrovePlugin, job: &Job) -> Result<Value, Failure> {
    let mut status = "not asked yet".to_owned();
    let mut absent = 0;
    while job.left() > ANSWER {
        match plugin.trove.instance(job.reference.id.as_ref()).await {
            Ok(Some(instance)) => {
                status = instance["status"].as_str().unwrap_or("UNKNOWN").to_owned();
                match readiness(&status) {
                    Readiness::Ready => return Ok(instance),
                    Readiness::Never => return Err(unready(&job.reference, &status)),
                    Readiness::Soon => {
                        job.progress(format!("waits for the instance, which is in state {status}")).await
                    }
                }
            }
            Ok(None) => {
                absent += 1;
                if absent >= ABSENT_MAX {
                    return Err(Failure::not_found(&job.reference));
                }
            }
            Err(failure) if failure.reason == Reason::Unreachable => status = failure.message,
            Err(failure) => return Err(failure),
        }
        pause(plugin, job).await;
    }
    Err(Failure::new(Reason::Deadline, format!("{} did not become ACTIVE in time: {status}", job.reference)))
}

/// Makes a backup, or finds the one that this job made before, and follows it to its end.
pub(crate) async fn protect(
    plugin: &TrovePlugin,
    job: &Job,
    base: Option<&PluginArtefact>,
) -> Result<PluginArtefact, Failure> {
    let mut instance = plugin.trove.instance(job.reference.id.as_ref()).await?;
    let backup = match find(plugin, job).await? {
        Some(backup) => backup,
        None => {
            let ready = wait_for_instance(plugin, job).await?;
            let parent = parent(plugin, job, base).await?;
            let backup = create(plugin, job, parent.as_deref()).await?;
            instance = Some(ready);
            backup
        }
    };
    let backup = follow(plugin, job, &backup).await?;
    artefact(&backup, &instance.unwrap_or_default())
}

/// The backup to build on, where there is one that can be.
async fn parent(
    plugin: &TrovePlugin,
    job: &Job,
    base: Option<&PluginArtefact>,
) -> Result<Option<String>, Failure> {
    let Some(base) = base else { return Ok(None) };
    let found = plugin.trove.backup(base.id.as_ref()).await?;
    let usable = found.is_some_and(|backup| {
        backup_state(backup["status"].as_str().unwrap_or_default()) == BackupState::Complete
            && backup["instance_id"].as_str() == Some(job.reference.id.as_ref())
    });
    if !usable {
        job.warn(&format!("backup {} cannot be built on any more: this one is full", base.id));
    }
    Ok(usable.then(|| base.id.to_string()))
}

/// Name of the job's backup: what was asked for, and the key.
fn name(job: &Job) -> String {
    format!("{}-{}", job.text("backup_name").unwrap_or_default(), job.key)
}

/// The backup that this job made before. The key alone tells: names for people may differ.
async fn find(plugin: &TrovePlugin, job: &Job) -> Result<Option<Value>, Failure> {
    let ending = format!("-{}", job.key);
    let backups = plugin.trove.backups(Some(job.reference.id.as_ref())).await?;
    let is_own = |backup: &Value| backup["name"].as_str().is_some_and(|name| name.ends_with(&ending));
    Ok(backups.into_iter().find(is_own))
}

async fn create(plugin: &TrovePlugin, job: &Job, parent: Option<&str>) -> Result<Value, Failure> {
    let mut backup = json!({
        "name": name(job),
        "instance": job.reference.id.as_ref(),
        "description": job.text("description").unwrap_or_default(),
    });
    if let Some(parent) = parent {
        backup["parent_id"] = parent.into();
    }
    let mut last = None;
    for _ in 0..TRIES {
        match plugin.trove.create_backup(backup.clone()).await {
            Ok(made) => return Ok(made),
            Err(CallError::Ambiguous(failure)) => last = Some(failure),
            Err(refused) => return Err(refused.into()),
        }
        // It may have been done. Twice: what is still on its way would not be seen yet.
        for _ in 0..2 {
            pause(plugin, job).await;
            if let Some(found) = find(plugin, job).await? {
                return Ok(found);
            }
        }
        if job.left() <= ANSWER {
            break;
        }
    }
    Err(last.unwrap_or_else(|| Failure::new(Reason::Deadline, "no time was left to make the backup")))
}

/// Follows a backup to its end. One that Trove left behind never ends: the job's time does.
async fn follow(plugin: &TrovePlugin, job: &Job, backup: &Value) -> Result<Value, Failure> {
    let id = backup["id"].as_str().unwrap_or_default();
    let mut status = "not asked yet".to_owned();
    let mut absent = 0;
    while job.left() > ANSWER {
        match plugin.trove.backup(id).await {
            Ok(Some(backup)) => {
                absent = 0;
                status = backup["status"].as_str().unwrap_or("UNKNOWN").to_owned();
                match backup_state(&status) {
                    BackupState::Complete => return Ok(backup),
                    BackupState::Failed => {
                        let text = format!("Trove's backup {id} ended in state {status}; its log tells why");
                        return Err(Failure::new(Reason::Failed, text));
                    }
                    BackupState::Running => job.progress(format!("backup {id} is in state {status}")).await,
                }
            }
            Ok(None) => {
                absent += 1;
                if absent >= ABSENT_MAX {
                    return Err(Failure::new(
                        Reason::Failed,
                        format!("Trove's backup {id} is gone; somebody deleted it"),
                    ));
                }
            }
            Err(failure) if failure.reason == Reason::Unreachable => status = failure.message,
            Err(failure) => return Err(failure),
        }
        pause(plugin, job).await;
    }
    let text = format!(
        "Trove's backup {id} did not end in time; it was in state {status}. Trove may have been stopped while it ran"
    );
    Err(Failure::new(Reason::Deadline, text))
}

fn artefact(backup: &Value, instance: &Value) -> Result<PluginArtefact, Failure> {
    let broken = || Failure::new(Reason::Unreachable, "Trove's backup has an id that is none");
    let id = backup["id"].as_str().and_then(|id| id.parse().ok()).ok_or_else(broken)?;
    let network = instance["addresses"]
        .as_array()
        .and_then(|addresses| addresses.iter().find_map(|address| address["network"].as_str()));
    let details = json!({
        "instance_id": backup["instance_id"],
        "instance_name": instance["name"],
        "parent_id": backup["parent_id"],
        "backup_gb": backup["size"],
        "datastore": backup["datastore"]["type"],
        "datastore_version": backup["datastore"]["version"],
        "flavor": instance["flavor"]["id"],
        "volume_size": instance["volume"]["size"],
        "volume_type": instance["volume"]["type"],
        "network": network,
        "region": instance["region"],
    });
    Ok(PluginArtefact { id, details: details.to_string(), has_data: false })
}

/// Deletes what the job made. Trove would delete all that builds on it too, so that is refused.
pub(crate) async fn delete(
    plugin: &TrovePlugin,
    job: &Job,
    artefact: Option<&PluginArtefact>,
) -> Result<(), Failure> {
    let instance = job.reference.id.as_ref();
    let id = match artefact {
        Some(artefact) => artefact.id.to_string(),
        None => match find(plugin, job).await? {
            Some(backup) => backup["id"].as_str().unwrap_or_default().to_owned(),
            None => return Ok(()),
        },
    };
    let mut asked = false;
    while job.left() > ANSWER {
        match plugin.trove.backup(&id).await? {
            None => return Ok(()),
            Some(backup) if !asked => {
                refuse_children(plugin, instance, &id).await?;
                refuse_running(&backup)?;
                plugin.trove.delete_backup(&id).await?;
                asked = true;
                continue;
            }
            Some(backup) if backup["status"] == "DELETE_FAILED" => {
                return Err(Failure::new(
                    Reason::Failed,
                    format!("Trove cannot delete backup {id}: DELETE_FAILED"),
                ));
            }
            Some(_) => {}
        }
        pause(plugin, job).await;
    }
    Err(Failure::new(Reason::Deadline, format!("Trove's backup {id} is not gone yet; call again later")))
}

async fn refuse_children(plugin: &TrovePlugin, instance: &str, id: &str) -> Result<(), Failure> {
    let backups = plugin.trove.backups(Some(instance)).await?;
    let children: Vec<&str> = backups
        .iter()
        .filter(|backup| backup["parent_id"] == id)
        .filter_map(|backup| backup["id"].as_str())
        .collect();
    if children.is_empty() {
        return Ok(());
    }
    let text = format!(
        "backup {id} stays: incremental backups build on it ({}), and Trove would delete them too",
        children.join(", ")
    );
    Err(Failure::new(Reason::ChildrenKept, text))
}

fn refuse_running(backup: &Value) -> Result<(), Failure> {
    let status = backup["status"].as_str().unwrap_or_default();
    if backup_state(status) != BackupState::Running {
        return Ok(());
    }
    let text = format!(
        "backup {} is in state {status}, in which Trove deletes none; an administrator can reset it",
        backup["id"].as_str().unwrap_or_default()
    );
    Err(Failure::new(Reason::NotReady, text))
}

/// Until the next look, or the end of the job's time.
pub(crate) async fn pause(plugin: &TrovePlugin, job: &Job) {
    sleep(plugin.poll.min(job.left().saturating_sub(ANSWER))).await;
}

/// Whether so little of the job's time is left that it is for the answer.
pub(crate) fn is_late(job: &Job) -> bool {
    job.left() <= ANSWER
}
