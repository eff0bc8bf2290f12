//! The kinds of requests, as errors and counters name them.

use std::fmt;

/// A kind of request; shows as a verb in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Opening the store itself.
    Open,
    /// [`crate::ObjectStore::put`].
    Put,
    /// [`crate::ObjectStore::start_upload`].
    StartUpload,
    /// [`crate::ObjectStore::put_part`].
    PutPart,
    /// [`crate::ObjectStore::complete_upload`].
    CompleteUpload,
    /// [`crate::ObjectStore::abort_upload`].
    AbortUpload,
    /// [`crate::ObjectStore::list_uploads`].
    ListUploads,
    /// [`crate::ObjectStore::get`].
    Get,
    /// [`crate::ObjectStore::get_range`].
    GetRange,
    /// [`crate::ObjectStore::head`].
    Head,
    /// [`crate::ObjectStore::list`].
    List,
    /// [`crate::ObjectStore::delete`].
    Delete,
    /// [`crate::ObjectStore::now`].
    Now,
}

impl Operation {
    /// Whether the request changes what is stored.
    pub fn writes(self) -> bool {
        self.stores() || matches!(self, Self::AbortUpload | Self::Delete)
    }

    /// Whether the request needs space.
    pub fn stores(self) -> bool {
        matches!(self, Self::Put | Self::StartUpload | Self::PutPart | Self::CompleteUpload)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Put => "put",
            Self::StartUpload => "start the upload of",
            Self::PutPart => "upload a part of",
            Self::CompleteUpload => "complete the upload of",
            Self::AbortUpload => "abort the upload of",
            Self::ListUploads => "list the uploads of",
            Self::Get => "get",
            Self::GetRange => "get a range of",
            Self::Head => "look up",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Now => "ask the time of",
        })
    }
}
