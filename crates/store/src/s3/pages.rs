//! Where lists that were cut into pages go on.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Pages whose continuation is remembered: many more lists at once than anybody makes.
const PAGES_MAX: usize = 256;

/// How to continue lists after their last page.
///
/// A list may be continued from any name, and S3 does so. MinIO loses names then, where one directory's name begins another's (`web/` and
/// `web-2/`); continued by its own token it does not.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<VecDeque<Page>>);

#[derive(Debug)]
struct Page {
    prefix: String,
    last: String,
    token: String,
}

impl Pages {
    pub(super) fn remember(&self, prefix: &str, last: &str, token: &str) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.retain(|page| page.prefix != prefix || page.last != last);
        if pages.len() >= PAGES_MAX {
            pages.pop_front();
        }
        pages.push_back(Page { prefix: prefix.into(), last: last.into(), token: token.into() });
    }

    pub(super) fn token(&self, prefix: &str, last: &str) -> Option<String> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.iter().find(|page| page.prefix == prefix && page.last == last).map(|page| page.token.clone())
    }
}
