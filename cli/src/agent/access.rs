//! What opens the repository at an agent: the key file's text and credentials travel in the message, unless the agent has its own.
//!
//! Nothing of this is ever printed, logged or written down.

use coffer_format::KeyFile;
use coffer_proto::agent::v1;
use coffer_store::{RepositoryUrl, S3Address};

use super::options::AgentOptions;

/// What opens a repository at an agent.
pub(crate) struct Access<'a> {
    /// As given with `--repo`.
    pub(crate) url: &'a str,
    /// The key that travels.
    pub(crate) key: Option<&'a KeyFile>,
}

impl Access<'_> {
    /// The message; it holds secrets.
    pub(crate) fn message(&self, options: &AgentOptions) -> v1::Repository {
        repository(self.url, self.key, options, environment)
    }
}

/// The message that lets an agent open the repository. `variable` reads this process's environment.
fn repository(
    url: &str,
    key: Option<&KeyFile>,
    options: &AgentOptions,
    variable: impl Fn(&str) -> Option<String>,
) -> v1::Repository {
    let key_name = options.agent_key_name.clone().unwrap_or_default();
    let key = key.filter(|_| key_name.is_empty()).map(|key| key.encode().to_string()).unwrap_or_default();
    let credentials_name = options.agent_credentials_name.clone().unwrap_or_default();
    let wants_s3 = url.starts_with("s3://") && credentials_name.is_empty();
    let s3 = wants_s3.then(|| credentials(variable)).flatten();
    v1::Repository { url: as_sent(url), key, key_name, s3, credentials_name }
}

/// The address without `ca`, which is a file of this machine: agents have authorities of their own in their settings.
fn as_sent(url: &str) -> String {
    match RepositoryUrl::parse(url) {
        Ok(RepositoryUrl::S3(address)) if address.ca.is_some() => {
            RepositoryUrl::S3(Box::new(S3Address { ca: None, ..*address })).to_string()
        }
        _ => url.to_owned(),
    }
}

/// Credentials of this process's environment; without them the agent takes its own.
fn credentials(variable: impl Fn(&str) -> Option<String>) -> Option<v1::S3Credentials> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    Some(v1::S3Credentials {
        access_key_id: set("AWS_ACCESS_KEY_ID")?,
        secret_access_key: set("AWS_SECRET_ACCESS_KEY")?,
        session_token: set("AWS_SESSION_TOKEN").unwrap_or_default(),
    })
}

/// Reads this process's environment.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(key_name: Option<&str>, credentials_name: Option<&str>) -> AgentOptions {
        AgentOptions {
            agent: Vec::new(),
            agent_ca: None,
            agent_cert: None,
            agent_key: None,
            agent_server_name: None,
            agent_patience: 1,
            agent_key_name: key_name.map(str::to_owned),
            agent_credentials_name: credentials_name.map(str::to_owned),
        }
    }

    fn set(name: &str) -> Option<String> {
        match name {
            "AWS_ACCESS_KEY_ID" => Some("id".into()),
            "AWS_SECRET_ACCESS_KEY" => Some("secret".into()),
            _ => None,
        }
    }

    #[test]
    fn credentials_travel_to_object_stores_only_and_not_where_the_agent_has_its_own() {
        let sent = repository("s3://b/p", None, &options(None, None), set).s3.unwrap();
        assert_eq!((sent.access_key_id.as_str(), sent.session_token.as_str()), ("id", ""));
        assert_eq!(repository("file:///r", None, &options(None, None), set).s3, None);
        let named = repository("s3://b/p", None, &options(Some("k"), Some("c")), set);
        assert_eq!((named.s3, named.credentials_name.as_str(), named.key_name.as_str()), (None, "c", "k"));
        let with_ca = "s3://b-1/p?endpoint=https://h&ca=/etc/mine.crt&region=r";
        let sent = repository(with_ca, None, &options(None, None), set).url;
        assert_eq!(sent, "s3://b-1/p?endpoint=https://h&region=r");
        let half = |name: &str| set(name).filter(|_| name == "AWS_ACCESS_KEY_ID");
        assert_eq!(repository("s3://b/p", None, &options(None, None), half).s3, None);
    }
}
