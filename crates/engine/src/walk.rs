//! The one way to list: a prefix is walked to its last page, each key is taken apart, and what is no key of ours is set aside and reported.
//!
//! A stranger's object (`.DS_Store`, an rsync temporary file, a directory marker of a console) ends nothing here. Only what deletes stays away
//! from where one lies.

use coffer_format::FormatError;
use coffer_store::ObjectInfo;

use crate::pages::page_after;
use crate::{EngineError, Repository};

/// Objects of one page.
const PAGE_LEN: usize = 1_000;

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
