//! The `s3://` adapter: the port's requests as calls of the AWS SDK, tried again while that makes sense.
//!
//! The port blocks, the SDK is asynchronous: this value owns a runtime, and callers must not themselves run on one. Bodies are
//! whole `Bytes`, never streams; downloads go into the caller's buffer as they arrive. What the SDK would do by itself (retries,
//! payload hashes, HTTP/2, stalled-stream protection) is switched off, because each costs safety or half of the speed;
//! `retry.rs`, `stall.rs` and `gate.rs` stand in for it.

mod advice;
mod answer;
mod call;
mod checksum;
mod client;
mod delete;
mod dial;
mod dialect;
mod failure;
mod gate;
mod http;
mod identity;
mod listing;
mod lookup;
mod objects;
mod open_upload;
mod pages;
mod retry;
mod stall;
mod tuning;
mod uploads;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;

use crate::counts::{Counters, RequestCounts};
use crate::credentials::StaticCredentials;
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{
    ListPage, ObjectInfo, ObjectStore, PartTag, PutOutcome, RequestShape, UploadId, UploadInfo,
};
use crate::url::{S3Address, SignPayload};

pub use aws_credential_types::Credentials;
pub use retry::Patience;
pub use tuning::Tuning;

use client::Connected;
use dialect::Dialect;
use gate::Gate;
use open_upload::OpenUpload;
use pages::Pages;

/// Targets of libraries, as a log filter names them, whose errors this store tells itself, after it tried again.
pub const QUIET_LIBRARIES: &str = "aws=off,hyper=off,rustls=off";

/// A bucket, or a prefix in one.
pub struct S3Store {
    address: S3Address,
    connected: Connected,
    gate: Gate,
    patience: Patience,
    /// What the server was found to know.
    dialect: Dialect,
    /// Kinds of requests that the server has allowed, a bit for each.
    done: AtomicU32,
    cancelled: Option<Arc<AtomicBool>>,
    uploads: Mutex<HashMap<String, OpenUpload>>,
    pages: Pages,
    counters: Counters,
}

/// What the SDK asks for credentials that were given to it.
pub(crate) fn provider(given: StaticCredentials) -> SharedCredentialsProvider {
    let token = given.session_token.as_ref().map(|token| token.as_str().to_owned());
    let (id, secret) = (given.access_key_id.as_str(), given.secret_access_key.as_str());
    // The SDK's own type wipes what it holds.
    SharedCredentialsProvider::new(Credentials::new(id, secret, token, None, "given"))
}

/// How long a server that never answered is tried.
const PATIENCE_FRESH: Duration = Duration::from_secs(15);

impl S3Store {
    /// Prepares the client. No request is made to the store; finding region and credentials may ask the environment.
    ///
    /// # Errors
    /// [`StoreError::Setup`] for certificates that cannot be read, or a region that nobody names.
    pub fn open(address: S3Address, tuning: Tuning) -> Result<Self, StoreError> {
        let established = address.patience;
        let patience =
            tuning.patience.unwrap_or(Patience { fresh: PATIENCE_FRESH.min(established), established });
        Ok(S3Store {
            connected: Connected::new(&address, &tuning)?,
            gate: Gate::new(tuning.requests_max),
            patience,
            dialect: Dialect::new(&address),
            done: AtomicU32::new(0),
            cancelled: tuning.cancelled,
            uploads: Mutex::default(),
            pages: Pages::default(),
            counters: Counters::default(),
            address,
        })
    }

    /// The SDK's client as it is now.
    fn client(&self) -> aws_sdk_s3::Client {
        self.connected.client()
    }

    /// The server, for messages.
    fn server(&self) -> &str {
        self.address.endpoint.as_deref().unwrap_or("AWS")
    }

    /// The name in the bucket.
    fn name(&self, key: &str) -> String {
        match self.address.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    /// The part of a name in the bucket that is ours.
    fn key_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        match self.address.prefix.as_str() {
            "" => Some(name),
            prefix => name.strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    fn signs_payload(&self) -> bool {
        match self.address.sign_payload {
            SignPayload::Auto => !self.address.is_tls(),
            SignPayload::Always => true,
            SignPayload::Never => false,
        }
    }

    fn uploads(&self) -> std::sync::MutexGuard<'_, HashMap<String, OpenUpload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ObjectStore for S3Store {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.put_object(key, &body)
    }

    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        self.create_upload(key, part_len)
    }

    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.send_part(upload, number, &body)
    }

    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        self.join_parts(upload, parts)
    }

    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        self.drop_upload(upload)
    }

    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        self.find_uploads(prefix)
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        self.get_object(key, len_max)
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.get_object_range(key, offset, out)
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.head_object(key)
    }

    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        self.list_objects(prefix, start_after, max)
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.delete_objects(keys)
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.server_time()
    }

    fn requests(&self) -> RequestCounts {
        self.counters.read()
    }

    fn checksum_kept(&self, key: &Key) -> Result<Option<&'static str>, StoreError> {
        self.find_checksum(key)
    }

    fn exists(&self, key: &Key) -> Result<bool, StoreError> {
        self.object_exists(key)
    }

    fn findings(&self) -> Vec<String> {
        self.found_out()
    }

    /// AWS' own clients plan with 20 to 90 MB/s per request and find parts above 8 MiB no faster; longer ones cost fewer requests, and
    /// eight of 17 MiB hold a pack of 128 MiB with its trailer, which eight of 16 MiB do not.
    fn shape(&self) -> RequestShape {
        RequestShape { at_once: 16, part_bytes: self.address.part_bytes, range_bytes: 16 << 20 }
    }

    /// Without the file of certificates, which is of no use to whoever reads this elsewhere.
    fn describe(&self) -> String {
        S3Address { ca: None, ..self.address.clone() }.to_string()
    }
}
