//! What runs tell the plans that they belong to. One reconciler writes a plan's status; runs leave notes for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use coffer_api::Unprotected;

/// What a run found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// What the plan selects and cannot protect.
    pub unprotected: Vec<Unprotected>,
    /// Why retention gave nothing up.
    pub retention_blocked: Option<String>,
}

/// Notes by namespace and plan.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<HashMap<(String, String), Note>>>);

impl Notes {
    /// Leaves a note; the newest counts.
    pub fn leave(&self, namespace: &str, plan: &str, note: Note) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.insert((namespace.to_owned(), plan.to_owned()), note);
    }

    /// The newest note.
    pub fn read(&self, namespace: &str, plan: &str) -> Option<Note> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.get(&(namespace.to_owned(), plan.to_owned())).cloned()
    }
}
