//! What a request may name of repositories, by the settings: held against the rules when it comes, and again where the store is opened.
//!
//! Nothing is opened or connected to before a rule allows it, so that a refusal tells nothing of what there is.

use std::sync::Arc;

use coffer_format::Label;
use coffer_proto::checked::S3Source;
use coffer_store::{ObjectStore, OpenOptions, RepositoryUrl, StoreError};

use crate::config::{Grant, RepositoryRule, judge};
use crate::errors::AgentError;
use crate::operations::request::Request;
use crate::operations::stores::{RealStores, Stores, address};

/// The rules for repositories.
#[derive(Debug, Clone)]
pub struct Repositories(Arc<[RepositoryRule]>);

/// Whether the plan that a backup is of is one of the cluster that this agent belongs to: two clusters with one name for their plans would build on
/// each other's points. Restores and verifications may be of any cluster.
///
/// # Errors
/// [`AgentError::Refused`].
pub fn check_cluster(request: &Request, own: &Label) -> Result<(), AgentError> {
    match request {
        Request::Backup(backup) if backup.reference.plan.cluster != *own => {
            Err(AgentError::Refused(format!(
                "this agent belongs to cluster {own}, and the plan is one of cluster {}: give `plan.cluster` {own}, or correct `cluster` in the agent's settings",
                backup.reference.plan.cluster
            )))
        }
        _ => Ok(()),
    }
}

impl Repositories {
    /// As the settings say.
    pub fn new(rules: &[RepositoryRule]) -> Self {
        Repositories(rules.into())
    }

    /// Whether a request may use the repository that it names, with the credentials that it names.
    ///
    /// # Errors
    /// [`AgentError::Usage`] where its address is none, [`AgentError::Denied`] where the rules do not allow it.
    pub fn admit(&self, request: &Request) -> Result<(), AgentError> {
        let access = request.repository();
        let url = address(&access.url)?;
        let grant = judge(&self.0, &url).map_err(|refusal| AgentError::Denied(refusal.to_string()))?;
        let wants_own = matches!((&url, &access.s3), (RepositoryUrl::S3(_), S3Source::Agent));
        if wants_own && !grant.own_credentials {
            return Err(AgentError::Denied(needs_credentials(&url)));
        }
        Ok(())
    }
}

fn needs_credentials(url: &RepositoryUrl) -> String {
    format!(
        "the request brings no credentials for {url}, and the agent's own are not lent to it: send some, name some of the agent's \
         credentials_dir, or set own_credentials in the rule of the agent's configuration that allows it"
    )
}

impl Stores for Repositories {
    fn open(&self, url: &RepositoryUrl, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let setup = |detail: String| StoreError::Setup { detail, source: None };
        let grant = judge(&self.0, url).map_err(|refusal| setup(refusal.to_string()))?;
        let Grant { own_credentials, ca, reach, below } = grant;
        let url = match url {
            RepositoryUrl::S3(_) if options.credentials.is_none() && !own_credentials => {
                return Err(setup(needs_credentials(url)));
            }
            RepositoryUrl::S3(address) => {
                let mut address = address.clone();
                // Of no use without TLS, and refused there.
                address.ca = ca.filter(|_| address.is_tls());
                RepositoryUrl::S3(address)
            }
            other => other.clone(),
        };
        RealStores.open(&url, OpenOptions { reach, below, ..options })
    }
}
