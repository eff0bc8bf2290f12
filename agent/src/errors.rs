//! Every way in which the agent refuses or fails, and the one place where that becomes a gRPC status.
//!
//! `google.rpc.ErrorInfo` carries the same `kind` as the command line's JSON. No text may hold a key or a credential.

use std::time::Duration;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use coffer_blockio::{OpenError, UringError};
use coffer_engine::{Advice, EngineError, one_line};
use coffer_format::FormatError;
use coffer_proto::checked::RequestError;
use coffer_store::StoreError;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::request_words;

/// When a caller that was refused should try again.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "coffer.dev";

/// Why an operation was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stop {
    /// Somebody called Cancel.
    Cancelled,
    /// Its time-out passed.
    Deadline,
    /// The agent ends.
    Shutdown,
    /// It stood still.
    Stalled,
}

/// The agent cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A field of the request is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The engine said so.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A volume or target cannot be opened.
    #[error("open {what}")]
    Open {
        /// `volume db (/dev/vg0/db)`.
        what: String,
        /// Why.
        source: OpenError,
    },
    /// The read engine that was asked for by name does not work here.
    #[error("read engine uring: give auto or pread")]
    ReadEngine(#[source] UringError),
    /// The request contradicts an earlier one, or itself.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there, or is not the caller's.
    #[error("{0}")]
    NotFound(String),
    /// A guard said no; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The caller may not.
    #[error("{0}")]
    Denied(String),
    /// A limit of the agent is reached.
    #[error("{0}")]
    Full(String),
    /// The agent takes no work any more.
    #[error("this agent is being drained and takes no work; try again on the agent that follows it")]
    Draining,
    /// What operations do cannot be written down, so none is begun.
    #[error("journal: {step} {}", path.display())]
    Journal {
        /// What was attempted, a verb.
        step: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The key cannot be used.
    #[error("the key that came with the request, or its file, is no key file as `coffer init` writes it")]
    Key(#[source] FormatError),
    /// A mounted file with a key or credentials cannot be used.
    #[error("{what} `{name}` of team {team}: {problem}")]
    Mounted {
        /// `key` or `credentials`.
        what: &'static str,
        /// Name of the file.
        name: String,
        /// The team.
        team: String,
        /// What is wrong, never with the file's text.
        problem: String,
    },
    /// It was told to stop.
    #[error("{}", stop_text(*.0))]
    Stopped(Stop),
    /// A mistake in this program.
    #[error("internal error: {0}; please report it")]
    Bug(String),
}

fn stop_text(stop: Stop) -> &'static str {
    match stop {
        Stop::Cancelled => "cancelled by a call of Cancel; start it again with the same key to go on",
        Stop::Deadline => "its time-out passed; start it again with the same key to go on",
        Stop::Shutdown => {
            "the agent ended before the operation did; start it again with the same key to go on"
        }
        Stop::Stalled => {
            "it stood still: no block was read and no request to its store came to an end for too long; see to the store, then start it again with the same key to go on"
        }
    }
}

impl From<StoreError> for AgentError {
    fn from(error: StoreError) -> Self {
        AgentError::Engine(error.into())
    }
}

/// An error as an operation keeps it and a status carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A gRPC status code.
    pub code: i32,
    /// A short name of a closed set, as in the command line's JSON.
    pub kind: String,
    /// What was wrong and what to do.
    pub message: String,
    /// `retry`, `configure`, ….
    pub advice: String,
}

impl AgentError {
    /// A short name of a closed set: the command line's, and a few of the agent's own.
    pub fn kind(&self) -> &'static str {
        match self {
            AgentError::Engine(error) => error.kind(),
            AgentError::Open { source: OpenError::NotFound { .. }, .. } | AgentError::NotFound(_) => {
                "not-found"
            }
            AgentError::Open { source: OpenError::Busy { .. } | OpenError::Exists { .. }, .. }
            | AgentError::Refused(_) => "refused",
            AgentError::Open { .. } => "open",
            AgentError::Request(_) | AgentError::Usage(_) | AgentError::ReadEngine(_) => "usage",
            AgentError::Denied(_) => "permission-denied",
            AgentError::Full(_) => "full",
            AgentError::Draining => "draining",
            AgentError::Journal { .. } => "journal",
            AgentError::Key(_) => "key-file",
            AgentError::Mounted { .. } => "mounted-secret",
            AgentError::Stopped(Stop::Cancelled) => "cancelled",
            AgentError::Stopped(Stop::Deadline) => "deadline-passed",
            AgentError::Stopped(Stop::Shutdown) => "shutting-down",
            AgentError::Stopped(Stop::Stalled) => "stalled",
            AgentError::Bug(_) => "bug",
        }
    }

    /// What the caller should do.
    pub fn advice(&self) -> Advice {
        match self {
            AgentError::Engine(error) => error.advice(),
            AgentError::Open { source, .. } => open_advice(source),
            AgentError::Request(_)
            | AgentError::ReadEngine(_)
            | AgentError::Usage(_)
            | AgentError::Denied(_)
            | AgentError::Journal { .. }
            | AgentError::Key(_)
            | AgentError::Mounted { .. } => Advice::Configure,
            AgentError::NotFound(_) => Advice::NotFound,
            AgentError::Refused(_) => Advice::Refused,
            AgentError::Full(_) | AgentError::Draining | AgentError::Stopped(_) => Advice::Retry,
            AgentError::Bug(_) => Advice::Bug,
        }
    }

    /// The status code.
    pub fn code(&self) -> Code {
        match self {
            AgentError::Engine(error) => engine_code(error),
            AgentError::Request(_) | AgentError::Usage(_) | AgentError::Key(_) => Code::InvalidArgument,
            AgentError::Denied(_) => Code::PermissionDenied,
            AgentError::Full(_) => Code::ResourceExhausted,
            AgentError::Journal { source, .. } if is_full(source) => Code::ResourceExhausted,
            AgentError::Stopped(Stop::Cancelled) => Code::Cancelled,
            AgentError::Stopped(Stop::Deadline) => Code::DeadlineExceeded,
            other => advice_code(other.advice()),
        }
    }

    /// As it is kept and sent.
    pub fn failure(&self) -> Failure {
        Failure {
            code: self.code().into(),
            kind: self.kind().to_owned(),
            message: line(self),
            advice: self.advice().as_str().to_owned(),
        }
    }

    /// Names and numbers that help to find the cause.
    fn context(&self) -> HashMap<String, String> {
        let mut context = HashMap::from([("advice".to_owned(), self.advice().as_str().to_owned())]);
        let mut put = |name: &str, value: String| drop(context.insert(name.to_owned(), value));
        match self {
            AgentError::Engine(error) => {
                error.context().iter().for_each(|(name, fact)| put(name, fact.to_string()));
            }
            AgentError::Request(error) => put("field", error.field.clone()),
            AgentError::Open { what, .. } => put("what", what.clone()),
            AgentError::Mounted { name, .. } => put("name", name.clone()),
            AgentError::Journal { path, .. } => put("path", path.display().to_string()),
            _ => {}
        }
        context
    }
}

impl From<&AgentError> for Status {
    fn from(error: &AgentError) -> Status {
        let mut details = ErrorDetails::with_error_info(error.kind(), DOMAIN, error.context());
        if matches!(error, AgentError::Full(_)) {
            details.set_retry_info(Some(RETRY_AFTER));
        }
        Status::with_error_details(error.code(), line(error), details)
    }
}

impl From<AgentError> for Status {
    fn from(error: AgentError) -> Status {
        Status::from(&error)
    }
}

/// An error in one line, with the fields of the request that set it right.
fn line(error: &AgentError) -> String {
    let text = one_line(error);
    let AgentError::Engine(engine) = error else { return text };
    match engine.request().and_then(request_words::next_step) {
        Some(next) => format!("{text}; {next}"),
        None => text,
    }
}

fn engine_code(error: &EngineError) -> Code {
    match error.cause() {
        EngineError::Cancelled | EngineError::Store(StoreError::Cancelled { .. }) => Code::Cancelled,
        EngineError::DeadlinePassed => Code::DeadlineExceeded,
        EngineError::Request(error) if !error.is_refusal() => Code::InvalidArgument,
        EngineError::Usage(_) | EngineError::Limit(_) | EngineError::Store(StoreError::Url(_)) => {
            Code::InvalidArgument
        }
        EngineError::Store(StoreError::Denied { .. }) => Code::PermissionDenied,
        EngineError::Store(StoreError::NoSpace { .. }) => Code::ResourceExhausted,
        EngineError::AllVolumesFailed(first) => engine_code(first),
        other => advice_code(other.advice()),
    }
}

fn advice_code(advice: Advice) -> Code {
    match advice {
        Advice::Retry => Code::Unavailable,
        Advice::Configure | Advice::Refused => Code::FailedPrecondition,
        Advice::Corrupt => Code::DataLoss,
        Advice::Fenced => Code::Aborted,
        Advice::Bug => Code::Internal,
        Advice::NotFound => Code::NotFound,
    }
}

fn open_advice(error: &OpenError) -> Advice {
    match error {
        OpenError::NotFound { .. } => Advice::NotFound,
        OpenError::Exists { .. } | OpenError::Busy { .. } => Advice::Refused,
        OpenError::WrongKind { .. } | OpenError::NotDirect { .. } | OpenError::Io { .. } => Advice::Configure,
        OpenError::Replaced { .. } => Advice::Retry,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests;
