//! Which repositories operations may name, and what the agent lends to them. What no rule names is refused.
//!
//! An address decides where the agent connects to and which directory it writes, so a rule compares parsed addresses, never their text. What a
//! caller names is only the address: files of this node (`ca`), the agent's own credentials and addresses of this host are lent by rules alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use coffer_store::{RepositoryUrl, S3Address};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An allowed place for repositories, and what goes with it. Written as its address, or as a table with `address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRule {
    place: Place,
    pub(super) own_credentials: bool,
    pub(super) plain_http: bool,
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// `s3://`: any bucket of any server.
    AnyS3,
    /// `s3://?endpoint=URL`: any bucket of one server.
    Server(String),
    /// `s3://bucket/prefix?endpoint=URL`: this prefix and what lies below it, on this server (AWS without `endpoint`).
    Bucket(Box<S3Address>),
    /// `file:///dir`: this directory and what lies below it.
    Directory(PathBuf),
}

/// A rule as it is written where it lends something.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: String,
    /// The agent's own credentials may be used there.
    #[serde(default)]
    own_credentials: bool,
    /// Servers without TLS are allowed.
    #[serde(default)]
    plain_http: bool,
    /// A file of further authorities to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

impl RepositoryRule {
    /// Whether the repository at `url` is one that this rule is about.
    pub(super) fn is_about(&self, url: &RepositoryUrl) -> bool {
        match (&self.place, url) {
            (Place::AnyS3, RepositoryUrl::S3(_)) => true,
            (Place::Server(endpoint), RepositoryUrl::S3(address)) => {
                address.endpoint.as_ref() == Some(endpoint)
            }
            (Place::Bucket(allowed), RepositoryUrl::S3(address)) => {
                address.endpoint == allowed.endpoint
                    && address.bucket == allowed.bucket
                    && is_below(&address.prefix, &allowed.prefix)
            }
            (Place::Directory(allowed), RepositoryUrl::File { root }) => root.starts_with(allowed),
            _ => false,
        }
    }

    /// Whether it names the server that it is about.
    pub(super) fn names_server(&self) -> bool {
        match &self.place {
            Place::Server(_) => true,
            Place::Bucket(address) => address.endpoint.is_some(),
            Place::AnyS3 | Place::Directory(_) => false,
        }
    }

    /// The directory that it is about.
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// The file of further authorities to trust.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    fn check(self) -> Result<Self, String> {
        let lends = self.own_credentials || self.plain_http || self.ca.is_some();
        if lends && self.directory().is_some() {
            return Err(
                "`own_credentials`, `plain_http` and `ca` are about servers; a directory has none".into()
            );
        }
        match &self.ca {
            Some(path) if !path.is_absolute() => {
                Err(format!("`ca` = {}: write an absolute path", path.display()))
            }
            _ => Ok(self),
        }
    }
}

/// Whether the key prefix `prefix` is `allowed` or continues it after a slash.
fn is_below(prefix: &str, allowed: &str) -> bool {
    match prefix.strip_prefix(allowed) {
        Some(rest) => allowed.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

impl FromStr for RepositoryRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = place(text)?;
        Ok(RepositoryRule { place, own_credentials: false, plain_http: false, ca: None })
    }
}

fn place(text: &str) -> Result<Place, String> {
    // Texts are not repeated: someone may have written credentials into one.
    let parse = |text: &str| {
        RepositoryUrl::parse(text).map_err(|error| {
            format!("{error}; \"s3://\" allows every bucket, \"s3://?endpoint=https://host\" every bucket of a server")
        })
    };
    if text == "s3://" {
        return Ok(Place::AnyS3);
    }
    if let Some((_, query)) = text.split_once('?')
        && query.split('&').any(|part| !part.starts_with("endpoint="))
    {
        return Err("of all switches the address of a rule for repositories takes `endpoint` only".into());
    }
    if let Some(query) = text.strip_prefix("s3://?") {
        // Any bucket will do to read the endpoint as every address is read.
        let RepositoryUrl::S3(address) = parse(&format!("s3://bucket?{query}"))? else {
            return Err("a server speaks S3".into());
        };
        let hint = "write \"s3://?endpoint=https://host\", or \"s3://\" for every server";
        return address.endpoint.map(Place::Server).ok_or_else(|| hint.to_owned());
    }
    match parse(text)? {
        RepositoryUrl::S3(address) => Ok(Place::Bucket(address)),
        RepositoryUrl::File { root } => Ok(Place::Directory(root)),
        _ => Err("no rule can be about this kind of repository".into()),
    }
}

impl fmt::Display for RepositoryRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::AnyS3 => formatter.write_str("s3://"),
            Place::Server(endpoint) => write!(formatter, "s3://?endpoint={endpoint}"),
            Place::Bucket(address) => address.fmt(formatter),
            Place::Directory(root) => RepositoryUrl::File { root: root.clone() }.fmt(formatter),
        }
    }
}

impl TryFrom<Table> for RepositoryRule {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let Table { address, own_credentials, plain_http, ca } = table;
        RepositoryRule { place: place(&address)?, own_credentials, plain_http, ca }.check()
    }
}

impl Serialize for RepositoryRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (own_credentials, plain_http, ca) = (self.own_credentials, self.plain_http, self.ca.clone());
        if !own_credentials && !plain_http && ca.is_none() {
            return serializer.collect_str(self);
        }
        Table { address: self.to_string(), own_credentials, plain_http, ca }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RepositoryRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RepositoryRule;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an address such as \"s3://bucket\", or a table with `address`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RepositoryRule, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<RepositoryRule, M::Error> {
                Table::deserialize(MapAccessDeserializer::new(map))?.try_into().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIO: &str = "endpoint=https://minio.example:9000";

    #[test]
    fn a_rule_allows_its_own_place_and_what_lies_below() {
        let check = |rule: &str, url: &str, expected: bool| {
            let rule: RepositoryRule = rule.parse().unwrap();
            let url = RepositoryUrl::parse(url).unwrap();
            assert_eq!(rule.is_about(&url), expected, "{rule} and {url}");
            assert_eq!(rule.to_string().parse(), Ok(rule));
        };
        let on_minio = |place: &str| format!("{place}?{MINIO}");
        check("s3://", "s3://any/prefix", true);
        check("s3://", &on_minio("s3://any"), true);
        check("s3://", "file:///srv/backup", false);
        check(&on_minio("s3://"), &on_minio("s3://any/where"), true);
        check(&on_minio("s3://"), "s3://any/where", false);
        check(&on_minio("s3://"), "s3://any?endpoint=https://minio.example:9001", false);
        check("s3://bucket", "s3://bucket/below", true);
        check("s3://bucket", "s3://bucket2", false);
        check("s3://bucket", &on_minio("s3://bucket"), false);
        check("s3://bucket/team", "s3://bucket/team", true);
        check("s3://bucket/team", "s3://bucket/team/below", true);
        check("s3://bucket/team", "s3://bucket/team2", false);
        check("s3://bucket/team", "s3://bucket", false);
        check(&on_minio("s3://bucket/team"), &on_minio("s3://bucket/team/a"), true);
        check("file:///srv/backup", "file:///srv/backup/one", true);
        check("file:///srv/backup", "file:///srv/backup2", false);
        check("file:///srv/backup", "file:///srv", false);
        check("file:///srv/backup", "s3://srv/backup", false);
    }

    #[test]
    fn what_is_no_rule_is_refused_and_credentials_are_not_repeated() {
        for wrong in [
            "",
            "s3",
            "/srv",
            "file://",
            "file:///srv/../etc",
            "http://host/",
            "s3://?",
            "s3://?endpoint=",
            "s3://bucket?region=x",
            "s3://AKIAEXAMPLE:topsecret@bucket/prefix",
            "s3://bucket?endpoint=https://AKIAEXAMPLE:topsecret@host",
        ] {
            let error = wrong.parse::<RepositoryRule>().unwrap_err();
            assert!(!error.contains("topsecret"), "{error}");
        }
    }

    #[test]
    fn what_a_rule_lends_stands_in_a_table() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            repositories: Vec<RepositoryRule>,
        }
        let read = |text: &str| toml::from_str::<File>(&format!("repositories = [{text}]"));
        for text in [
            "'s3://', { address = 's3://bucket', own_credentials = true }",
            "{ address = 's3://?endpoint=https://minio.example', ca = '/etc/ca.crt' }, 's3://bucket'",
            "{ address = 's3://', plain_http = true }",
        ] {
            let file = read(text).unwrap();
            assert_eq!(toml::from_str::<File>(&toml::to_string(&file).unwrap()).unwrap(), file);
        }
        for (text, word) in [
            ("{ address = 's3://bucket', lends = true }", "unknown field `lends`"),
            ("{ own_credentials = true }", "address"),
            ("{ address = 'file:///srv', own_credentials = true }", "about servers"),
            ("{ address = 's3://bucket', ca = 'ca.crt' }", "absolute"),
            ("{ address = 's3://bucket?ca=/x' }", "`endpoint` only"),
            ("7", "an address such as"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
