//! The port that opens object stores, and the check of addresses that callers name.

use std::sync::Arc;

use coffer_store::{ObjectStore, OpenOptions, RepositoryUrl, StoreError};

use super::request::Request;
use crate::errors::AgentError;

/// Opens object stores.
pub trait Stores: Send + Sync {
    /// Opens the store at an address with one operation's own credentials.
    ///
    /// # Errors
    /// What the store says.
    fn open(&self, url: &RepositoryUrl, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError>;
}

/// The stores that this build has, whatever their address.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealStores;

impl Stores for RealStores {
    fn open(&self, url: &RepositoryUrl, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
        coffer_store::open(url, options)
    }
}

/// Says whether a request may be made, by the settings alone: what it names of repositories and of this node's own.
pub type Allows = Arc<dyn Fn(&Request) -> Result<(), AgentError> + Send + Sync>;

/// Reads an address. What is wrong with one is said without what its writer may have taken for the place of a password.
///
/// # Errors
/// [`AgentError::Usage`].
pub fn address(text: &str) -> Result<RepositoryUrl, AgentError> {
    RepositoryUrl::parse(text).map_err(|error| AgentError::Usage(format!("field `repository.url`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_read_is_not_repeated() {
        assert!(address("s3://bucket/prefix").is_ok());
        let error = address("s3://user:4711@bucket").unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}
