//! Repository addresses: text a person wrote -> a type that cannot be wrong -> an open store.
//!
//! Credentials never belong into an address; nothing here may print one.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::credentials::StaticCredentials;
use crate::error::StoreError;
use crate::port::ObjectStore;
use crate::reach::Reach;

mod s3;

#[cfg(feature = "s3")]
pub(crate) use s3::PART_MIB_MIN;
pub use s3::{Checksum, PREFIX_LEN_MAX, S3Address, ServerEncryption, SignPayload};

/// What is not percent-encoded in the path of a `file://` address.
const PATH_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'~');

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepositoryUrl {
    /// `file:///abs/dir`
    File {
        /// The absolute directory.
        root: PathBuf,
    },
    /// `s3://bucket/prefix?...`
    S3(Box<S3Address>),
}

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Make the directory of a `file://` repository if it is missing. Only `init` wants this: on a disk that is not
    /// mounted, a made directory would hide the repository. Buckets are never made.
    pub create: bool,
    /// Once this is true, requests that wait for a server end with [`StoreError::Cancelled`] within a second.
    pub cancelled: Option<Arc<AtomicBool>>,
    /// Credentials of an `s3://` store; of environment, profile, web identity, container or instance where `None`.
    pub credentials: Option<StaticCredentials>,
    /// Which servers an `s3://` store may connect to.
    pub reach: Reach,
    /// A directory that a `file://` store must lie in or below: from there on no symbolic link is followed. `None`: links are followed.
    pub below: Option<PathBuf>,
}

/// Why text is no repository address, or cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// No `scheme://`.
    #[error("`{text}` is no repository address: {}", hint(text))]
    NoScheme {
        /// The text.
        text: String,
    },
    /// A scheme that Coffer does not know.
    #[error("`{scheme}://` is no kind of repository: write file:///absolute/directory or s3://bucket/prefix")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
    /// Something between `file://` and the path, or no path.
    #[error("`{text}` names no absolute directory: write file:///absolute/directory, with three slashes")]
    FileNotAbsolute {
        /// The text.
        text: String,
    },
    /// The path has something that a directory's address cannot have.
    #[error("`{text}` has {what}: {hint}")]
    FilePath {
        /// The text.
        text: String,
        /// What is wrong.
        what: &'static str,
        /// What to write instead.
        hint: &'static str,
    },
    /// The address of an S3 repository is malformed. The text is not repeated, as it may hold a secret.
    #[error("this s3:// address {what}: write s3://bucket/prefix?endpoint=https://host&region=name")]
    S3Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// A switch of an S3 address has no such value. The value is not repeated, as it may be a secret.
    #[error("`{name}` in this s3:// address {what}")]
    S3Switch {
        /// The switch.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// An S3 address has a switch that nobody knows.
    #[error("an s3:// address has no switch `{name}`; there are {}", switch_names())]
    S3UnknownSwitch {
        /// Its name, if it can be one.
        name: String,
    },
    /// This build has no store for S3.
    #[error("this build of Coffer has no S3 store (cargo feature `s3`)")]
    S3NotBuilt,
    /// This build has no store for directories.
    #[error("this build of Coffer has no store for directories (cargo feature `file`)")]
    FileNotBuilt,
}

impl RepositoryUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`UrlError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UrlError::NoScheme { text: text.to_owned() });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => parse_file(text, rest),
            "s3" => Ok(Self::S3(Box::new(S3Address::parse(text)?))),
            _ => Err(UrlError::UnknownScheme { scheme: scheme.to_owned() }),
        }
    }
}

impl std::str::FromStr for RepositoryUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { root } => f.write_str(&file_url(root)),
            Self::S3(address) => address.fmt(f),
        }
    }
}

/// Opens the store at `url`.
///
/// # Errors
/// [`StoreError::RootMissing`], [`StoreError::Url`] for what this build cannot serve, or what the store says.
pub fn open(url: &RepositoryUrl, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    match url {
        RepositoryUrl::File { root } => open_file(root, options),
        RepositoryUrl::S3(address) => open_s3(address, options),
    }
}

#[cfg(feature = "s3")]
fn open_s3(address: &S3Address, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let OpenOptions { create: _, below: _, cancelled, credentials, reach } = options;
    let credentials = credentials.map(crate::s3::provider);
    let tuning = crate::s3::Tuning { cancelled, credentials, reach, ..crate::s3::Tuning::default() };
    Ok(Arc::new(crate::s3::S3Store::open(address.clone(), tuning)?))
}

#[cfg(not(feature = "s3"))]
fn open_s3(_address: &S3Address, _options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Err(UrlError::S3NotBuilt.into())
}

#[cfg(feature = "file")]
fn open_file(root: &Path, options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Ok(Arc::new(crate::file::FileStore::open(root, options)?))
}

#[cfg(not(feature = "file"))]
fn open_file(_root: &Path, _options: OpenOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Err(UrlError::FileNotBuilt.into())
}

/// The address of a directory.
pub(crate) fn file_url(root: &Path) -> String {
    format!("file://{}", percent_encode(root.as_os_str().as_bytes(), PATH_ESCAPES))
}

fn parse_file(text: &str, path: &str) -> Result<RepositoryUrl, UrlError> {
    let path = path.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    if !path.starts_with('/') {
        return Err(UrlError::FileNotAbsolute { text: text.to_owned() });
    }
    let fault = |what, hint| Err(UrlError::FilePath { text: text.to_owned(), what, hint });
    if path.contains(['?', '#']) {
        return fault("a `?` or `#` in its path", "write %3F or %23 if the directory's name has one");
    }
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    if bytes.contains(&0) {
        return fault("a NUL in its path", "no directory has such a name");
    }
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    if parts.contains(&b"..".as_slice()) || parts.contains(&b".".as_slice()) {
        return fault("a `.` or `..` in its path", "write the directory's absolute path");
    }
    if parts.is_empty() {
        return fault("no directory below the root", "a repository needs a directory of its own");
    }
    let mut root = vec![b'/'];
    root.extend(parts.join(&b'/'));
    Ok(RepositoryUrl::File { root: PathBuf::from(OsString::from_vec(root)) })
}

fn switch_names() -> String {
    S3Address::switches().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// What to write instead of text without a scheme.
fn hint(text: &str) -> String {
    match text.starts_with('/') {
        true => format!("write {}", file_url(Path::new(text))),
        false => "write file:///absolute/directory or s3://bucket/prefix".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_and_shown_again() {
        let check = |text: &str, path: &[u8], shown: &str| {
            let url = RepositoryUrl::parse(text).unwrap();
            assert_eq!(url, RepositoryUrl::File { root: PathBuf::from(OsString::from_vec(path.to_vec())) });
            assert_eq!(url.to_string(), shown);
            assert_eq!(RepositoryUrl::parse(shown).unwrap(), url);
        };
        check("file:///srv/backup", b"/srv/backup", "file:///srv/backup");
        check("file://localhost/srv/backup", b"/srv/backup", "file:///srv/backup");
        check("FILE:///srv//backup/", b"/srv/backup", "file:///srv/backup");
        check("file:///a b/%2e%2Ehidden", b"/a b/..hidden", "file:///a%20b/..hidden");
        check("file:///%FF%3F", b"/\xff?", "file:///%FF%3F");
    }

    #[test]
    fn wrong_addresses_say_what_to_write() {
        let check = |text: &str, expected: &str| {
            let error = RepositoryUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("/srv/backup", "write file:///srv/backup");
        check("backup", "write file:///absolute/directory");
        check("./backup", "write file:///absolute/directory");
        check("", "write file:///absolute/directory");
        check("file:/srv", "write file:///absolute/directory");
        check("file://srv/backup", "three slashes");
        check("file://", "three slashes");
        check("file:///", "a directory of its own");
        check("file:///a/../b", "absolute path");
        check("file:///a/%2e%2e/b", "absolute path");
        check("file:///a?b", "%3F");
        check("file:///a%00b", "NUL");
        check("ftp://host/dir", "`ftp://` is no kind of repository");
    }
}
