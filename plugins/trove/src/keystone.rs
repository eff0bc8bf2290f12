//! Keystone version 3: a token, and where Trove is. A token that is refused is replaced once.

use coffer_plugin_sdk::{Failure, Reason};
use hyper::Method;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use crate::http::Http;
use crate::settings::{Identity, Settings};

/// What a token gives.
#[derive(Clone)]
pub(crate) struct Access {
    /// For the header `X-Auth-Token`.
    pub(crate) token: HeaderValue,
    /// Trove's address, up to the project.
    pub(crate) trove: Url,
    /// The project's id.
    pub(crate) project: String,
    /// The project's name.
    pub(crate) project_name: String,
}

/// Gets tokens.
pub(crate) struct Keystone {
    settings: Settings,
    current: Mutex<Option<Access>>,
}

impl Keystone {
    pub(crate) fn new(settings: Settings) -> Self {
        Keystone { settings, current: Mutex::new(None) }
    }

    /// A token: the one at hand, or a new one.
    pub(crate) async fn access(&self, http: &Http) -> Result<Access, Failure> {
        let mut current = self.current.lock().await;
        if let Some(access) = &*current {
            return Ok(access.clone());
        }
        let access = self.authenticate(http).await?;
        *current = Some(access.clone());
        Ok(access)
    }

    /// Gives up a token that was refused; one that came meanwhile stays.
    pub(crate) async fn refused(&self, token: &HeaderValue) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|access| access.token == *token) {
            *current = None;
        }
    }

    async fn authenticate(&self, http: &Http) -> Result<Access, Failure> {
        let mut url = self.settings.auth_url.clone();
        url.set_path(&format!("{}/auth/tokens", url.path()));
        let answer = http.send(Method::POST, &url, None, Some(&request(&self.settings.identity))).await?;
        match answer.status.as_u16() {
            201 => {}
            401 | 403 => {
                let text = "Keystone refuses the credential; check it and its project";
                return Err(Failure::new(Reason::Denied, text));
            }
            status @ (400 | 404) => {
                let text = format!("Keystone answers {status}; check OS_AUTH_URL and the names of domains");
                return Err(Failure::new(Reason::Denied, text));
            }
            status => return Err(Failure::new(Reason::Unreachable, format!("Keystone answers {status}"))),
        }
        let broken =
            |what: &str| Failure::new(Reason::Unreachable, format!("Keystone's answer has no {what}"));
        let mut token = answer.headers.get("X-Subject-Token").cloned().ok_or_else(|| broken("token"))?;
        token.set_sensitive(true);
        let content = &answer.body["token"];
        let project = &content["project"];
        Ok(Access {
            token,
            trove: self.trove(&content["catalog"])?,
            project: project["id"].as_str().ok_or_else(|| broken("project"))?.to_owned(),
            project_name: project["name"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// Trove's address in the catalogue.
    fn trove(&self, catalogue: &Value) -> Result<Url, Failure> {
        let services = catalogue.as_array().into_iter().flatten();
        let endpoints = services
            .filter(|service| service["type"] == "database")
            .flat_map(|service| service["endpoints"].as_array().into_iter().flatten());
        let region = |endpoint: &&Value| {
            let wanted = self.settings.region.as_deref();
            wanted.is_none_or(|region| endpoint["region_id"] == region || endpoint["region"] == region)
        };
        let mut found = endpoints
            .filter(|endpoint| endpoint["interface"] == self.settings.interface.as_str())
            .filter(region);
        let missing = || {
            let region = self.settings.region.as_deref().unwrap_or("any region");
            let text = format!(
                "the catalogue has no {} endpoint of type `database` in {region}",
                self.settings.interface
            );
            Failure::new(Reason::Denied, text)
        };
        let endpoint = found.next().ok_or_else(missing)?;
        if found.next().is_some() {
            return Err(Failure::new(
                Reason::Denied,
                "the catalogue has several endpoints of Trove; set OS_REGION_NAME",
            ));
        }
        let url = endpoint["url"].as_str().and_then(|url| Url::parse(url.trim_end_matches('/')).ok());
        url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()).ok_or_else(missing)
    }
}

fn request(identity: &Identity) -> Value {
    match identity {
        Identity::Application { id, secret } => json!({"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential": {"id": id, "secret": secret.as_str()},
        }}}),
        Identity::Password { user, user_domain, password, project, project_domain } => json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"name": user_domain}, "password": password.as_str(),
            }}},
            "scope": {"project": {"name": project, "domain": {"name": project_domain}}},
        }}),
    }
}
