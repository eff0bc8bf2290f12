//! Which objects were set aside, so that each is reported once and not at every look.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Keys that are remembered as reported; beyond it none is reported any more.
const REPORTED_MAX: usize = 1_000;

/// Which objects were reported as set aside, so that each is reported once.
#[derive(Debug, Default)]
pub(crate) struct SetAside(Mutex<BTreeSet<String>>);

impl SetAside {
    /// One WARN for `key`, the first time.
    pub(crate) fn report(&self, key: &str, why: &dyn std::fmt::Display) {
        if self.is_new(key) {
            tracing::warn!(key, error = %why, "an object that is not ours or cannot be read; set aside");
        }
    }

    /// Whether nothing was said of `key` yet; from now on it was.
    pub(crate) fn is_new(&self, key: &str) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reported.len() < REPORTED_MAX && reported.insert(key.to_owned())
    }
}
