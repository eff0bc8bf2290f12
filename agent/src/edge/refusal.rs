//! How a call that is not let in is answered: a status code with the same `kind` as in the command line's JSON.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::connection::Stranger;
use super::identity::Identity;
use super::rules::Call;
use crate::metrics::labels::Refused;

/// Domain of every `ErrorInfo`.
const DOMAIN: &str = "coffer.dev";

/// A call that is not let in.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody calls that we know.
    Stranger(Stranger),
    /// The rules do not let this caller.
    Rule(Identity, Call),
    /// There is no such call.
    Unknown(Identity),
}

impl Refusal {
    /// For the metrics.
    pub(super) fn reason(&self) -> Refused {
        match self {
            Refusal::Stranger(_) => Refused::Identity,
            Refusal::Rule(..) | Refusal::Unknown(_) => Refused::Rule,
        }
    }

    /// The answer.
    pub(super) fn status(&self) -> Status {
        match self {
            Refusal::Stranger(stranger) => {
                status(Code::Unauthenticated, "unauthenticated", stranger.to_string(), None)
            }
            Refusal::Rule(identity, call) => {
                let message =
                    format!("{identity} may not call {}: docs/agent-rules.md says who may", call.name());
                status(Code::PermissionDenied, "permission-denied", message, Some(identity))
            }
            Refusal::Unknown(identity) => {
                let message =
                    "this agent has no such call: it may be older or newer than the caller".to_owned();
                status(Code::Unimplemented, "unknown-call", message, Some(identity))
            }
        }
    }
}

fn status(code: Code, kind: &str, message: String, caller: Option<&Identity>) -> Status {
    let caller = caller.map(|identity| ("caller".to_owned(), identity.to_string()));
    let metadata: HashMap<String, String> =
        [("advice".to_owned(), "configure".to_owned())].into_iter().chain(caller).collect();
    Status::with_error_details(code, message, ErrorDetails::with_error_info(kind, DOMAIN, metadata))
}
