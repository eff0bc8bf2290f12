//! The port that opens object stores, and the check of addresses that callers name.

use std::sync::Arc;

use coffer_store::{ObjectStore, OpenOptions, RepositoryUrl, StoreError};

use crate::errors::AgentError;

/// Opens object stores.
pub trait Stores: Send + Sync {
    /// Opens the store at an address with one operation's own credentials.
    ///
    /// # Errors
    /// What the store says.
    fn open(&self, url: &RepositoryUrl, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError>;
}

/// The stores that this build has.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealStores;

impl Stores for RealStores {
    fn open(&self, url: &RepositoryUrl, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
        coffer_store::open(url, options)
    }
}

/// Says whether callers may name the repository at an address.
pub type Allows = Arc<dyn Fn(&RepositoryUrl) -> bool + Send + Sync>;

/// Reads an address of a caller and holds it against the rules.
///
/// # Errors
/// [`AgentError::Usage`] where it is none, [`AgentError::Denied`] where it is not allowed.
pub fn check_address(text: &str, allows: &Allows) -> Result<RepositoryUrl, AgentError> {
    let url = address(text)?;
    if allows(&url) {
        return Ok(url);
    }
    // The address may hold what its writer took for the place of a password; a parsed one does not.
    Err(AgentError::Denied(format!(
        "repository {url} is not among those that this agent's configuration allows; add a rule there, or give another"
    )))
}

/// Reads an address.
///
/// # Errors
/// [`AgentError::Usage`].
pub(super) fn address(text: &str) -> Result<RepositoryUrl, AgentError> {
    RepositoryUrl::parse(text).map_err(|error| AgentError::Usage(format!("field `repository.url`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_rule_allows_is_refused_with_its_address() {
        let allows: Allows = Arc::new(|url| matches!(url, RepositoryUrl::S3(_)));
        assert!(check_address("s3://bucket/prefix", &allows).is_ok());
        let error = check_address("file:///srv/x", &allows).unwrap_err();
        assert_eq!(error.code(), tonic::Code::PermissionDenied);
        assert!(error.to_string().contains("file:///srv/x"));
        let error = check_address("s3://user:4711@bucket", &allows).unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}
