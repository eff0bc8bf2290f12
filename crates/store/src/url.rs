//! Repository addresses: text a person wrote -> a type that cannot be wrong -> an open store.
//!
//! Credentials never belong into an address; nothing here may print one.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

mod error;
mod file_url;
mod s3;
mod switches;
mod values;

pub use error::UrlError;
pub(crate) use file_url::file_url;
pub use s3::S3Address;
#[cfg(feature = "s3")]
pub(crate) use switches::PART_MIB_MIN;
pub use values::{Checksum, PREFIX_LEN_MAX, ServerEncryption, SignPayload};

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
