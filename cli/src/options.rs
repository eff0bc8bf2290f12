//! Groups of options that several verbs share. Their help texts are written once, here.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coffer_blockio::EngineWish;
use coffer_engine::catalog::Filter;
use coffer_format::{Id, Label, Timestamp, VolumeName};

use crate::values;

/// What is printed, and how.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Print exactly one JSON document on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// No progress on standard error
    #[arg(long, global = true)]
    pub(crate) quiet: bool,

    /// Form of the log on standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// What is logged at least
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log_level: LogLevel,
}

/// Form of the log.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Least level of the log.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// A person must act
    Error,
    /// Odd, but work went on
    Warn,
    /// Changes of state
    Info,
    /// Everything
    Debug,
}

/// Where the repository is.
#[derive(Args, Debug, Clone)]
pub(crate) struct RepositoryOptions {
    // The value is parsed later, so that an address with a secret in it is never repeated by an error message.
    /// Repository: file:///absolute/directory or s3://bucket/prefix
    #[arg(long, value_name = "R", env = "COFFER_REPO", hide_env_values = true)]
    pub(crate) repo: String,
}

/// The caller's key.
#[derive(Args, Debug, Clone)]
pub(crate) struct KeyOptions {
    /// Key file: a recovery key does everything, a writer key everything but read data
    #[arg(long, value_name = "FILE", env = "COFFER_KEY_FILE", hide_env_values = true)]
    pub(crate) key: Option<PathBuf>,
}

/// Which plan: values not given match any.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Identity")]
pub(crate) struct IdentityOptions {
    /// Team, the owner of keys and points
    #[arg(long, value_name = "T", value_parser = values::format_value::<Label>)]
    pub(crate) team: Option<Label>,

    /// Cluster, or host
    #[arg(long, value_name = "C", value_parser = values::format_value::<Label>)]
    pub(crate) cluster: Option<Label>,

    /// Namespace in the cluster
    #[arg(long, value_name = "N", value_parser = values::format_value::<Label>)]
    pub(crate) namespace: Option<Label>,

    /// Plan, the unit that has points
    #[arg(long, value_name = "P", value_parser = values::format_value::<Label>)]
    pub(crate) plan: Option<Label>,
}

impl IdentityOptions {
    /// All points of the plans that match.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            team: self.team.clone(),
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            plan: self.plan.clone(),
            ..Filter::default()
        }
    }
}

/// Which points: values not given match any.
#[derive(Args, Debug, Clone)]
pub(crate) struct FilterOptions {
    #[command(flatten)]
    pub(crate) identity: IdentityOptions,

    /// Only points with this volume
    #[arg(long, value_name = "NAME", value_parser = values::format_value::<VolumeName>, help_heading = "Filters")]
    pub(crate) volume: Option<VolumeName>,

    /// Only points with this tag; may be repeated
    #[arg(long, value_name = "K=V", value_parser = values::tag, help_heading = "Filters")]
    pub(crate) tag: Vec<(String, String)>,

    /// Only points at or after this time
    #[arg(long, value_name = "RFC3339", value_parser = values::time, help_heading = "Filters")]
    pub(crate) since: Option<Timestamp>,

    /// Only points at or before this time
    #[arg(long, value_name = "RFC3339", value_parser = values::time, help_heading = "Filters")]
    pub(crate) until: Option<Timestamp>,
}

impl FilterOptions {
    /// What the engine filters by.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            volume: self.volume.clone(),
            tags: self.tag.clone(),
            since: self.since,
            until: self.until,
            ..self.identity.filter()
        }
    }
}

/// How much memory a run may take.
#[derive(Args, Debug, Clone)]
pub(crate) struct MemoryOptions {
    /// Peak resident memory of the process stays below this; 64MiB at least
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = values::size)]
    pub(crate) memory: u64,
}

/// How volumes are read.
#[derive(Args, Debug, Clone)]
pub(crate) struct ReadOptions {
    /// Read engine: auto (uring for scattered blocks where it works, else pread), uring (for everything) or pread
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = values::read_engine)]
    pub(crate) io: EngineWish,
}

/// How fast a run may be.
#[derive(Args, Debug, Clone)]
pub(crate) struct LimitOptions {
    /// Read no more than this per second, such as 100MiB
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub(crate) limit_read: Option<NonZeroU64>,

    /// Send no more than this per second
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub(crate) limit_upload: Option<NonZeroU64>,
}

/// One point, named by its id.
#[derive(Args, Debug, Clone)]
pub(crate) struct PointArgument {
    /// Id of the point, as `coffer points` shows it
    #[arg(value_name = "POINT", value_parser = values::format_value::<Id>)]
    pub(crate) point: Id,
}
