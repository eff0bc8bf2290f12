//! Servers that speak S3 for tests: real ones as child processes, one in this process with the semantics of AWS, and what can go
//! wrong between them and us.
//!
//! All listen on loopback only and never outlive the test.

pub mod certificates;
pub mod credentials;
pub mod double;
mod message;
pub mod operator;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod stub;
pub mod team;
pub mod tunnel;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_credential_types::provider::{ProvideCredentials, future};
use coffer_store::s3::{Credentials, S3Store, Tuning};
use coffer_store::{RepositoryUrl, S3Address};

/// Access key of every server's owner.
pub const ACCESS_KEY: &str = "coffertests";
/// Secret key of every server's owner.
pub const SECRET_KEY: &str = "not-a-secret-of-anyone";
/// Region of every server.
pub const REGION: &str = "us-east-1";

/// A server, as its clients see it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `http://127.0.0.1:port` or `https://localhost:port`.
    pub url: String,
    /// The certificate authority to trust, for `https`.
    pub ca: Option<PathBuf>,
}

impl Endpoint {
    /// The address of a repository on it, with `more` switches.
    pub fn address(&self, bucket: &str, prefix: &str, more: &str) -> String {
        let ca = self.ca.as_deref().map_or_else(String::new, |ca| format!("&ca={}", ca.display()));
        format!("s3://{bucket}/{prefix}?endpoint={}{ca}{more}", self.url)
    }

    /// The owner's store at a place on it.
    #[track_caller]
    pub fn store(&self, bucket: &str, prefix: &str, tuning: Tuning) -> S3Store {
        open(&self.address(bucket, prefix, ""), tuning)
    }
}

/// Opens an address as the owner, unless `tuning` says who else.
#[track_caller]
pub fn open(address: &str, tuning: Tuning) -> S3Store {
    let credentials = tuning.credentials.unwrap_or_else(owner);
    let tuning = Tuning { credentials: Some(credentials), ..tuning };
    S3Store::open(parse(address), tuning).unwrap_or_else(|error| panic!("open {address}: {error}"))
}

/// Reads an address.
#[track_caller]
pub fn parse(address: &str) -> S3Address {
    match RepositoryUrl::parse(address) {
        Ok(RepositoryUrl::S3(address)) => *address,
        other => panic!("{address} is no s3 address: {other:?}"),
    }
}

/// The owner's credentials.
pub fn owner() -> aws_sdk_s3::config::SharedCredentialsProvider {
    credentials(ACCESS_KEY, SECRET_KEY)
}

/// Somebody's credentials.
pub fn credentials(access: &str, secret: &str) -> aws_sdk_s3::config::SharedCredentialsProvider {
    aws_sdk_s3::config::SharedCredentialsProvider::new(Credentials::new(access, secret, None, None, "tests"))
}

/// Gives credentials, perhaps others each time.
pub trait Provider: std::fmt::Debug + Send + Sync + 'static {
    /// Those of now.
    fn give(&self) -> Credentials;
}

/// What a store asks for credentials.
pub fn provider(given: impl Provider) -> aws_sdk_s3::config::SharedCredentialsProvider {
    aws_sdk_s3::config::SharedCredentialsProvider::new(Asked(given))
}

#[derive(Debug)]
struct Asked<P>(P);

impl<P: Provider> ProvideCredentials for Asked<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Ok(self.0.give()))
    }
}

/// A new directory below `target/tmp`, which is on a disk and not in memory: versitygw needs extended attributes.
pub fn directory(tmp: &Path, name: &str) -> Arc<tempfile::TempDir> {
    std::fs::create_dir_all(tmp).expect("make the directory for temporary files");
    Arc::new(tempfile::Builder::new().prefix(name).tempdir_in(tmp).expect("make a directory"))
}
