//! What the rules for repositories say of an address that a caller names: refused, or allowed with what the agent lends to it. Pure.
//!
//! Nothing is lent that no rule lends: files of this node, the agent's own credentials, servers without TLS, addresses of this host.

use std::net::IpAddr;
use std::path::PathBuf;

use coffer_store::{Reach, RepositoryUrl};

use super::RepositoryRule;

/// What the rules that allow an address lend to whoever names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// The agent's own credentials may be used.
    pub own_credentials: bool,
    /// A file of further authorities to trust.
    pub ca: Option<PathBuf>,
    /// Where connections may lead.
    pub reach: Reach,
    /// The allowed directory above a directory.
    pub below: Option<PathBuf>,
}

/// Why an address may not be named. No variant holds what a caller could have taken for the place of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryRefusal {
    /// It names a file of this node.
    #[error(
        "`ca` in a repository's address names a file of the agent's node, and callers name none: leave it out; authorities stand in the \
         agent's settings, as `ca` of an entry of `repositories`"
    )]
    NamesFile,
    /// No rule is about it.
    #[error(
        "repository {0} is not among those that this agent's configuration allows; add a rule there, or give another"
    )]
    NotAllowed(RepositoryUrl),
    /// Its server has no TLS.
    #[error(
        "repository {0} is spoken to without TLS, which this agent's configuration allows to servers that it names only; name the server \
         there, or give an address with https"
    )]
    PlainHttp(RepositoryUrl),
    /// Its server is this host, a neighbour by a link, or a cloud's metadata.
    #[error(
        "repository {url} is at {what}, which this agent's configuration allows to servers that it names only; name the server there, or \
         give another"
    )]
    Inner {
        /// The address.
        url: RepositoryUrl,
        /// What its host is.
        what: &'static str,
    },
}

/// What the rules say about the repository at `url`. Names that lead to this host are found out where the connection is made, by [`Grant::reach`].
///
/// # Errors
/// [`RepositoryRefusal`].
pub fn judge(rules: &[RepositoryRule], url: &RepositoryUrl) -> Result<Grant, RepositoryRefusal> {
    let endpoint = match url {
        RepositoryUrl::S3(address) if address.ca.is_some() => return Err(RepositoryRefusal::NamesFile),
        RepositoryUrl::S3(address) => address.endpoint.as_deref(),
        _ => None,
    };
    let about: Vec<&RepositoryRule> = rules.iter().filter(|rule| rule.is_about(url)).collect();
    if about.is_empty() {
        return Err(RepositoryRefusal::NotAllowed(url.clone()));
    }
    let named = about.iter().any(|rule| rule.names_server());
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
        && !named
        && !about.iter().any(|rule| rule.plain_http)
    {
        return Err(RepositoryRefusal::PlainHttp(url.clone()));
    }
    let host = endpoint.map(host_of);
    let reach = Reach::Outside { named: host.into_iter().filter(|_| named).map(str::to_owned).collect() };
    // A name is resolved where the connection is made; an address can be told now.
    if let Some((host, address)) = host.and_then(|host| Some((host, address_of(host)?))) {
        let inner = |what| RepositoryRefusal::Inner { url: url.clone(), what };
        reach.check(host, address).map_err(inner)?;
    }
    let directories = about.iter().filter_map(|rule| rule.directory());
    Ok(Grant {
        own_credentials: about.iter().any(|rule| rule.own_credentials),
        ca: about.iter().find_map(|rule| rule.ca.clone()),
        reach,
        below: directories.max_by_key(|path| path.as_os_str().len()).map(Into::into),
    })
}

/// The host of `http(s)://host[:port][/path]`, which the address of a repository has checked.
fn host_of(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    match rest.find(']') {
        Some(end) => rest.get(..=end).unwrap_or(rest),
        None => rest.split([':', '/']).next().unwrap_or(rest),
    }
}

fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(rules: &str, url: &str) -> Result<Grant, RepositoryRefusal> {
        #[derive(serde::Deserialize)]
        struct File {
            rules: Vec<RepositoryRule>,
        }
        let file: File = toml::from_str(&format!("rules = [{rules}]")).unwrap();
        judge(&file.rules, &RepositoryUrl::parse(url).unwrap())
    }

    #[test]
    fn callers_name_no_file_whatever_the_rules_say() {
        for path in ["/dev/zero", "/etc/ssl/ca.crt", "/no/such/file"] {
            let url = format!("s3://bucket?ca={path}");
            let refused = said("{ address = 's3://', ca = '/etc/coffer/ca.crt' }", &url).unwrap_err();
            assert_eq!(refused, RepositoryRefusal::NamesFile);
            assert!(!refused.to_string().contains(path), "{refused}");
        }
    }

    #[test]
    fn own_credentials_go_to_where_a_rule_says_so() {
        let lent = |rules: &str, url: &str| said(rules, url).unwrap().own_credentials;
        assert!(!lent("'s3://'", "s3://bucket"));
        let rules = "'s3://', { address = 's3://ours', own_credentials = true }";
        assert!(lent(rules, "s3://ours/below") && !lent(rules, "s3://theirs"));
        assert!(!lent(rules, "s3://ours?endpoint=https://theirs.example"));
    }

    #[test]
    fn plain_http_goes_to_servers_that_a_rule_names_or_allows() {
        let plain = "s3://bucket?endpoint=http://minio.example:9000";
        assert!(matches!(said("'s3://'", plain), Err(RepositoryRefusal::PlainHttp(_))));
        assert!(said("'s3://?endpoint=http://minio.example:9000'", plain).is_ok());
        assert!(said("'s3://bucket?endpoint=http://minio.example:9000'", plain).is_ok());
        assert!(said("{ address = 's3://', plain_http = true }", plain).is_ok());
        assert!(said("'s3://?endpoint=https://minio.example:9000'", plain).is_err());
    }

    #[test]
    fn addresses_of_this_host_and_its_cloud_are_for_rules_that_name_them() {
        for host in
            ["127.0.0.1:9000", "[::1]:9000", "169.254.169.254", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"]
        {
            let url = format!("s3://bucket?endpoint=https://{host}");
            assert!(matches!(said("'s3://'", &url), Err(RepositoryRefusal::Inner { .. })), "{host}");
            assert!(said(&format!("'s3://?endpoint=https://{host}'"), &url).is_ok(), "{host}");
        }
        let grant = said("'s3://'", "s3://bucket?endpoint=https://minio.example").unwrap();
        assert_eq!(grant.reach, Reach::Outside { named: Vec::new() });
        let grant = said("'s3://?endpoint=https://minio.example'", "s3://b12?endpoint=https://minio.example")
            .unwrap();
        assert_eq!(grant.reach, Reach::Outside { named: vec!["minio.example".into()] });
    }

    #[test]
    fn a_directory_is_opened_below_the_deepest_that_is_allowed() {
        let grant = said("'file:///srv', 'file:///srv/backup'", "file:///srv/backup/one").unwrap();
        assert_eq!(grant.below, Some("/srv/backup".into()));
        assert!(matches!(said("'file:///srv'", "file:///etc"), Err(RepositoryRefusal::NotAllowed(_))));
    }
}
