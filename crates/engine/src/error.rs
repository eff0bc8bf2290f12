//! Every way in which an operation of the engine can end badly, told apart as far as a person can act on it.

use coffer_blockio::{ReadError, WriteError};
use coffer_format::{FormatError, Id};
use coffer_store::StoreError;

use crate::request_error::RequestError;

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The same call may succeed later.
    Retry,
    /// Something in the call or its surroundings has to be set right.
    Configure,
    /// Something stored is damaged or forged.
    Corrupt,
    /// Another actor ended this run; start a new one.
    Fenced,
    /// A mistake in this program.
    Bug,
    /// What was asked for is not there.
    NotFound,
    /// A guard said no; nothing was changed.
    Refused,
}

impl Advice {
    /// The word used in JSON and gRPC.
    pub fn as_str(self) -> &'static str {
        match self {
            Advice::Retry => "retry",
            Advice::Configure => "configure",
            Advice::Corrupt => "corrupt",
            Advice::Fenced => "fenced",
            Advice::Bug => "bug",
            Advice::NotFound => "not-found",
            Advice::Refused => "refused",
        }
    }
}

/// An operation of the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The object store failed.
    #[error("object store: {0}")]
    Store(#[source] StoreError),
    /// An object holds something other than what the format allows, or its seal does not fit.
    #[error("object {key}: {source}")]
    Object {
        /// Key of the object.
        key: String,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// A stored object contradicts what a signed object says of it, or is missing.
    #[error("volume {volume}: object {key} at offset {offset}: {detail}")]
    Damaged {
        /// Volume whose data it holds.
        volume: String,
        /// Key of the damaged object.
        key: String,
        /// Offset in the object, bytes.
        offset: u64,
        /// What was found.
        detail: String,
    },
    /// A volume record that came back from whoever backed the volume up is forged, broken, or of another point.
    #[error("record of volume {volume}: {source}; nothing was committed")]
    Record {
        /// Volume that the record speaks of.
        volume: String,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// A value cannot be encoded within the limits of the format.
    #[error("limit of the repository format: {0}")]
    Limit(#[source] FormatError),
    /// Reading a source volume failed.
    #[error("volume {volume}: {source}")]
    Source {
        /// Volume name.
        volume: String,
        /// What went wrong and where.
        #[source]
        source: ReadError,
    },
    /// The source changed in a way that makes the point useless.
    #[error("volume {volume}: {detail}")]
    SourceChanged {
        /// Volume name.
        volume: String,
        /// What changed.
        detail: String,
    },
    /// Writing or reading a restore target failed.
    #[error("restore of volume {volume}: {source}")]
    Target {
        /// Volume name.
        volume: String,
        /// What went wrong and where.
        #[source]
        source: WriteError,
    },
    /// Writing a volume to a stream failed: a reader that went away, a full disk.
    #[error("write the volume to the stream")]
    Stream(#[source] std::io::Error),
    /// A restore ended after it had begun to write.
    #[error("{source}{}{}", half_written_text(half_written.as_deref()), restored_text(restored))]
    Unfinished {
        /// What ended it.
        #[source]
        source: Box<EngineError>,
        /// The target that was being written, unless it was a new file, which is removed.
        half_written: Option<Box<HalfWritten>>,
        /// Volumes that were restored before.
        restored: Vec<String>,
    },
    /// What was asked for is not in the repository.
    #[error("{0}")]
    NotFound(String),
    /// A guard said no; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The call contradicts itself or the repository.
    #[error("{0}")]
    Usage(String),
    /// The request cannot be served as it is.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another actor ended this run; nothing it wrote counts.
    #[error("run {run} was fenced: {reason}; nothing was lost, run the backup again")]
    Fenced {
        /// The run's id.
        run: Id,
        /// Which check failed.
        reason: String,
    },
    /// The point was forgotten while it was read.
    #[error("point {0} was forgotten while it was being read; choose another point")]
    Forgotten(Id),
    /// Every volume of a backup failed, so no point was written.
    #[error("no volume could be backed up: {0}")]
    AllVolumesFailed(#[source] Box<EngineError>),
    /// The random source failed.
    #[error("random source: {0}")]
    Entropy(String),
    /// The operation was cancelled by its caller.
    #[error("cancelled")]
    Cancelled,
    /// The operation took longer than its caller allowed.
    #[error("stopped: its deadline passed")]
    DeadlinePassed,
    /// The process that ran the operation was asked to end.
    #[error("stopped: the program is shutting down")]
    ShuttingDown,
    /// A mistake in this program.
    #[error("internal error: {0}; please report it")]
    Bug(String),
}

/// A target that holds a part of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfWritten {
    /// The volume.
    pub volume: String,
    /// The target, as the caller calls it.
    pub target: String,
}

fn half_written_text(half_written: Option<&HalfWritten>) -> String {
    let Some(HalfWritten { volume, target }) = half_written else { return String::new() };
    format!(
        "; {target} is half-written: a part of volume {volume}, and a part of what was there before or zeroes"
    )
}

fn restored_text(restored: &[String]) -> String {
    if restored.is_empty() {
        return String::new();
    }
    format!("; restored before that: {}", restored.join(", "))
}

impl EngineError {
    /// What went wrong, without what it left behind.
    pub fn cause(&self) -> &EngineError {
        match self {
            EngineError::Unfinished { source, .. } => source.cause(),
            other => other,
        }
    }

    /// What is wrong with the request, where that is the cause.
    pub fn request(&self) -> Option<&RequestError> {
        match self.cause() {
            EngineError::Request(error) => Some(error),
            EngineError::AllVolumesFailed(first) => first.request(),
            _ => None,
        }
    }

    /// The same with another cause.
    #[must_use]
    pub fn map_cause(self, change: impl FnOnce(EngineError) -> EngineError) -> EngineError {
        match self {
            EngineError::Unfinished { source, half_written, restored } => {
                EngineError::Unfinished { source: Box::new(change(*source)), half_written, restored }
            }
            other => change(other),
        }
    }

    /// What the caller should do.
    pub fn advice(&self) -> Advice {
        match self {
            EngineError::Unfinished { source, .. } => source.advice(),
            EngineError::Stream(_) => Advice::Retry,
            EngineError::Store(error) => store_advice(error),
            EngineError::Object { .. } | EngineError::Damaged { .. } | EngineError::Record { .. } => {
                Advice::Corrupt
            }
            EngineError::Limit(_) | EngineError::Usage(_) => Advice::Configure,
            EngineError::Source { .. } | EngineError::SourceChanged { .. } | EngineError::Target { .. } => {
                Advice::Retry
            }
            EngineError::NotFound(_) | EngineError::Forgotten(_) => Advice::NotFound,
            EngineError::Refused(_) => Advice::Refused,
            EngineError::Request(error) => {
                if error.is_refusal() {
                    Advice::Refused
                } else {
                    Advice::Configure
                }
            }
            EngineError::Fenced { .. } => Advice::Fenced,
            EngineError::AllVolumesFailed(first) => first.advice(),
            EngineError::Entropy(_)
            | EngineError::Cancelled
            | EngineError::DeadlinePassed
            | EngineError::ShuttingDown => Advice::Retry,
            EngineError::Bug(_) => Advice::Bug,
        }
    }

    /// A short closed-set name of the error, the same in JSON, gRPC and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            EngineError::Unfinished { source, .. } => source.kind(),
            EngineError::Stream(_) => "stream",
            EngineError::Store(_) => "store",
            EngineError::Object { .. } => "object-invalid",
            EngineError::Damaged { .. } => "damaged",
            EngineError::Record { .. } => "record-invalid",
            EngineError::Limit(_) => "limit",
            EngineError::Source { .. } => "source-read",
            EngineError::SourceChanged { .. } => "source-changed",
            EngineError::Target { .. } => "target",
            EngineError::NotFound(_) => "not-found",
            EngineError::Refused(_) => "refused",
            EngineError::Usage(_) => "usage",
            EngineError::Request(error) => {
                if error.is_refusal() {
                    "refused"
                } else {
                    "usage"
                }
            }
            EngineError::Fenced { .. } => "fenced",
            EngineError::Forgotten(_) => "forgotten",
            EngineError::AllVolumesFailed(first) => first.kind(),
            EngineError::Entropy(_) => "entropy",
            EngineError::Cancelled => "cancelled",
            EngineError::DeadlinePassed => "deadline-passed",
            EngineError::ShuttingDown => "shutting-down",
            EngineError::Bug(_) => "bug",
        }
    }

    /// Names and numbers that help to find the cause, for JSON and gRPC; never a secret.
    pub fn context(&self) -> Vec<(&'static str, Fact)> {
        let text = |value: &dyn std::fmt::Display| Fact::Text(value.to_string());
        match self {
            EngineError::Object { key, .. } | EngineError::Store(StoreError::NotFound { key }) => {
                vec![("key", text(key))]
            }
            EngineError::Damaged { volume, key, offset, .. } => {
                vec![("volume", text(volume)), ("key", text(key)), ("offset", Fact::Number(*offset))]
            }
            EngineError::Source { volume, .. }
            | EngineError::SourceChanged { volume, .. }
            | EngineError::Target { volume, .. } => vec![("volume", text(volume))],
            EngineError::Fenced { run, .. } => vec![("run", text(run))],
            EngineError::Forgotten(point) => vec![("point", text(point))],
            EngineError::AllVolumesFailed(first) => first.context(),
            EngineError::Unfinished { source, half_written, restored } => {
                let mut context = source.context();
                if let Some(half_written) = half_written {
                    context.push(("half_written", text(&half_written.target)));
                }
                if !restored.is_empty() {
                    context.push(("restored", Fact::Text(restored.join(", "))));
                }
                context
            }
            _ => Vec::new(),
        }
    }

    /// Whether the operation was asked to stop, whoever noticed it and whatever the reason.
    pub fn is_cancellation(&self) -> bool {
        matches!(
            self.cause(),
            EngineError::Cancelled
                | EngineError::DeadlinePassed
                | EngineError::ShuttingDown
                | EngineError::Store(StoreError::Cancelled { .. })
        )
    }

    /// Whether something stored is damaged or missing, and its source may still be whole.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, EngineError::Damaged { .. } | EngineError::Object { .. })
    }

    /// Whether a document was signed with a key that a rotation replaced, and does not count.
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self, EngineError::Object { source: FormatError::Replaced { .. }, .. })
    }

    /// Attaches an object's key to a format error.
    pub(crate) fn object(key: &str) -> impl FnOnce(FormatError) -> EngineError + '_ {
        move |source| EngineError::Object { key: key.to_owned(), source }
    }
}

/// A name or a number of an error's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A name: an object's key, a volume, an id.
    Text(String),
    /// A number: an offset in bytes.
    Number(u64),
}

impl std::fmt::Display for Fact {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fact::Text(text) => formatter.write_str(text),
            Fact::Number(number) => number.fmt(formatter),
        }
    }
}

/// An error and its causes in one line; a cause that its effect quotes already is not said twice.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.replace(['\n', '\r'], " ")
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        EngineError::Store(error)
    }
}

fn store_advice(error: &StoreError) -> Advice {
    match error.advice() {
        coffer_store::Advice::Retry => Advice::Retry,
        coffer_store::Advice::Configure => Advice::Configure,
        coffer_store::Advice::Corrupt => Advice::Corrupt,
        coffer_store::Advice::NotFound => Advice::NotFound,
        coffer_store::Advice::Bug => Advice::Bug,
    }
}
