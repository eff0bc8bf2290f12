//! Which repositories operations may name. What no rule names is refused.
//!
//! An address decides where the agent connects to and which directory it writes, so a rule compares parsed addresses, never their text.

use std::fmt;
use std::str::FromStr;

use coffer_store::{RepositoryUrl, S3Address};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An allowed place for repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryRule {
    /// `s3://`: any bucket of any server.
    AnyS3,
    /// `s3://?endpoint=URL`: any bucket of one server.
    Server(String),
    /// `s3://bucket/prefix?endpoint=URL`: this prefix and what lies below it, on this server (AWS without `endpoint`).
    Bucket(Box<S3Address>),
    /// `file:///dir`: this directory and what lies below it.
    Directory(RepositoryUrl),
}

impl RepositoryRule {
    /// Whether an operation may use the repository at `url`.
    pub fn allows(&self, url: &RepositoryUrl) -> bool {
        match (self, url) {
            (RepositoryRule::AnyS3, RepositoryUrl::S3(_)) => true,
            (RepositoryRule::Server(endpoint), RepositoryUrl::S3(address)) => {
                address.endpoint.as_ref() == Some(endpoint)
            }
            (RepositoryRule::Bucket(allowed), RepositoryUrl::S3(address)) => {
                address.endpoint == allowed.endpoint
                    && address.bucket == allowed.bucket
                    && is_below(&address.prefix, &allowed.prefix)
            }
            (
                RepositoryRule::Directory(RepositoryUrl::File { root: allowed }),
                RepositoryUrl::File { root },
            ) => root.starts_with(allowed),
            _ => false,
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
        // Texts are not repeated: someone may have written credentials into one.
        let parse = |text: &str| {
            RepositoryUrl::parse(text).map_err(|error| {
                format!("{error}; \"s3://\" allows every bucket, \"s3://?endpoint=https://host\" every bucket of a server")
            })
        };
        if text == "s3://" {
            return Ok(RepositoryRule::AnyS3);
        }
        if let Some((_, query)) = text.split_once('?')
            && query.split('&').any(|part| !part.starts_with("endpoint="))
        {
            return Err("of all switches a rule for repositories takes `endpoint` only".into());
        }
        if let Some(query) = text.strip_prefix("s3://?") {
            // Any bucket will do to read the endpoint as every address is read.
            let RepositoryUrl::S3(address) = parse(&format!("s3://bucket?{query}"))? else {
                return Err("a server speaks S3".into());
            };
            let hint = "write \"s3://?endpoint=https://host\", or \"s3://\" for every server";
            return address.endpoint.map(RepositoryRule::Server).ok_or_else(|| hint.to_owned());
        }
        match parse(text)? {
            RepositoryUrl::S3(address) => Ok(RepositoryRule::Bucket(address)),
            url => Ok(RepositoryRule::Directory(url)),
        }
    }
}

impl fmt::Display for RepositoryRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RepositoryRule::AnyS3 => formatter.write_str("s3://"),
            RepositoryRule::Server(endpoint) => write!(formatter, "s3://?endpoint={endpoint}"),
            RepositoryRule::Bucket(address) => address.fmt(formatter),
            RepositoryRule::Directory(url) => url.fmt(formatter),
        }
    }
}

impl Serialize for RepositoryRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RepositoryRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
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
            assert_eq!(rule.allows(&url), expected, "{rule} and {url}");
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
}
