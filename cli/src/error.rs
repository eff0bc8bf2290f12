//! How a run can end: exit statuses, and errors with what to do next.
//!
//! An error's text is one line for a person. It must never carry a secret of a key file.

use std::io;
use std::path::PathBuf;

use coffer_blockio::{OpenError, ReadError, file_limit_bytes, is_past_file_limit};
use coffer_coordinator::{AgentError, CoordinatorError};
use coffer_engine::one_line;
use coffer_engine::{Advice, EngineError, Fact};
use coffer_format::FormatError;
use coffer_plugin_sdk::Reason;
use coffer_resources::ResourceError;
use coffer_store::StoreError;
use serde_json::{Map, Value, json};

use crate::exit_status::{ExitStatus, status_of};
use crate::kubernetes::KubernetesError;
use crate::{agent_words, request_words};

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The engine said so.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The command line or its surroundings have to be set right.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// A guard said no; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A key file cannot be used.
    #[error("key file {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong; never with a value of the file.
        source: FormatError,
    },
    /// A volume or target cannot be opened.
    #[error("open {what}")]
    Open {
        /// `volume vdb`, `target of volume vdb`.
        what: String,
        /// Why.
        source: OpenError,
    },
    /// The operating system refused something about a file.
    #[error("{step} {}", path.display())]
    File {
        /// What was attempted, a verb.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The result cannot be printed.
    #[error("print the result")]
    Print(#[source] io::Error),
    /// An agent, or the way to it.
    #[error(transparent)]
    Agent(Box<AgentError>),
    /// A plugin, a journal, or resources.
    #[error(transparent)]
    Resources(Box<ResourceError>),
    /// Kubernetes, or the way to it.
    #[error(transparent)]
    Kubernetes(Box<KubernetesError>),
    /// A step failed after something had been done.
    #[error("{source}")]
    After {
        /// What failed.
        source: Box<CliError>,
        /// What to do with what was done.
        next: String,
    },
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        CliError::Engine(error.into())
    }
}

impl From<AgentError> for CliError {
    fn from(error: AgentError) -> Self {
        CliError::Agent(Box::new(agent_words::in_flags(error)))
    }
}

impl From<CoordinatorError> for CliError {
    fn from(error: CoordinatorError) -> Self {
        let usage = |text: String| CliError::Usage(text);
        match error {
            CoordinatorError::Engine(error) => error.into(),
            CoordinatorError::Agent(error) => (*error).into(),
            CoordinatorError::Address { address, detail } => usage(format!("--agent {address}: {detail}")),
            CoordinatorError::NoAuthority { address } => usage(format!(
                "--agent {address}: whom is the agent's certificate from? give --agent-ca FILE"
            )),
            CoordinatorError::Tls(error) => {
                usage(format!("--agent-cert, --agent-key, --agent-ca: {error}; check the files"))
            }
            CoordinatorError::SameNode(node) => usage(format!(
                "two agents are of node {node}; give each once, or names of their own: NODE=ADDR"
            )),
            CoordinatorError::KeyUsedUp { key, points } => CliError::Refused(format!(
                "--idempotency-key {key}: agents hold parts of {points} unfinished points of this key; give another key"
            )),
            CoordinatorError::KeyOfAnotherPlan { key, plan } => usage(format!(
                "--idempotency-key {key}: an agent holds an operation with this key that is not of plan {plan}; give another key"
            )),
            CoordinatorError::Runtime(source) => {
                CliError::File { step: "start", path: "the connections' thread".into(), source }
            }
        }
    }
}

impl From<ResourceError> for CliError {
    fn from(error: ResourceError) -> Self {
        match error {
            ResourceError::File { step, path, source } => CliError::File { step, path, source },
            ResourceError::Refused(text) => CliError::Refused(text),
            other => CliError::Resources(Box::new(other)),
        }
    }
}

impl From<KubernetesError> for CliError {
    fn from(error: KubernetesError) -> Self {
        CliError::Kubernetes(Box::new(error))
    }
}

impl CliError {
    /// A short closed-set name of the error, as in JSON.
    pub(crate) fn kind(&self) -> &str {
        match self {
            CliError::Engine(error) => error.kind(),
            CliError::Usage(_) => "usage",
            CliError::NotFound(_) => "not-found",
            CliError::Refused(_) => "refused",
            CliError::KeyFile { .. } => "key-file",
            CliError::Open { source: OpenError::NotFound { .. }, .. } => "not-found",
            CliError::Open { source: OpenError::Busy { .. } | OpenError::Exists { .. }, .. } => "refused",
            CliError::Open { .. } => "open",
            CliError::File { .. } => "file",
            CliError::Print(_) => "print",
            CliError::Agent(error) => error.kind.as_str(),
            CliError::Kubernetes(error) => error.kind,
            CliError::Resources(_) => "resource",
            CliError::After { source, .. } => source.kind(),
        }
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Advice {
        match self {
            CliError::Engine(error) => error.advice(),
            CliError::Usage(_) | CliError::KeyFile { .. } | CliError::File { .. } | CliError::Print(_) => {
                Advice::Configure
            }
            CliError::NotFound(_) => Advice::NotFound,
            CliError::Refused(_) => Advice::Refused,
            CliError::Open { source, .. } => open_advice(source),
            CliError::Agent(error) => error.advice,
            CliError::Kubernetes(error) => error.advice,
            CliError::Resources(error) => resource_advice(error),
            CliError::After { source, .. } => source.advice(),
        }
    }

    /// The exit status of a command that fails with this.
    pub(crate) fn status(&self) -> ExitStatus {
        match self {
            CliError::Engine(error) => engine_status(error),
            CliError::Agent(error) => agent_words::status(error),
            CliError::After { source, .. } => source.status(),
            CliError::File { .. } | CliError::Print(_) => ExitStatus::Failed,
            // The work was asked for rightly, and the plugin's side could not do it.
            CliError::Resources(error) if resource_failed(error) => ExitStatus::Failed,
            other => status_of(other.advice()),
        }
    }

    /// The whole story in one line: what failed, why, and what to do next.
    pub(crate) fn line(&self) -> String {
        let text = one_line(self);
        match self.next_step() {
            _ if causes(self).any(is_past_file_limit) => format!("{text}; {}", raise_file_limit()),
            Some(next) => format!("{text}; {next}"),
            None => text,
        }
    }

    /// Names and numbers that help to find the cause.
    pub(crate) fn context(&self) -> Map<String, Value> {
        let mut context = Map::new();
        let mut put = |name: &str, value: Value| context.insert(name.to_owned(), value);
        match self {
            CliError::Engine(error) => return engine_context(error),
            CliError::After { source, .. } => return source.context(),
            CliError::Agent(error) => {
                put("node", json!(error.node));
            }
            CliError::KeyFile { path, .. } | CliError::File { path, .. } => {
                put("path", json!(path.to_string_lossy()));
            }
            CliError::Open { what, source } => {
                put("what", json!(what));
                if let Some(path) = open_path(source) {
                    put("path", json!(path.to_string_lossy()));
                }
            }
            CliError::Usage(_)
            | CliError::NotFound(_)
            | CliError::Refused(_)
            | CliError::Print(_)
            | CliError::Resources(_)
            | CliError::Kubernetes(_) => {}
        }
        context
    }

    pub(crate) fn next_step(&self) -> Option<&str> {
        match self {
            CliError::Engine(error) => engine_next_step(error),
            CliError::KeyFile { .. } => {
                Some("give the file that `coffer init` or `coffer key` wrote, unchanged")
            }
            CliError::Open { source, .. } => open_next_step(source),
            CliError::File { .. } => Some("check the path and its permissions"),
            CliError::Print(_) => Some("the command itself had come to its end"),
            CliError::Agent(error) => agent_words::next_step(error),
            CliError::Kubernetes(error) => Some(&error.next),
            CliError::After { next, .. } => Some(next),
            CliError::Usage(_) | CliError::NotFound(_) | CliError::Refused(_) | CliError::Resources(_) => {
                None
            }
        }
    }
}

fn resource_advice(error: &ResourceError) -> Advice {
    match error.reason() {
        Some(Reason::NotFound | Reason::UnknownType) => Advice::NotFound,
        Some(Reason::Unreachable | Reason::Deadline | Reason::Running) => Advice::Retry,
        Some(Reason::Bug) => Advice::Bug,
        Some(Reason::ChildrenKept) => Advice::Refused,
        _ => Advice::Configure,
    }
}

fn resource_failed(error: &ResourceError) -> bool {
    if let ResourceError::NothingProtected(_) = error {
        return true;
    }
    matches!(
        error.reason(),
        Some(
            Reason::Unreachable
                | Reason::Deadline
                | Reason::Running
                | Reason::Bug
                | Reason::Failed
                | Reason::Quota
                | Reason::NotReady
                | Reason::Denied
        )
    )
}

/// The system's errors among the causes.
fn causes(error: &CliError) -> impl Iterator<Item = &io::Error> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).filter_map(|error| error.downcast_ref())
}

/// What to do where a file would be too long.
fn raise_file_limit() -> String {
    match file_limit_bytes() {
        Some(limit) => {
            format!(
                "a file may have {limit} bytes at most here; raise that limit: `ulimit -f unlimited`, LimitFSIZE= of a unit"
            )
        }
        None => "the file system takes no file of that length; choose another".to_owned(),
    }
}

fn engine_status(error: &EngineError) -> ExitStatus {
    match error.cause() {
        EngineError::Cancelled | EngineError::Store(StoreError::Cancelled { .. }) => ExitStatus::Cancelled,
        // The command line was right; the disk or the permissions below the repository are not.
        EngineError::Store(
            StoreError::Io { .. } | StoreError::NoSpace { .. } | StoreError::Foreign { .. },
        ) => ExitStatus::Failed,
        EngineError::AllVolumesFailed(first) => engine_status(first),
        other => status_of(other.advice()),
    }
}

fn engine_next_step(error: &EngineError) -> Option<&'static str> {
    match error.cause() {
        EngineError::Request(error) => Some(request_words::next_step(error)),
        EngineError::Source { source: ReadError::EngineGone, .. } => Some("give --io pread to do without it"),
        EngineError::Store(error) => store_next_step(error),
        EngineError::Object { .. } | EngineError::Damaged { .. } => {
            Some("run `coffer verify` to see which points are touched")
        }
        EngineError::Limit(_) => Some("choose a value within the limit"),
        EngineError::Source { .. } => Some("check the device or file, then run the backup again"),
        EngineError::SourceChanged { .. } => Some("run the backup again"),
        EngineError::Target { .. } => Some("check the target"),
        EngineError::Stream(_) => Some("what reads it may have ended, or its disk may be full"),
        EngineError::AllVolumesFailed(first) => engine_next_step(first),
        EngineError::Entropy(_) => Some("check that the system's random source can be read"),
        EngineError::Cancelled => Some("run the command again to do the work"),
        _ => None,
    }
}

fn store_next_step(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::NotFound { .. } => Some("run `coffer verify` to see whether anything is missing"),
        StoreError::TooLarge { .. } | StoreError::Short { .. } => {
            Some("run `coffer verify` to see what is damaged")
        }
        StoreError::Unavailable { .. } => Some("run the command again later"),
        StoreError::Io { .. } => Some("check the disk or network below the repository"),
        StoreError::Exists { .. } | StoreError::Misuse { .. } => Some("please report it"),
        StoreError::Cancelled { .. } => Some("run the command again to do the work"),
        _ => None,
    }
}

fn engine_context(error: &EngineError) -> Map<String, Value> {
    let value = |fact| match fact {
        Fact::Text(text) => json!(text),
        Fact::Number(number) => json!(number),
    };
    error.context().into_iter().map(|(name, fact)| (name.to_owned(), value(fact))).collect()
}

fn open_advice(error: &OpenError) -> Advice {
    match error {
        OpenError::NotFound { .. } => Advice::NotFound,
        OpenError::Exists { .. } | OpenError::Busy { .. } => Advice::Refused,
        OpenError::WrongKind { .. } | OpenError::NotDirect { .. } | OpenError::Io { .. } => Advice::Configure,
        OpenError::Replaced { .. } => Advice::Retry,
    }
}

fn open_next_step(error: &OpenError) -> Option<&'static str> {
    Some(match error {
        OpenError::NotFound { .. } => "check the path",
        OpenError::Exists { .. } => "give --overwrite to replace it or --in-place to write only what differs",
        OpenError::WrongKind { .. } => "give a block device or a disk image",
        OpenError::Busy { .. } => "unmount or stop what uses it",
        OpenError::NotDirect { .. } => "give a device that can be opened with O_DIRECT",
        OpenError::Replaced { .. } => "run the command again",
        OpenError::Io { .. } => "check the path and its permissions; devices usually need root",
    })
}

fn open_path(error: &OpenError) -> Option<&PathBuf> {
    Some(match error {
        OpenError::NotFound { path }
        | OpenError::Exists { path }
        | OpenError::WrongKind { path, .. }
        | OpenError::Busy { path, .. }
        | OpenError::NotDirect { path, .. }
        | OpenError::Replaced { path }
        | OpenError::Io { path, .. } => path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_advice_has_its_exit_status() {
        let check = |error: CliError, status: ExitStatus| assert_eq!(error.status(), status, "{error}");
        check(EngineError::Cancelled.into(), ExitStatus::Cancelled);
        check(EngineError::Usage("x".into()).into(), ExitStatus::Usage);
        check(EngineError::NotFound("x".into()).into(), ExitStatus::NotFound);
        check(EngineError::Refused("x".into()).into(), ExitStatus::Refused);
        check(EngineError::Bug("x".into()).into(), ExitStatus::Failed);
        check(
            StoreError::Short { key: "k".into(), offset: 0, wanted: 1, got: 0 }.into(),
            ExitStatus::Damaged,
        );
        check(
            StoreError::NoSpace { operation: coffer_store::Operation::Put, key: "k".into() }.into(),
            ExitStatus::Failed,
        );
    }

    #[test]
    fn causes_are_said_once_and_in_one_line() {
        let source = io::Error::other("first\nsecond");
        let error = CliError::File { step: "read", path: "/a".into(), source };
        assert_eq!(error.line(), "read /a: first second; check the path and its permissions");
        let error = CliError::Engine(EngineError::AllVolumesFailed(Box::new(EngineError::Cancelled)));
        assert_eq!(error.line().matches("cancelled").count(), 1, "{}", error.line());
    }
}
