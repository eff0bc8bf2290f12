//! The object store port of Coffer and its adapters: a directory (`file://`), S3 (`s3://`) and, for tests, memory with
//! seeded faults.
//!
//! Callers are plain threads: every call blocks until the store has answered. This crate moves bytes under names; it
//! must never know what they mean, and it must never know the engine or block devices.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(
    not(all(feature = "file", feature = "s3")),
    allow(dead_code, reason = "what adapters share has no user without one")
)]

pub mod counts;
pub mod error;
pub mod key;
mod operation;
mod options;
pub mod port;
pub mod reach;
pub mod url;

mod checks;
mod credentials;
mod open;

#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "s3")]
pub mod s3;

#[cfg(any(test, feature = "testing"))]
pub mod contract;
#[cfg(any(test, feature = "testing"))]
pub mod fault;
#[cfg(any(test, feature = "testing"))]
pub mod memory;

pub use counts::RequestCounts;
pub use credentials::StaticCredentials;
pub use error::{Advice, StoreError};
pub use key::Key;
pub use open::open;
pub use options::OpenOptions;
pub use port::{
    ListPage, ObjectInfo, ObjectStore, Operation, PAGE_LEN_MAX, PART_NUMBER_MAX, PartTag, PutOutcome,
    RequestShape, UploadId, UploadInfo, list_all,
};
pub use reach::Reach;
pub use url::{RepositoryUrl, S3Address, UrlError};

#[cfg(feature = "file")]
pub use file::FileStore;
#[cfg(feature = "s3")]
pub use s3::S3Store;
#[cfg(any(test, feature = "testing"))]
pub use {
    fault::{FaultPlan, FaultStore},
    memory::MemoryStore,
};
