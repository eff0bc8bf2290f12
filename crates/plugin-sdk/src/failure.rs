//! Why a call of a plugin failed, on both sides of the socket: `google.rpc.ErrorInfo` with a reason out of a closed list.

use std::collections::HashMap;

use coffer_proto::checked::RequestError;
pub use coffer_proto::plugin::v1::Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Domain of the reasons.
pub const DOMAIN: &str = "plugin.coffer.dev";
/// Most characters of a message.
const MESSAGE_LEN_MAX: usize = 900;

/// A call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which kind; the caller decides by it.
    pub reason: Reason,
    /// What failed, on what, and what to do: for people. Never a secret.
    pub message: String,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Failure { reason, message: message.chars().take(MESSAGE_LEN_MAX).collect() }
    }

    /// Something that is not there, or is not the caller's.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Failure::new(Reason::NotFound, format!("{what} is not there"))
    }

    /// What a status of a plugin says. One without a reason of the list is a failure that may pass where its code says so.
    pub fn from_status(status: &Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let named = info.and_then(|info| Reason::from_str_name(&format!("REASON_{}", info.reason)));
        let reason = named.unwrap_or(match status.code() {
            Code::Unavailable => Reason::Unreachable,
            Code::DeadlineExceeded | Code::Cancelled => Reason::Deadline,
            Code::NotFound => Reason::NotFound,
            Code::InvalidArgument => Reason::Invalid,
            Code::PermissionDenied | Code::Unauthenticated => Reason::Denied,
            _ => Reason::Bug,
        });
        Failure::new(reason, status.message())
    }

    /// The reason's word, such as `NOT_FOUND`.
    pub fn word(&self) -> &'static str {
        self.reason.as_str_name().trim_start_matches("REASON_")
    }
}

/// The code of each reason.
fn code(reason: Reason) -> Code {
    match reason {
        Reason::UnknownType | Reason::NotFound => Code::NotFound,
        Reason::Invalid => Code::InvalidArgument,
        Reason::NotReady | Reason::ChildrenKept | Reason::UnknownSchema => Code::FailedPrecondition,
        Reason::Denied => Code::PermissionDenied,
        Reason::Quota => Code::ResourceExhausted,
        Reason::Deadline => Code::DeadlineExceeded,
        Reason::Unreachable => Code::Unavailable,
        Reason::Failed => Code::Aborted,
        Reason::Running => Code::AlreadyExists,
        Reason::Bug | Reason::Unspecified => Code::Internal,
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let details = ErrorDetails::with_error_info(failure.word(), DOMAIN, HashMap::new());
        Status::with_error_details(code(failure.reason), failure.message, details)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Failure::new(Reason::Invalid, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_comes_back_over_the_wire() {
        for number in 1..=13 {
            let reason = Reason::try_from(number).expect("a number of the list");
            let failure = Failure::new(reason, "text");
            assert_eq!(Failure::from_status(&failure.clone().into()), failure);
        }
    }
}
