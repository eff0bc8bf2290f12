//! Uploads in parts: one scratch file each, written at the parts' offsets by any number of threads.
//!
//! Only the store value that began an upload continues it, because only it knows which parts are whole: after a crash,
//! a scratch file says nothing about that. Must never let a part be written once the object has its name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::checks;
use crate::error::StoreError;
use crate::port::{PartTag, UploadId};

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Takes parts.
    Open,
    /// The object has its name, which may not be durable yet.
    Named,
    /// Completed, aborted, or damaged by a failed sync.
    Closed,
}

/// An upload of this store value.
#[derive(Debug)]
pub(super) struct Upload<File> {
    pub(super) id: UploadId,
    pub(super) part_len: u64,
    pub(super) file: File,
    stage: RwLock<Stage>,
    parts: Mutex<BTreeMap<u32, u64>>,
}

impl<File> Upload<File> {
    /// Where `number` starts in the scratch file, if it fits there.
    pub(super) fn offset(&self, number: u32) -> Option<u64> {
        let offset = u64::from(number.checked_sub(1)?).checked_mul(self.part_len)?;
        offset.checked_add(self.part_len).filter(|end| i64::try_from(*end).is_ok())?;
        Some(offset)
    }

    /// Holds the upload in its stage while parts are written.
    pub(super) fn stage(&self) -> RwLockReadGuard<'_, Stage> {
        self.stage.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for parts being written, then lets the stage be changed.
    pub(super) fn stage_mut(&self) -> RwLockWriteGuard<'_, Stage> {
        self.stage.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a part that was stored with another length before.
    pub(super) fn check_again(&self, number: u32, len: u64) -> Result<(), StoreError> {
        match self.parts().get(&number) {
            Some(before) if *before != len => checks::changed_part(number, len, *before),
            _ => Ok(()),
        }
    }

    /// Notes that a part is whole.
    pub(super) fn record(&self, number: u32, len: u64) -> PartTag {
        self.parts().insert(number, len);
        PartTag { number, len, tag: tag(number, len) }
    }

    /// Refuses anything but all the parts there are.
    pub(super) fn check_all(&self, given: &[PartTag]) -> Result<(), StoreError> {
        checks::complete(given, self.part_len)?;
        let parts = self.parts();
        let is_known = |part: &PartTag| {
            parts.get(&part.number) == Some(&part.len) && part.tag == tag(part.number, part.len)
        };
        if let Some(part) = given.iter().find(|part| !is_known(part)) {
            return checks::unknown_part(part.number);
        }
        match parts.last_key_value() {
            Some((last, _)) if parts.len() != given.len() => checks::unknown_part(*last),
            _ => Ok(()),
        }
    }

    /// The bytes of all whole parts.
    pub(super) fn len_bytes(&self) -> u64 {
        self.parts().values().sum()
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open uploads of this store value.
#[derive(Debug)]
pub(super) struct Uploads<File> {
    open: Mutex<HashMap<String, Arc<Upload<File>>>>,
}

impl<File> Uploads<File> {
    pub(super) fn new() -> Self {
        Self { open: Mutex::new(HashMap::new()) }
    }

    pub(super) fn insert(&self, id: UploadId, part_len: u64, file: File) {
        let (stage, parts) = (RwLock::new(Stage::Open), Mutex::new(BTreeMap::new()));
        let upload = Upload { id, part_len, file, stage, parts };
        self.lock().insert(upload.id.id.clone(), Arc::new(upload));
    }

    /// The upload that this store value began and has not finished.
    pub(super) fn get(&self, id: &UploadId) -> Result<Arc<Upload<File>>, StoreError> {
        let found = self.lock().get(&id.id).filter(|upload| upload.id == *id).map(Arc::clone);
        found.ok_or_else(|| gone(id))
    }

    pub(super) fn remove(&self, id: &UploadId) {
        self.lock().remove(&id.id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Upload<File>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error for an upload that takes nothing any more.
pub(super) fn gone(id: &UploadId) -> StoreError {
    StoreError::NoSuchUpload { key: id.key.to_string(), upload: id.id.clone() }
}

fn tag(number: u32, len: u64) -> String {
    format!("{number}-{len}")
}
