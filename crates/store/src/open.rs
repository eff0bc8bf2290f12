//! An address becomes an open store.

use std::path::Path;
use std::sync::Arc;

use crate::error::StoreError;
use crate::options::OpenOptions;
use crate::port::ObjectStore;
#[cfg(not(all(feature = "file", feature = "s3")))]
use crate::url::UrlError;
use crate::url::{RepositoryUrl, S3Address};

/// Opens the store at `url`.
///
/// # Errors
/// [`StoreError::RootMissing`], [`StoreError::Url`] for what this build cannot serve, or what the store says.
pub fn open(url: &RepositoryUrl, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    match url {
        RepositoryUrl::File { root } => open_file(root, options),
        RepositoryUrl::S3(address) => open_s3(address, options),
    }
}

#[cfg(feature = "s3")]
fn open_s3(address: &S3Address, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let OpenOptions { create: _, below: _, cancelled, credentials, reach } = options;
    let credentials = credentials.map(crate::s3::provider);
    let tuning = crate::s3::Tuning { cancelled, credentials, reach, ..crate::s3::Tuning::default() };
    Ok(Arc::new(crate::s3::S3Store::open(address.clone(), tuning)?))
}

#[cfg(not(feature = "s3"))]
fn open_s3(_address: &S3Address, _options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Err(UrlError::S3NotBuilt.into())
}

#[cfg(feature = "file")]
fn open_file(root: &Path, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Ok(Arc::new(crate::file::FileStore::open(root, options)?))
}

#[cfg(not(feature = "file"))]
fn open_file(_root: &Path, _options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Err(UrlError::FileNotBuilt.into())
}
