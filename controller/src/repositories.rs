//! Opening repositories: addresses, credentials and keys come from the API, each time anew, so that what was rotated counts at once.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;
use coffer_api::{BackupLocation, S3, SecretName, Team};
use coffer_engine::{CancelToken, EngineError, Entropy, Environment, Repository};
use coffer_format::KeyFile;
use coffer_proto::agent::v1;
use coffer_store::{OpenOptions, RepositoryUrl, S3Address, StaticCredentials};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::shifted_store::ShiftedStore;

/// Which of a team's keys opens a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// None: names and times only.
    None,
    /// The writer key: makes points and gives them up.
    Writer,
    /// The recovery key: opens data.
    Recovery,
}

/// All that opens a repository; it holds secrets.
pub struct Access {
    address: S3Address,
    /// Keeps the file of authorities that `address` names.
    _authorities: Option<NamedTempFile>,
    credentials: Option<StaticCredentials>,
    key: Option<Zeroizing<String>>,
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EngineError> {
        getrandom::fill(out).map_err(|error| EngineError::Entropy(error.to_string()))
    }
}

impl Access {
    /// Reads what opens the repository of `location` for `team`.
    ///
    /// # Errors
    /// Which Secret is missing or lacks what.
    pub async fn read(
        context: &Context,
        location: &BackupLocation,
        team: Option<&Team>,
        key_use: KeyUse,
    ) -> anyhow::Result<Access> {
        let s3 = &location.spec.s3;
        let authorities = match &s3.ca {
            Some(name) => Some(authorities_file(&secret_text(context, name, "ca.crt").await?)?),
            None => None,
        };
        let credentials = match &location.spec.credentials {
            Some(name) => Some(credentials(context, name).await?),
            None => None,
        };
        let key = match (team.map(|team| &team.spec.keys), key_use) {
            (None, _) | (_, KeyUse::None) => None,
            (Some(keys), KeyUse::Writer) => Some(secret_text(context, &keys.writer, "key").await?),
            (Some(keys), KeyUse::Recovery) => {
                let name = keys.recovery.as_ref().with_context(|| {
                    let team = team.map(Team::name_any).unwrap_or_default();
                    format!(
                        "team {team} has no recovery key on this cluster: set spec.keys.recovery of the Team"
                    )
                })?;
                Some(secret_text(context, name, "key").await?)
            }
        };
        let mut address = address(s3)?;
        address.ca = authorities.as_ref().map(|file| file.path().to_owned());
        Ok(Access { address, _authorities: authorities, credentials, key })
    }

    /// Opens the repository. Blocks.
    ///
    /// # Errors
    /// As the store and the engine say.
    pub fn open(&self, context: &Context, cancel: CancelToken) -> anyhow::Result<Repository> {
        let url = RepositoryUrl::S3(Box::new(self.address.clone()));
        let options = OpenOptions {
            cancelled: Some(cancel.shared_flag()),
            credentials: self.credentials.clone(),
            ..OpenOptions::default()
        };
        let store = coffer_store::open(&url, options)?;
        let store = Arc::new(ShiftedStore::new(store, context.clock.clone()));
        let environment =
            Environment { clock: context.clock.clone(), entropy: Arc::new(SystemEntropy), cancel };
        Ok(Repository::open(store, environment, self.key_file()?)?)
    }

    /// The key, decoded.
    ///
    /// # Errors
    /// The Secret's text is no key file.
    pub fn key_file(&self) -> anyhow::Result<Option<KeyFile>> {
        self.key
            .as_ref()
            .map(|text| KeyFile::decode(text))
            .transpose()
            .context("the Secret's `key` is no key file")
    }

    /// The same way with another key.
    #[must_use]
    pub fn with_key(mut self, key: Option<&KeyFile>) -> Access {
        self.key = key.map(KeyFile::encode);
        self
    }

    /// What opens the repository at an agent; it holds secrets.
    pub fn message(&self) -> v1::Repository {
        let url = RepositoryUrl::S3(Box::new(S3Address { ca: None, ..self.address.clone() })).to_string();
        let s3 = self.credentials.as_ref().map(|credentials| v1::S3Credentials {
            access_key_id: credentials.access_key_id.to_string(),
            secret_access_key: credentials.secret_access_key.to_string(),
            session_token: credentials
                .session_token
                .as_ref()
                .map(|token| token.to_string())
                .unwrap_or_default(),
        });
        let key = self.key.as_ref().map(|key| key.to_string()).unwrap_or_default();
        v1::Repository { url, key, s3, ..v1::Repository::default() }
    }
}

/// The address of a location, without authorities.
///
/// # Errors
/// What of it cannot be an address.
pub fn address(s3: &S3) -> anyhow::Result<S3Address> {
    let mut text = format!("s3://{}", s3.bucket);
    if !s3.prefix.is_empty() {
        text = format!("{text}/{}", s3.prefix);
    }
    let mut query = Vec::new();
    if !s3.endpoint.is_empty() {
        query.push(format!("endpoint={}", s3.endpoint));
    }
    if !s3.region.is_empty() {
        query.push(format!("region={}", s3.region));
    }
    if s3.path_style {
        query.push("path-style=true".into());
    }
    if !query.is_empty() {
        text = format!("{text}?{}", query.join("&"));
    }
    match RepositoryUrl::parse(&text).with_context(|| format!("the location's address {text}"))? {
        RepositoryUrl::S3(address) => Ok(*address),
        _ => anyhow::bail!("{text} is no address of a bucket"),
    }
}

/// The text of a Secret of the controller's namespace.
async fn secret_text(context: &Context, name: &SecretName, key: &str) -> anyhow::Result<Zeroizing<String>> {
    let namespace = &context.settings.namespace;
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let secret =
        api.get_opt(&name.name).await.with_context(|| format!("read Secret {namespace}/{}", name.name))?;
    let secret = secret.with_context(|| format!("there is no Secret {namespace}/{}: make it", name.name))?;
    let mut data = secret.data.unwrap_or_default();
    let bytes = data
        .remove(key)
        .with_context(|| format!("Secret {namespace}/{} has no key `{key}`: add it", name.name))?;
    let text = String::from_utf8(bytes.0)
        .ok()
        .with_context(|| format!("`{key}` of Secret {namespace}/{} is no text", name.name))?;
    Ok(Zeroizing::new(text))
}

async fn credentials(context: &Context, name: &SecretName) -> anyhow::Result<StaticCredentials> {
    let text = async |key: &str| {
        secret_text(context, name, key)
            .await
            .map(|text| Zeroizing::new(text.trim_end_matches('\n').to_owned()))
    };
    Ok(StaticCredentials {
        access_key_id: text("accessKeyId").await?,
        secret_access_key: text("secretAccessKey").await?,
        session_token: text("sessionToken").await.ok(),
    })
}

fn authorities_file(pem: &str) -> anyhow::Result<NamedTempFile> {
    let mut file = NamedTempFile::new().context("make a file for the location's authorities")?;
    file.write_all(pem.as_bytes()).context("write the location's authorities")?;
    Ok(file)
}
