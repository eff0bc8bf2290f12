//! A new instance from a backup, with what was recorded of the old one where nothing else is asked for.

use coffer_plugin_sdk::{Failure, Job, PluginArtefact, Reason, v1};
use serde_json::{Value, json};

use crate::discovery::resource;
use crate::protect::{BackupState, backup_state, is_late, pause};
use crate::trove::CallError;
use crate::trove_plugin::TrovePlugin;

/// How often a request of which nobody knows the end is made.
const TRIES: u32 = 4;

/// Whether an artefact can be restored: it is there, and complete.
pub(crate) async fn verify(plugin: &TrovePlugin, artefact: &PluginArtefact) -> Result<(), Failure> {
    let id = artefact.id.as_ref();
    let backup = plugin.trove.backup(id).await?;
    let backup = backup.ok_or_else(|| Failure::not_found(format!("Trove's backup {id}")))?;
    let status = backup["status"].as_str().unwrap_or("UNKNOWN");
    match backup_state(status) {
        BackupState::Complete => Ok(()),
        _ => Err(Failure::new(
            Reason::Failed,
            format!("Trove's backup {id} is in state {status}, not COMPLETED"),
        )),
    }
}

/// Makes the instance, or finds the one that this job made before, and follows it until it is ACTIVE.
pub(crate) async fn restore(
    plugin: &TrovePlugin,
    job: &Job,
    artefact: &PluginArtefact,
    protect_options: &str,
) -> Result<v1::Resource, Failure> {
    let name = name(job, protect_options);
    let request = request(job, artefact, &name)?;
    let made = match find(plugin, &name.text).await?.first() {
        Some(found) if name.has_key => found.clone(),
        Some(found) => {
            let text = format!(
                "an instance named {} is there already ({}), perhaps by an earlier restore: take it, or choose another restore_name",
                name.text,
                found["id"].as_str().unwrap_or_default()
            );
            return Err(Failure::new(Reason::NotReady, text));
        }
        None => {
            verify(plugin, artefact).await?;
            create(plugin, job, &name, request).await?
        }
    };
    let instance = follow(plugin, job, made["id"].as_str().unwrap_or_default()).await?;
    let mut restored = resource(&instance, &plugin.trove.access().await?.project);
    if let Some(description) = job.text("restore_description") {
        restored.details.insert("restore_description".into(), description.into());
    }
    Ok(restored)
}

/// A name of an instance to be.
struct Name {
    text: String,
    /// Whether the job's key is in it, so that only this job can have made it.
    has_key: bool,
}

fn name(job: &Job, protect_options: &str) -> Name {
    if let Some(name) = job.text("restore_name") {
        return Name { text: name.to_owned(), has_key: false };
    }
    let options: Value = serde_json::from_str(protect_options).unwrap_or_default();
    let backup_name = options["backup_name"].as_str().unwrap_or("restored");
    Name { text: format!("{backup_name}-{}", job.key), has_key: true }
}

/// What is asked for: options, or else what was recorded.
fn request(job: &Job, artefact: &PluginArtefact, name: &Name) -> Result<Value, Failure> {
    let recorded: Value = serde_json::from_str(&artefact.details).unwrap_or_default();
    let pick = |option: &str| match &job.options[option] {
        Value::Null => recorded[option].clone(),
        asked => asked.clone(),
    };
    let missing = |what: &str| {
        let text = format!("the {what} of the old instance is not recorded; give the option {what}");
        Failure::new(Reason::Invalid, text)
    };
    let known = |option: &str| Some(pick(option)).filter(|value| !value.is_null());
    let size = known("volume_size").ok_or_else(|| missing("volume_size"))?;
    let mut request = json!({
        "name": name.text,
        "flavorRef": known("flavor").ok_or_else(|| missing("flavor"))?,
        "volume": { "size": size },
        "restorePoint": { "backupRef": artefact.id.as_ref() },
    });
    if let Some(kind) = known("volume_type") {
        request["volume"]["type"] = kind;
    }
    if let Some(datastore) = known("datastore") {
        request["datastore"] = json!({ "type": datastore, "version": pick("datastore_version") });
    }
    if let Some(network) = known("network") {
        request["nics"] = json!([{ "net-id": network }]);
    }
    if let Some(region) = known("region") {
        request["region_name"] = region;
    }
    Ok(request)
}

async fn find(plugin: &TrovePlugin, name: &str) -> Result<Vec<Value>, Failure> {
    let instances = plugin.trove.instances().await?;
    Ok(instances.into_iter().filter(|instance| instance["name"] == name).collect())
}

async fn create(plugin: &TrovePlugin, job: &Job, name: &Name, request: Value) -> Result<Value, Failure> {
    let mut last = None;
    for _ in 0..TRIES {
        match plugin.trove.create_instance(request.clone()).await {
            Ok(made) => return Ok(made),
            Err(CallError::Ambiguous(failure)) => last = Some(failure),
            Err(refused) => return Err(refused.into()),
        }
        // There was none of this name before, so one that is there now is this job's.
        for _ in 0..2 {
            pause(plugin, job).await;
            if let Some(found) = find(plugin, &name.text).await?.into_iter().next() {
                return Ok(found);
            }
        }
        if is_late(job) {
            break;
        }
    }
    Err(last.unwrap_or_else(|| Failure::new(Reason::Deadline, "no time was left to make the instance")))
}

/// States in which a new instance will not become ACTIVE by itself.
const LOST: [&str; 9] =
    ["ERROR", "FAILED", "BLOCKED", "SHUTDOWN", "RESTART_REQUIRED", "EJECT", "DETACH", "REBOOT", "DELETED"];

async fn follow(plugin: &TrovePlugin, job: &Job, id: &str) -> Result<Value, Failure> {
    let mut status = "not asked yet".to_owned();
    let mut absent = 0;
    while !is_late(job) {
        match plugin.trove.instance(id).await {
            Ok(Some(instance)) => {
                absent = 0;
                status = instance["status"].as_str().unwrap_or("UNKNOWN").to_owned();
                match status.as_str() {
                    "ACTIVE" => return Ok(instance),
                    lost if LOST.contains(&lost) => {
                        let text = format!(
                            "the new instance {id} ended in state {status}; look at it in Trove, delete it, and restore again"
                        );
                        return Err(Failure::new(Reason::Failed, text));
                    }
                    _ => job.progress(format!("instance {id} is in state {status}")).await,
                }
            }
            Ok(None) => {
                absent += 1;
                if absent >= 3 {
                    return Err(Failure::new(
                        Reason::Failed,
                        format!("the new instance {id} is gone; somebody deleted it"),
                    ));
                }
            }
            Err(failure) if failure.reason == Reason::Unreachable => status = failure.message,
            Err(failure) => return Err(failure),
        }
        pause(plugin, job).await;
    }
    let text = format!(
        "the new instance {id} did not become ACTIVE in time; it is in state {status}, look at it in Trove"
    );
    Err(Failure::new(Reason::Deadline, text))
}
