//! The one way to list: a prefix is walked to its last page, each key is taken apart, and what is no key of ours is set aside and reported.
//!
//! A stranger's object (`.DS_Store`, an rsync temporary file, a directory marker of a console) ends nothing here. Only what deletes stays away
//! from where one lies.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use coffer_format::FormatError;
use coffer_store::{ListPage, ObjectInfo, ObjectStore, Operation, StoreError};

use crate::{EngineError, Repository};

/// Objects of one page.
const PAGE_LEN: usize = 1_000;
/// Keys that are remembered as reported; beyond it none is reported any more.
const REPORTED_MAX: usize = 1_000;

/// Which objects were reported as set aside, so that each is reported once.
#[derive(Debug, Default)]
pub(crate) struct SetAside(Mutex<BTreeSet<String>>);

impl SetAside {
    /// One WARN for `key`, the first time.
    pub(crate) fn report(&self, key: &str, why: &dyn std::fmt::Display) {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() < REPORTED_MAX && reported.insert(key.to_owned()) {
            tracing::warn!(key, error = %why, "an object that is not ours or cannot be read; set aside");
        }
    }
}

/// Calls `each` for every object below `prefix` whose key `parse` takes apart; returns the keys of the others, each reported once.
pub(crate) fn walk<T>(
    repository: &Repository,
    prefix: &str,
    parse: impl Fn(&str) -> Result<T, FormatError>,
    mut each: impl FnMut(T, &ObjectInfo),
) -> Result<Vec<String>, EngineError> {
    let mut strange = Vec::new();
    for_each_object(repository, prefix, |object| {
        let key = object.key.as_str();
        match parse(key) {
            Ok(parsed) => each(parsed, object),
            Err(error) => {
                repository.set_aside().report(key, &error);
                strange.push(key.to_owned());
            }
        }
    })?;
    Ok(strange)
}

/// Lists everything below a prefix, page by page.
pub(crate) fn for_each_object(
    repository: &Repository,
    prefix: &str,
    mut each: impl FnMut(&ObjectInfo),
) -> Result<(), EngineError> {
    let mut after: Option<String> = None;
    loop {
        repository.environment().cancel.check()?;
        let page = page_after(repository.store().as_ref(), prefix, after.as_deref(), PAGE_LEN)?;
        page.objects.iter().for_each(&mut each);
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

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
fn page_after(
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
