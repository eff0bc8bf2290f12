//! What the double holds, and what it lacks.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use s3s::s3_error;

use super::model::Model;

/// The one bucket.
pub const BUCKET: &str = "bucket";

/// Access key that counts only with [`SESSION_TOKEN`].
pub const SESSION_ACCESS_KEY: &str = "coffersession";

/// Its token.
pub const SESSION_TOKEN: &str = "a-token-of-one-session";

/// What some servers do not know of S3, or do otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Lists of objects to delete: 501.
    DeleteLists,
    /// The same without a Content-MD5: 400.
    DeleteListsWithoutMd5,
    /// Conditional writes: 501.
    Conditions,
    /// Conditional writes are taken and not heeded.
    HeededConditions,
    /// CRC-64/NVME: 400.
    Crc64,
    /// Any checksum: 400.
    Checksums,
    /// Where a list is to go on: it begins anew.
    StartAfter,
    /// A second use of a name, also when the object is deleted: 412.
    SecondUse,
    /// Bodies of more than 8 MiB: 413.
    LongBodies,
}

/// What requests share.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) model: Model,
    pub(super) lacks: Vec<Lack>,
    pub(super) turn: Mutex<Turn>,
    pub(super) requests: AtomicU64,
    pub(super) session_requests: AtomicU64,
}

impl State {
    pub(super) fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lacks(&self, lack: Lack) -> bool {
        self.lacks.contains(&lack)
    }
}

/// What happens to credentials after some requests.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) after: Option<u64>,
    /// The only access key from then on; none if one request is refused and no other.
    pub(super) key: Option<String>,
    pub(super) then: Option<Box<dyn FnOnce() + Send>>,
    pub(super) turned: bool,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("after", &self.after)
            .field("turned", &self.turned)
            .finish_non_exhaustive()
    }
}

impl Turn {
    /// Whether credentials are refused now.
    pub(super) fn refuses(&mut self, requests: u64, access: &str) -> Option<s3s::S3Error> {
        if self.after.is_none_or(|after| requests <= after) {
            return None;
        }
        let Some(key) = &self.key else {
            self.after = None;
            self.turned = true;
            return Some(s3_error!(ExpiredToken));
        };
        if key == access {
            return None;
        }
        self.turned = true;
        if let Some(then) = self.then.take() {
            then();
        }
        Some(s3_error!(InvalidAccessKeyId))
    }
}
