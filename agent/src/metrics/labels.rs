//! The closed sets that labels come from.

use tonic::Code;

/// Bytes that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Read from volumes by backups, without samples.
    Read,
    /// Of blocks that differed from the point before.
    Changed,
    /// Sent to object stores.
    Uploaded,
    /// Written to restore targets.
    Restored,
    /// Stored bytes of unfinished runs that were taken over.
    Resumed,
}

impl Amount {
    /// All, in the order of their numbers.
    pub const ALL: [Amount; 5] =
        [Amount::Read, Amount::Changed, Amount::Uploaded, Amount::Restored, Amount::Resumed];

    pub(super) fn name_and_help(self) -> (&'static str, &'static str) {
        match self {
            Amount::Read => ("read_bytes_total", "Bytes read from volumes by backups, without samples."),
            Amount::Changed => {
                ("changed_bytes_total", "Bytes of blocks that differed from the point before.")
            }
            Amount::Uploaded => ("uploaded_bytes_total", "Bytes sent to object stores."),
            Amount::Restored => ("restored_bytes_total", "Bytes written to restore targets."),
            Amount::Resumed => {
                ("resumed_bytes_total", "Stored bytes of unfinished runs that were taken over.")
            }
        }
    }
}

/// A closed set of words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$each])* $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The label's value.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }
    };
}

words! {
    /// What an operation does.
    OperationKind {
        /// Writes packs and maps.
        Backup = "backup",
        /// Writes volumes.
        Restore = "restore",
        /// Reads and checks.
        Verify = "verify",
    }
}

words! {
    /// How an operation ended.
    Ended {
        /// Done.
        Succeeded = "succeeded",
        /// With an error.
        Failed = "failed",
        /// By a call or its time-out.
        Cancelled = "cancelled",
        /// The agent ended first.
        Interrupted = "interrupted",
    }
}

words! {
    /// Why a connection or a call was refused.
    Refused {
        /// No client certificate, or one that the authorities do not vouch for, or no TLS at all.
        Handshake = "handshake",
        /// The handshake took too long.
        Timeout = "timeout",
        /// The certificate names no caller, or has expired.
        Identity = "identity",
        /// The rules do not allow the call.
        Rule = "rule",
        /// The caller, or its address, has as many connections, calls or bytes as it may.
        Full = "full",
    }
}

words! {
    /// A request to an object store.
    StoreRequest {
        /// One object in one request.
        Put = "put",
        /// An object or a range.
        Get = "get",
        /// Names.
        List = "list",
        /// Removal.
        Delete = "delete",
        /// Begin, part, completion or abort of a multipart upload.
        Multipart = "multipart",
    }
}

words! {
    /// Why work went on in a lesser way.
    Fallback {
        /// io_uring does not work here; `pread` reads.
        UringUnavailable = "uring_unavailable",
        /// A source of changes cannot be used; everything is read and compared.
        ChangesUnavailable = "changes_unavailable",
        /// A sample contradicted a source of changes; everything is read and compared.
        SampleMismatch = "sample_mismatch",
        /// The base of an incremental is damaged or gone; a full is made.
        BaseUnusable = "base_unusable",
        /// Threads could not be given a lower priority.
        PriorityDenied = "priority_denied",
    }
}

/// The name of a gRPC status code, as in its specification.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
