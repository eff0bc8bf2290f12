//! Where a repository lies and what opens it.

use std::fmt;
use std::str::FromStr;

use super::field::RequestError;
use super::secret::SecretText;
use crate::agent::v1;

const URL_LEN_MAX: usize = 2_048;
const KEY_TEXT_MAX: usize = 1 << 20;
const ACCESS_KEY_MAX: usize = 256;
const SECRET_KEY_MAX: usize = 1_024;
const TOKEN_MAX: usize = 64 << 10;
const NAME_LEN_MAX: usize = 253;

/// A repository and the caller's means to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryAccess {
    /// `s3://…` or `file:///…`: the text, of which nothing but its scheme and length was looked at.
    pub url: String,
    /// What opens it.
    pub key: KeySource,
    /// What the object store wants.
    pub s3: S3Source,
}

/// Where the key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// None: the repository is not encrypted, or only what needs no key is asked for.
    None,
    /// The text of a key file.
    Text(SecretText),
    /// A file in the agent's directory of the team's keys.
    Named(SecretName),
}

/// Where the object store's credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Source {
    /// The agent's own.
    Agent,
    /// These.
    Given(S3Keys),
    /// A file in the agent's directory of the team's credentials.
    Named(SecretName),
}

/// Credentials of an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// Names the key.
    pub access_key_id: SecretText,
    /// The key.
    pub secret_access_key: SecretText,
    /// Of temporary credentials.
    pub session_token: Option<SecretText>,
}

/// Name of a mounted file: letters, digits, `.`, `_` and `-`, not beginning with a dot; never a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName(String);

impl FromStr for SecretName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('.') {
            return Ok(SecretName(text.to_owned()));
        }
        Err("is no name of a mounted file: give letters, digits, `.`, `_` and `-`, not beginning with a dot")
    }
}

impl AsRef<str> for SecretName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<v1::Repository> for RepositoryAccess {
    type Error = RequestError;

    fn try_from(given: v1::Repository) -> Result<Self, RequestError> {
        // Secrets are taken over before anything can fail, so that they are wiped in any case.
        let (key, s3) = (SecretText::new(given.key), given.s3.map(SecretParts::from));
        let url = url(given.url)?;
        let key = key_source(key, &given.key_name)?;
        let s3 = s3_source(s3, &given.credentials_name)?;
        if s3 != S3Source::Agent && url.starts_with("file:") {
            return Err(RequestError::new(
                "repository.s3",
                "is of no use with a file:// repository: leave it out",
            ));
        }
        Ok(RepositoryAccess { url, key, s3 })
    }
}

struct SecretParts {
    access_key_id: SecretText,
    secret_access_key: SecretText,
    session_token: SecretText,
}

impl From<v1::S3Credentials> for SecretParts {
    fn from(given: v1::S3Credentials) -> Self {
        SecretParts {
            access_key_id: SecretText::new(given.access_key_id),
            secret_access_key: SecretText::new(given.secret_access_key),
            session_token: SecretText::new(given.session_token),
        }
    }
}

fn url(text: String) -> Result<String, RequestError> {
    let field = "repository.url";
    let printable = text.chars().all(|character| !character.is_control());
    let scheme = text.starts_with("s3://") || text.starts_with("file:///");
    match (text.is_empty(), scheme && printable, text.len() <= URL_LEN_MAX) {
        (true, ..) => Err(RequestError::new(field, "is missing: give s3://bucket/prefix")),
        // The text may hold what its writer took for the place of a password.
        (_, false, _) => Err(RequestError::new(field, "is no repository address: give s3://bucket/prefix")),
        (.., false) => Err(RequestError::new(field, format!("has more than {URL_LEN_MAX} bytes"))),
        _ => Ok(text),
    }
}

fn key_source(text: SecretText, name: &str) -> Result<KeySource, RequestError> {
    match (text.expose().is_empty(), name.is_empty()) {
        (true, true) => Ok(KeySource::None),
        (false, true) if text.expose().len() > KEY_TEXT_MAX => {
            Err(RequestError::new("repository.key", "is too long for the text of a key file"))
        }
        (false, true) => Ok(KeySource::Text(text)),
        (true, false) => secret_name("repository.key_name", name).map(KeySource::Named),
        (false, false) => Err(RequestError::new(
            "repository.key_name",
            "is given beside `repository.key`: give one of them",
        )),
    }
}

fn s3_source(given: Option<SecretParts>, name: &str) -> Result<S3Source, RequestError> {
    match (given, name.is_empty()) {
        (None, true) => Ok(S3Source::Agent),
        (None, false) => secret_name("repository.credentials_name", name).map(S3Source::Named),
        (Some(parts), true) => s3_keys(parts).map(S3Source::Given),
        (Some(_), false) => {
            let problem = "is given beside `repository.s3`: give one of them";
            Err(RequestError::new("repository.credentials_name", problem))
        }
    }
}

fn s3_keys(parts: SecretParts) -> Result<S3Keys, RequestError> {
    let SecretParts { access_key_id, secret_access_key, session_token } = parts;
    let session_token = (!session_token.expose().is_empty()).then_some(session_token);
    let keys = S3Keys { access_key_id, secret_access_key, session_token };
    keys.check().map_err(|(field, problem)| RequestError::new(format!("repository.s3.{field}"), problem))?;
    Ok(keys)
}

impl S3Keys {
    /// Fails with the field and what is wrong with it; for credentials that come from a file too.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let printable = |text: &SecretText| text.expose().bytes().all(|byte| byte.is_ascii_graphic());
        let fits =
            |text: &SecretText, len_max| (1..=len_max).contains(&text.expose().len()) && printable(text);
        if !fits(&self.access_key_id, ACCESS_KEY_MAX) {
            return Err(("access_key_id", "is missing, too long or not printable ASCII"));
        }
        if !fits(&self.secret_access_key, SECRET_KEY_MAX) {
            return Err(("secret_access_key", "is missing, too long or not printable ASCII"));
        }
        if self.session_token.as_ref().is_some_and(|token| !fits(token, TOKEN_MAX)) {
            return Err(("session_token", "is too long or not printable ASCII"));
        }
        Ok(())
    }
}

fn secret_name(field: &str, name: &str) -> Result<SecretName, RequestError> {
    name.parse().map_err(|problem: &str| RequestError::new(field, problem))
}
