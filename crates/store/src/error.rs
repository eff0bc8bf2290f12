//! The errors of every store, and what a caller should do about each.
//!
//! An error names the object and the request; it must never carry credentials or object content.

use std::io;
use std::path::PathBuf;

use crate::port::Operation;
use crate::url::UrlError;

/// Why a request to a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No object has this key.
    #[error("the store has no object `{key}`")]
    NotFound {
        /// The key that was asked for.
        key: String,
    },
    /// Another object has this key already; objects are write-once.
    #[error("object `{key}` exists with other content; objects are never overwritten")]
    Exists {
        /// The key that is taken.
        key: String,
    },
    /// The object is larger than an object of its kind may be.
    #[error("object `{key}` has {len} bytes, {len_max} at most were expected")]
    TooLarge {
        /// The object.
        key: String,
        /// Its length in bytes.
        len: u64,
        /// The caller's limit in bytes.
        len_max: u64,
    },
    /// The object ended before the range did.
    #[error("object `{key}` gave {got} of {wanted} bytes at offset {offset}")]
    Short {
        /// The object.
        key: String,
        /// Where the range began, in bytes.
        offset: u64,
        /// The bytes asked for.
        wanted: u64,
        /// The bytes there are.
        got: u64,
    },
    /// No upload has this id: completed, aborted, or begun by another instance of the store.
    #[error("the store has no open upload `{upload}` of `{key}`")]
    NoSuchUpload {
        /// The object it was for.
        key: String,
        /// The upload's id.
        upload: String,
    },
    /// The store is full or over its quota.
    #[error("no space left in the store to {operation} `{key}`: free space or raise the quota")]
    NoSpace {
        /// The request.
        operation: Operation,
        /// What it was about: a key or a prefix.
        key: String,
    },
    /// The store does not let us.
    #[error("the store denied to {operation} `{key}`: check permissions and credentials")]
    Denied {
        /// The request.
        operation: Operation,
        /// What it was about: a key or a prefix.
        key: String,
        /// The store's own answer.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The store failed in a way that passes by itself.
    #[error("the store was not available to {operation} `{key}`")]
    Unavailable {
        /// The request.
        operation: Operation,
        /// What it was about: a key or a prefix.
        key: String,
        /// The store's own answer.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Reading or writing failed below the store.
    #[error("cannot {operation} `{key}`")]
    Io {
        /// The request.
        operation: Operation,
        /// What it was about: a key or a prefix.
        key: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The request was given up because the caller asked for it.
    #[error("cancelled while trying to {operation} `{key}`")]
    Cancelled {
        /// The request.
        operation: Operation,
        /// What it was about: a key or a prefix.
        key: String,
    },
    /// The text cannot be a key, or not in this store.
    #[error("`{key}` cannot be an object's name: {reason}")]
    InvalidKey {
        /// The text.
        key: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The caller broke a rule of the port.
    #[error("wrong use of {operation}: {detail}")]
    Misuse {
        /// The request.
        operation: Operation,
        /// The rule and the value.
        detail: String,
    },
    /// The directory of a `file://` store is not there.
    #[error("there is no directory {} to hold a repository: create it, or mount what should be there", path.display())]
    RootMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The bucket of an `s3://` store is not there.
    #[error("there is no bucket `{bucket}` at {endpoint}: create it, or correct the address")]
    BucketMissing {
        /// The bucket.
        bucket: String,
        /// The server, or AWS.
        endpoint: String,
    },
    /// The server understood and refused for a reason that waiting does not change.
    #[error("the store refused to {operation} `{key}`: {detail}")]
    Refused {
        /// The request.
        operation: Operation,
        /// What it was about: a key or a prefix.
        key: String,
        /// What the server said.
        detail: String,
    },
    /// The store cannot be used as it is configured: certificates, region, credentials.
    #[error("cannot use the store: {detail}")]
    Setup {
        /// What is wrong and what to change.
        detail: String,
        /// What lies below.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A `file://` store found something at the place of an object, or on the way to it, that no store makes.
    #[error(
        "{what} stands at or on the way to `{key}` in the repository's directory and is not followed: move it away"
    )]
    Foreign {
        /// What was asked for: a key or a prefix.
        key: String,
        /// What is there.
        what: &'static str,
    },
    /// The repository's address is wrong or cannot be served.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Ask again later, a limited number of times.
    Retry,
    /// A person must change a setting, a permission, a disk.
    Configure,
    /// What is stored is not what was stored: report it, never repeat silently.
    Corrupt,
    /// It is not there.
    NotFound,
    /// A caller in this program broke a rule.
    Bug,
}

impl StoreError {
    /// What the caller should do.
    pub fn advice(&self) -> Advice {
        match self {
            Self::NotFound { .. }
            | Self::NoSuchUpload { .. }
            | Self::RootMissing { .. }
            | Self::BucketMissing { .. } => Advice::NotFound,
            Self::TooLarge { .. } | Self::Short { .. } => Advice::Corrupt,
            Self::Unavailable { .. } | Self::Cancelled { .. } => Advice::Retry,
            Self::NoSpace { .. }
            | Self::Denied { .. }
            | Self::Io { .. }
            | Self::Refused { .. }
            | Self::Setup { .. }
            | Self::Foreign { .. }
            | Self::Url(_) => Advice::Configure,
            Self::Exists { .. } | Self::InvalidKey { .. } | Self::Misuse { .. } => Advice::Bug,
        }
    }

    /// The right variant for an operating system's error during `operation` on `key`.
    ///
    /// "Not found" stays [`StoreError::Io`]: only the caller knows whether it was the object that was missing.
    pub fn from_io(operation: Operation, key: &str, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let key = key.to_owned();
        match source.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Self::NoSpace { operation, key },
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
                Self::Denied { operation, key, source: Some(Box::new(source)) }
            }
            Kind::Interrupted | Kind::WouldBlock | Kind::TimedOut | Kind::StaleNetworkFileHandle => {
                Self::Unavailable { operation, key, source: Some(Box::new(source)) }
            }
            _ => Self::Io { operation, key, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_system_errors_become_what_a_caller_can_act_on() {
        let check = |number: i32, advice: Advice| {
            let error = StoreError::from_io(Operation::Put, "a/b", io::Error::from_raw_os_error(number));
            assert_eq!(error.advice(), advice, "{error}");
            assert!(error.to_string().contains("put `a/b`"), "{error}");
        };
        check(28, Advice::Configure); // ENOSPC
        check(122, Advice::Configure); // EDQUOT
        check(13, Advice::Configure); // EACCES
        check(30, Advice::Configure); // EROFS
        check(5, Advice::Configure); // EIO
        check(110, Advice::Retry); // ETIMEDOUT
        check(116, Advice::Retry); // ESTALE
    }

    #[test]
    fn full_and_over_quota_are_told_from_other_failures() {
        for number in [28, 122] {
            let error = StoreError::from_io(Operation::PutPart, "k", io::Error::from_raw_os_error(number));
            assert!(matches!(error, StoreError::NoSpace { operation: Operation::PutPart, .. }), "{error}");
        }
    }
}
