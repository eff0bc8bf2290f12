//! Forgetting and pruning where the store is full: the small records that announce both need room that only they can make.

use coffer_store::{ObjectStore, StoreError};

use crate::{EngineError, Repository};

/// Does `work`; once more, from the beginning, with what the store keeps in reserve if there was no room. The reserve is kept again
/// afterwards.
///
/// `work` must be such that a part of it does no harm when all of it is done again.
pub(crate) fn with_reserve<T>(
    repository: &Repository,
    mut work: impl FnMut() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let store = repository.store();
    let done = match work() {
        Err(error) if is_full(&error) && store.give_up_reserve()? => {
            tracing::info!("the store is full, its reserve is used");
            work()
        }
        done => done,
    };
    if let Err(error) = store.restore_reserve() {
        tracing::warn!(%error, "the store keeps no reserve: if it fills up, it cannot be pruned before other files there are removed");
    }
    done
}

fn is_full(error: &EngineError) -> bool {
    matches!(error, EngineError::Store(StoreError::NoSpace { .. }))
}
