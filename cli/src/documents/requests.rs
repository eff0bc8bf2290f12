//! Requests to the store, by the names that object stores bill by.

use coffer_store::RequestCounts;
use serde::Serialize;

/// Numbers of requests.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Requests {
    put: u64,
    get: u64,
    list: u64,
    delete: u64,
    multipart: u64,
}

impl From<RequestCounts> for Requests {
    fn from(counts: RequestCounts) -> Self {
        let RequestCounts { put, get, list, delete, multipart } = counts;
        Requests { put, get, list, delete, multipart }
    }
}
