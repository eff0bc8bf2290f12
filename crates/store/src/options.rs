//! How a store is opened, besides its address.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::credentials::StaticCredentials;
use crate::reach::Reach;

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Make the directory of a `file://` repository if it is missing. Only `init` wants this: on a disk that is not
    /// mounted, a made directory would hide the repository. Buckets are never made.
    pub create: bool,
    /// Once this is true, requests that wait for a server end with [`crate::StoreError::Cancelled`] within a second.
    pub cancelled: Option<Arc<AtomicBool>>,
    /// Credentials of an `s3://` store; of environment, profile, web identity, container or instance where `None`.
    pub credentials: Option<StaticCredentials>,
    /// Which servers an `s3://` store may connect to.
    pub reach: Reach,
    /// A directory that a `file://` store must lie in or below: from there on no symbolic link is followed. `None`: links are followed.
    pub below: Option<PathBuf>,
}
