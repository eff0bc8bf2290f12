//! Why text is no repository address.

use std::path::Path;

use super::file_url::file_url;
use super::switches::SWITCHES;

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

fn switch_names() -> String {
    SWITCHES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// What to write instead of text without a scheme.
fn hint(text: &str) -> String {
    match text.starts_with('/') {
        true => format!("write {}", file_url(Path::new(text))),
        false => "write file:///absolute/directory or s3://bucket/prefix".to_owned(),
    }
}
