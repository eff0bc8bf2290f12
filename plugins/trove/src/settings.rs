//! What the plugin is told by its environment: the variables that OpenStack's own clients read. Never by its command line, which everybody sees.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

/// Who the plugin is to Keystone.
pub(crate) enum Identity {
    /// An application credential: it has its project.
    Application {
        /// Its id.
        id: String,
        /// Its secret.
        secret: Zeroizing<String>,
    },
    /// A user of a project.
    Password {
        /// The user's name.
        user: String,
        /// The user's domain.
        user_domain: String,
        /// The password.
        password: Zeroizing<String>,
        /// The project's name.
        project: String,
        /// The project's domain.
        project_domain: String,
    },
}

/// All settings.
pub(crate) struct Settings {
    /// Keystone, up to `/v3`.
    pub(crate) auth_url: Url,
    /// Who.
    pub(crate) identity: Identity,
    /// Region of the catalogue; any where `None`.
    pub(crate) region: Option<String>,
    /// `public` or `internal`.
    pub(crate) interface: String,
    /// Authorities of the servers' certificates (PEM); the system's where `None`.
    pub(crate) authorities: Option<PathBuf>,
    /// Between two looks at work that is being done.
    pub(crate) poll: Duration,
}

impl Settings {
    /// Reads `variable`s.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let needed = |name: &str| {
            given(name).ok_or_else(|| format!("{name} is not set; the plugin needs it to reach Keystone"))
        };
        let identity = match given("OS_APPLICATION_CREDENTIAL_ID") {
            Some(id) => {
                Identity::Application { id, secret: needed("OS_APPLICATION_CREDENTIAL_SECRET")?.into() }
            }
            None => Identity::Password {
                user: needed("OS_USERNAME")?,
                user_domain: given("OS_USER_DOMAIN_NAME").unwrap_or_else(|| "Default".into()),
                password: needed("OS_PASSWORD")?.into(),
                project: needed("OS_PROJECT_NAME")?,
                project_domain: given("OS_PROJECT_DOMAIN_NAME").unwrap_or_else(|| "Default".into()),
            },
        };
        let poll = given("TROVE_POLL_MILLISECONDS").map_or(Ok(5000), |text| text.parse::<u64>());
        let poll = poll.ok().filter(|poll| (50..=60_000).contains(poll));
        Ok(Settings {
            auth_url: auth_url(&needed("OS_AUTH_URL")?)?,
            identity,
            region: given("OS_REGION_NAME"),
            interface: interface(given("OS_INTERFACE"))?,
            authorities: given("OS_CACERT").map(PathBuf::from),
            poll: Duration::from_millis(poll.ok_or("TROVE_POLL_MILLISECONDS is a number from 50 to 60000")?),
        })
    }
}

fn interface(given: Option<String>) -> Result<String, String> {
    let interface = given.unwrap_or_else(|| "public".into());
    let interface = interface.strip_suffix("URL").unwrap_or(&interface).to_owned();
    match interface.as_str() {
        "public" | "internal" => Ok(interface),
        other => Err(format!("OS_INTERFACE is {other:?}; write public or internal")),
    }
}

/// The address of Keystone's version 3, whether `/v3` was written or not.
fn auth_url(text: &str) -> Result<Url, String> {
    let wrong = |detail: &str| format!("OS_AUTH_URL {detail}; write https://HOST/v3");
    let mut url = Url::parse(text).map_err(|error| wrong(&format!("is no address: {error}")))?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err(wrong("is no address of a server"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong("has a user, a password or a query in it"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&if path.ends_with("/v3") { path } else { format!("{path}/v3") });
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(extra: &[(&str, &str)]) -> Result<Settings, String> {
        let mut values: HashMap<&str, &str> = [
            ("OS_AUTH_URL", "http://k:5000"),
            ("OS_USERNAME", "u"),
            ("OS_PASSWORD", "p"),
            ("OS_PROJECT_NAME", "x"),
        ]
        .into();
        values.extend(extra.iter().copied());
        Settings::read(|name| values.get(name).map(|&value| value.to_owned()))
    }

    #[test]
    fn addresses_of_keystone_end_with_its_version() {
        let check = |given: &str, url: &str| {
            assert_eq!(read(&[("OS_AUTH_URL", given)]).expect("settings").auth_url.as_str(), url);
        };
        check("http://k:5000", "http://k:5000/v3");
        check("http://k:5000/v3/", "http://k:5000/v3");
        check("https://k/identity", "https://k/identity/v3");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_their_name() {
        let check = |name: &str, value: &str| {
            let error = read(&[(name, value)]).err().unwrap_or_else(|| panic!("{name}={value} was taken"));
            assert!(error.contains(name), "{error}");
        };
        check("OS_AUTH_URL", "");
        check("OS_AUTH_URL", "ftp://k");
        check("OS_AUTH_URL", "http://u:p@k");
        check("OS_PASSWORD", "");
        check("OS_INTERFACE", "admin");
        check("TROVE_POLL_MILLISECONDS", "0");
    }
}
