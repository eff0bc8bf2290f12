//! Objects of the store under keys of the format.

use coffer_store::{Key, ObjectStore, StoreError};

use crate::EngineError;

/// Largest JSON object that is read, but for manifests.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// Turns a key of the format into a key of the store.
pub(crate) fn store_key(key: &str) -> Result<Key, EngineError> {
    Ok(Key::new(key)?)
}

/// Reads one whole small object, `None` where it does not exist.
pub(crate) fn find_object(
    store: &dyn ObjectStore,
    key: &str,
    len_max: u64,
) -> Result<Option<Vec<u8>>, EngineError> {
    match store.get(&store_key(key)?, len_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
