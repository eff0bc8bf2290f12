//! Finds out by trying what an object store honours. Objects of a probe are removed again, also when it fails.

use bytes::Bytes;
use coffer_engine::{EngineError, Environment};
use coffer_format::{Label, object_key};
use coffer_store::{Key, ObjectStore, StoreError};
use serde::Serialize;

use crate::error::CliError;

/// What a store was found to honour.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Capabilities {
    /// A second PUT of a name with other content is refused.
    conditional_put: bool,
    /// The checksum that the store keeps with an object.
    checksum: &'static str,
    /// Objects can be uploaded in parts.
    multipart: bool,
    /// Ranges of an object can be read.
    range_get: bool,
    /// The store's clock minus ours, milliseconds.
    clock_difference_ms: i64,
}

impl Capabilities {
    /// The store's clock minus ours, milliseconds.
    pub(crate) fn clock_difference_ms(&self) -> i64 {
        self.clock_difference_ms
    }

    /// The checksum that the store keeps with an object; `none` if it tells none.
    pub(crate) fn checksum(&self) -> &'static str {
        self.checksum
    }

    /// Whether a second PUT of a name with other content is refused.
    pub(crate) fn refuses_overwriting(&self) -> bool {
        self.conditional_put
    }
}

/// What `capabilities/<cluster>` holds.
#[derive(Serialize)]
struct Record<'a> {
    cluster: &'a Label,
    address: String,
    probed: String,
    capabilities: &'a Capabilities,
}

/// Length of the probe's parts, were there more than one: the least of S3.
const PART_BYTES: u64 = 5 << 20;

/// Writes, reads, lists and removes a small object below `capabilities/`.
pub(crate) fn probe(store: &dyn ObjectStore, environment: &Environment) -> Result<Capabilities, CliError> {
    let key = Key::new(format!("capabilities/probe-{}", environment.new_id()?))?;
    let found = try_object(store, environment, &key);
    let removed = store.delete(std::slice::from_ref(&key));
    let found = found?;
    removed?;
    if store.exists(&key)? {
        return Err(wrong(store, "an object that was deleted is still there"));
    }
    Ok(found)
}

fn try_object(
    store: &dyn ObjectStore,
    environment: &Environment,
    key: &Key,
) -> Result<Capabilities, CliError> {
    let content = Bytes::from_static(b"coffer probe: may be removed");
    store.put(key, content.clone())?;
    let conditional_put = match store.put(key, Bytes::from_static(b"coffer probe: another content")) {
        Ok(_) => false,
        Err(StoreError::Exists { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    if conditional_put && store.get(key, 1024)? != content {
        return Err(wrong(store, "an object reads differently than it was written"));
    }
    let mut part = [0; 5];
    store.get_range(key, 7, &mut part)?;
    let listed = store.list(key.as_str(), None, 1)?;
    if listed.objects.first().is_none_or(|object| object.key != *key) {
        return Err(wrong(store, "an object that was written is not listed"));
    }
    let checksum = store.checksum_kept(key)?.unwrap_or("none");
    store.delete(std::slice::from_ref(key))?;
    upload_in_parts(store, key, content)?;
    Ok(Capabilities {
        conditional_put,
        checksum,
        multipart: true,
        range_get: part == *b"probe",
        clock_difference_ms: clock_difference(store, environment)?,
    })
}

/// Large packs come in parts; a store that cannot take them fails here and not in the first backup.
fn upload_in_parts(store: &dyn ObjectStore, key: &Key, content: Bytes) -> Result<(), CliError> {
    let upload = store.start_upload(key, PART_BYTES)?;
    let joined =
        store.put_part(&upload, 1, content.clone()).and_then(|part| store.complete_upload(&upload, &[part]));
    if let Err(error) = joined {
        // What matters is why it failed; what is left of it is prune's.
        let _left_to_prune = store.abort_upload(&upload);
        return Err(error.into());
    }
    if store.get(key, 1024)? != content {
        return Err(wrong(store, "an object that was uploaded in parts reads differently"));
    }
    Ok(())
}

/// Keeps what was found below `capabilities/`, for people and other programs: nothing here reads it.
pub(crate) fn record(
    store: &dyn ObjectStore,
    environment: &Environment,
    cluster: &Label,
    found: &Capabilities,
) -> Result<(), CliError> {
    let key = Key::new(object_key::capabilities(cluster))?;
    let record = Record {
        cluster,
        address: store.describe(),
        probed: environment.clock.now().to_string(),
        capabilities: found,
    };
    let body = serde_json::to_vec(&record).map_err(|error| EngineError::Bug(error.to_string()))?;
    store.delete(std::slice::from_ref(&key))?;
    store.put(&key, body.into())?;
    Ok(())
}

fn clock_difference(store: &dyn ObjectStore, environment: &Environment) -> Result<i64, CliError> {
    let theirs = store.now()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let theirs = i64::try_from(theirs).unwrap_or(i64::MAX);
    Ok(theirs.saturating_sub(environment.clock.now().unix_ms()))
}

fn wrong(store: &dyn ObjectStore, what: &str) -> CliError {
    EngineError::Refused(format!("{}: {what}; a repository cannot be kept there", store.describe())).into()
}
