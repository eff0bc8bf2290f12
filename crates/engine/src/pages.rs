//! Pages of listings, which lead on or end. A page that shows nothing is not the end: a store may hide what is no key of ours.

use std::io;

use coffer_store::{ListPage, ObjectInfo, ObjectStore, Operation, StoreError};

use crate::EngineError;

/// The first object below `prefix` after the key `after`; pages that show nothing are followed by their successors.
pub(crate) fn first_object(
    store: &dyn ObjectStore,
    prefix: &str,
    after: Option<&str>,
) -> Result<Option<ObjectInfo>, EngineError> {
    let mut after = after.map(str::to_owned);
    loop {
        let page = page_after(store, prefix, after.as_deref(), 1)?;
        if let Some(object) = page.objects.into_iter().next() {
            return Ok(Some(object));
        }
        after = page.next;
        if after.is_none() {
            return Ok(None);
        }
    }
}

/// One page, which leads on or is the last.
pub(crate) fn page_after(
    store: &dyn ObjectStore,
    prefix: &str,
    after: Option<&str>,
    max: usize,
) -> Result<ListPage, EngineError> {
    let page = store.list(prefix, after, max)?;
    match &page.next {
        Some(next) if after.is_some_and(|after| after >= next.as_str()) => {
            let what = format!("the store's page after {after:?} ends at `{next}`, which is not later");
            Err(StoreError::from_io(Operation::List, prefix, io::Error::other(what)).into())
        }
        _ => Ok(page),
    }
}
