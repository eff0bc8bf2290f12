//! Finds out by trying what an object store honours. Objects of a probe are removed again, also when it fails.

use bytes::Bytes;
use coffer_engine::{EngineError, Environment};
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

    /// Whether a second PUT of a name with other content is refused.
    pub(crate) fn refuses_overwriting(&self) -> bool {
        self.conditional_put
    }
}

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
    let clock_difference_ms = clock_difference(store, environment)?;
    Ok(Capabilities { conditional_put, checksum: "none", range_get: part == *b"probe", clock_difference_ms })
}

fn clock_difference(store: &dyn ObjectStore, environment: &Environment) -> Result<i64, CliError> {
    let theirs = store.now()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let theirs = i64::try_from(theirs).unwrap_or(i64::MAX);
    Ok(theirs.saturating_sub(environment.clock.now().unix_ms()))
}

fn wrong(store: &dyn ObjectStore, what: &str) -> CliError {
    EngineError::Refused(format!("{}: {what}; a repository cannot be kept there", store.describe())).into()
}
