//! Work on what points hold: restore, verify, delete. All of it goes by the record alone, with the schema that the point was made with.

use std::time::Duration;

use coffer_format::ResourceRecord;
use coffer_plugin_sdk::v1::{Resource, Verb};
use coffer_plugin_sdk::{Failure, PluginArtefact, WorkOrder};
use tokio::sync::mpsc;

use crate::error::ResourceError;
use crate::journal::BegunResource;
use crate::plan::check;
use crate::registry::Registry;

/// A resource that was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What was made.
    pub resource: Resource,
    /// Options with defaults.
    pub options: String,
    /// What was odd.
    pub warnings: Vec<String>,
}

/// The artefact of a record, as its plugin knows it.
pub fn artefact(record: &ResourceRecord) -> Option<PluginArtefact> {
    record.artefact.as_ref().map(|artefact| PluginArtefact {
        id: artefact.id.clone(),
        details: artefact.details.clone(),
        has_data: record.volume.is_some(),
    })
}

/// Makes a resource from a record. Its data, if it has any, come through `data`.
///
/// # Errors
/// Where options break the schema of the point's version, nothing was made; else as the plugin tells.
pub async fn restore(
    registry: &Registry,
    record: &ResourceRecord,
    key: &str,
    options: &str,
    timeout: Duration,
    data: mpsc::Receiver<Result<Vec<u8>, Failure>>,
) -> Result<Restored, ResourceError> {
    let plugin = registry.plugin(&record.reference.kind)?;
    let Some(artefact) = artefact(record) else {
        return Err(ResourceError::Refused(format!(
            "{} failed in this point; choose another",
            record.reference
        )));
    };
    let options = restore_options(registry, record, options).await?;
    let order = order(record, key, &options, timeout);
    let outcome = plugin.restore(&order, &artefact, &record.options, data).await?;
    Ok(Restored { resource: outcome.restored.unwrap_or_default(), options, warnings: outcome.warnings })
}

/// Options of a restore with defaults, held against the schema of the point's version.
///
/// # Errors
/// Where there is no plugin of the type, it does not know the version, or the options break the schema.
pub async fn restore_options(
    registry: &Registry,
    record: &ResourceRecord,
    options: &str,
) -> Result<String, ResourceError> {
    let plugin = registry.plugin(&record.reference.kind)?;
    let schemas = plugin.schemas(record.reference.kind.as_ref(), &record.schema).await?;
    check(plugin, &schemas, Verb::Restore, &record.reference, options)
}

/// Whether a record could be restored now.
///
/// # Errors
/// Where it could not, or nobody can tell.
pub async fn verify(
    registry: &Registry,
    record: &ResourceRecord,
    timeout: Duration,
) -> Result<(), ResourceError> {
    let plugin = registry.plugin(&record.reference.kind)?;
    let Some(artefact) = artefact(record) else { return Ok(()) };
    let key = format!("verify-{}", cut_key(&record.key));
    plugin.verify(&order(record, &key, "{}", timeout), &artefact).await?;
    Ok(())
}

/// Removes what a record's plugin made for it, under the key of its making.
///
/// # Errors
/// Where it is there still, or nobody can tell.
pub async fn delete(
    registry: &Registry,
    record: &ResourceRecord,
    timeout: Duration,
) -> Result<(), ResourceError> {
    let plugin = registry.plugin(&record.reference.kind)?;
    plugin.delete(&order(record, &record.key, "{}", timeout), artefact(record).as_ref()).await?;
    Ok(())
}

/// Takes back what a run began and did not come to its end: releases, then deletes.
///
/// # Errors
/// Where either failed.
pub async fn take_back(
    registry: &Registry,
    begun: &BegunResource,
    timeout: Duration,
) -> Result<(), ResourceError> {
    release(registry, begun, timeout).await?;
    let plugin = registry.plugin(&begun.reference.kind)?;
    plugin.delete(&begun_order(begun, "{}", timeout), None).await?;
    Ok(())
}

/// Releases what a run began to prepare; what is not held is let go easily.
///
/// # Errors
/// Where the plugin cannot.
pub async fn release(
    registry: &Registry,
    begun: &BegunResource,
    timeout: Duration,
) -> Result<(), ResourceError> {
    let plugin = registry.plugin(&begun.reference.kind)?;
    plugin.release(&begun_order(begun, &begun.options, timeout)).await?;
    Ok(())
}

fn begun_order(begun: &BegunResource, options: &str, timeout: Duration) -> WorkOrder {
    WorkOrder {
        reference: begun.reference.clone(),
        key: begun.key.clone(),
        timeout,
        schema_version: begun.schema.clone(),
        options: options.to_owned(),
    }
}

fn order(record: &ResourceRecord, key: &str, options: &str, timeout: Duration) -> WorkOrder {
    WorkOrder {
        reference: record.reference.clone(),
        key: key.to_owned(),
        timeout,
        schema_version: record.schema.clone(),
        options: options.to_owned(),
    }
}

/// The end of a key, so that a longer one stays within the limit.
fn cut_key(key: &str) -> &str {
    key.get(key.len().saturating_sub(100)..).unwrap_or(key)
}
