//! Counting requests, because requests are what object stores charge for.
//!
//! A counter must never decide anything: it only reports.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::port::Operation;

/// How many requests a store has been asked, whether or not they succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct RequestCounts {
    /// Objects stored by one request.
    pub put: u64,
    /// Reads of objects, ranges, lengths and the store's clock.
    pub get: u64,
    /// Pages of objects or uploads.
    pub list: u64,
    /// Delete requests of up to 1,000 keys.
    pub delete: u64,
    /// Start, part, complete and abort of uploads.
    pub multipart: u64,
}

impl RequestCounts {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.put + self.get + self.list + self.delete + self.multipart
    }
}

/// The counters inside an adapter.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    put: AtomicU64,
    get: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
    multipart: AtomicU64,
}

impl Counters {
    /// Counts one request.
    pub(crate) fn add(&self, operation: Operation) {
        let counter = match operation {
            Operation::Put => &self.put,
            Operation::Get | Operation::GetRange | Operation::Head | Operation::Now => &self.get,
            Operation::List | Operation::ListUploads => &self.list,
            Operation::Delete => &self.delete,
            Operation::StartUpload
            | Operation::PutPart
            | Operation::CompleteUpload
            | Operation::AbortUpload => &self.multipart,
            Operation::Open => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub(crate) fn read(&self) -> RequestCounts {
        RequestCounts {
            put: self.put.load(Ordering::Relaxed),
            get: self.get.load(Ordering::Relaxed),
            list: self.list.load(Ordering::Relaxed),
            delete: self.delete.load(Ordering::Relaxed),
            multipart: self.multipart.load(Ordering::Relaxed),
        }
    }
}
