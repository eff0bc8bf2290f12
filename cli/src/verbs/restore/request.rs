//! What `coffer restore` is asked for, and what all its ways do alike.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coffer_engine::catalog::PointEntry;
use coffer_engine::{Advice, EngineError, Intent, Repository};
use coffer_format::Id;
use jiff::tz::TimeZone;

use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{IdentityOptions, KeyOptions, MemoryOptions, RepositoryOptions};
use crate::plugins::{PluginOptions, ResourceWord};
use crate::selection::{point_by_id, point_by_intent};
use crate::session::Session;
use crate::targets::Existing;
use crate::volume_words::TargetWord;
use crate::{human, values};

const EXAMPLES: &str = "\
Examples:
  coffer restore --repo file:///srv/backup --key recovery.key --plan web --pick latest --to /srv/restored
  coffer restore --repo file:///srv/backup --key recovery.key --plan web --pick day=-1 --volume vdb=/dev/vdb --overwrite
  coffer restore --repo file:///srv/backup --key recovery.key 01jd3k5x6v8q2m4n7p9r0s1t2w --volume vdb=disk.img --in-place
  coffer restore --repo file:///srv/backup --key recovery.key --plan web --pick previous --volume vdb=- | pv > /dev/vdb

With --agent the point is chosen here and agents write to targets on their nodes; with several agents a target is NODE:PATH. The recovery
key goes to the agents, unless --agent-key-name names a file of theirs; so do AWS_ACCESS_KEY_ID and what belongs to it.
  coffer restore --agent https://node-1:9443 --repo s3://bucket/p --key recovery.key --plan web --pick latest --volume web=/dev/vdb --overwrite
  coffer restore --agent n1=https://10.0.0.1:9443,n2=https://10.0.0.2:9443 --repo s3://bucket/p --key recovery.key --plan shop \\
      --pick latest --volume db=n1:/dev/vdb --volume files=n2:/dev/vdc --in-place

  coffer restore --repo file:///srv/backup --key recovery.key --plan shop --pick latest --resource OS::Trove::Instance/4f3a=restore.json

Before any target is changed, the map, the chain's key and one block of every volume are read. A new file lies beside its name, as
.NAME.coffer-partial, until it is whole. A restore that was interrupted is finished by the same command with --in-place.

Where something is damaged or missing, --salvage restores all that can be proved, lists the ranges that cannot, and ends with status 5. If the
manifest is lost too, --map names the map object of a volume (`coffer cat map` and a listing of the bucket help to find it); do not prune before.
  coffer restore --repo file:///srv/backup --key recovery.key --plan web --pick latest --volume vdb=vdb.img --salvage
  coffer restore --repo file:///srv/backup --key recovery.key --salvage --volume vdb=vdb.img \\
      --map t/default/data/host/default/web/01jd3k5x6v8q2m4n7p9r0s1t2w/01jd3k5x6v8q2m4n7p9r0s1t2w/vdb/map";

/// Options of `restore`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    pub(super) repository: RepositoryOptions,
    #[command(flatten)]
    pub(super) key: KeyOptions,

    /// Id of the point, as `coffer points` shows it
    #[arg(value_name = "POINT", value_parser = values::format_value::<Id>, required_unless_present_any = ["pick", "map"])]
    pub(super) point: Option<Id>,

    /// Which point of the plan: latest, previous[:N], oldest, oldest-day[:first|last], day=-N[:first|last], as-of=RFC3339
    #[arg(long, value_name = "INTENT", value_parser = values::intent, conflicts_with = "point")]
    pub(super) pick: Option<Intent>,

    /// Time zone of the days of --pick
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = values::time_zone)]
    pub(super) time_zone: TimeZone,

    #[command(flatten)]
    pub(super) identity: IdentityOptions,

    /// A volume and where it goes: a file, a block device, or - for standard output; may be repeated
    #[arg(long, value_name = "NAME=TARGET", conflicts_with = "to")]
    pub(super) volume: Vec<TargetWord>,

    /// A resource of the point, with options of its restore in a file; may be repeated. Volumes are restored by a command of their own
    #[arg(long, value_name = "TYPE/ID[=OPTIONS.json]", conflicts_with_all = ["volume", "to", "overwrite", "in_place", "salvage", "map"])]
    pub(super) resource: Vec<ResourceWord>,

    /// How long the restore of one resource may take
    #[arg(long, value_name = "SECONDS", default_value_t = 21_600, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub(super) resource_timeout: u32,

    /// A repeated restore of a resource with the same key finds what the first one made
    #[arg(long, value_name = "K", requires = "resource", value_parser = restore_key)]
    pub(super) idempotency_key: Option<String>,

    #[command(flatten)]
    pub(super) plugins: PluginOptions,

    /// Directory for all volumes of the point, each as a file of its name
    #[arg(long, value_name = "DIR")]
    pub(super) to: Option<PathBuf>,

    /// Replace targets that exist
    #[arg(long, conflicts_with = "in_place")]
    pub(super) overwrite: bool,

    /// Read targets that exist and write only blocks that differ
    #[arg(long)]
    pub(super) in_place: bool,

    /// Restore what can be proved, list what is damaged or missing, and end with status 5 if anything is; lost ranges of a target that
    /// exists stay as they were with --in-place, and are zeroes otherwise
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) salvage: bool,

    /// Key of a volume's map object, for a volume whose manifest is lost
    #[arg(long, value_name = "KEY", requires = "salvage", conflicts_with_all = ["point", "pick", "to"])]
    pub(super) map: Option<String>,

    /// Say what would be read and written, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Holes in new files: auto leaves them, never writes zeroes
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) sparse: Sparse,

    #[command(flatten)]
    pub(super) memory: MemoryOptions,
}

/// Whether holes are left in new files.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sparse {
    Auto,
    Never,
}

impl RestoreArguments {
    pub(super) fn existing(&self) -> Existing {
        match (self.overwrite, self.in_place) {
            (true, _) => Existing::Overwrite,
            (false, true) => Existing::InPlace,
            (false, false) => Existing::Refuse,
        }
    }
}

/// A key that plugins take.
fn restore_key(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("write 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`".into()),
    }
}

pub(super) fn choose_point(
    repository: &Repository,
    arguments: &RestoreArguments,
) -> Result<PointEntry, CliError> {
    let filter = arguments.identity.filter();
    match (arguments.point, &arguments.pick) {
        (Some(point), _) => point_by_id(repository, &filter, point),
        (None, Some(intent)) => point_by_intent(repository, &filter, intent, &arguments.time_zone),
        (None, None) => Err(CliError::Usage("name a POINT, or give --plan P --pick INTENT".into())),
    }
}

/// Says which volumes the point lacks, and how much was lost.
pub(super) fn close(session: &Session, failed: &[String], lost_bytes: u64) -> Result<ExitStatus, CliError> {
    if lost_bytes > 0 {
        let line = format!(
            "{} ({lost_bytes} bytes) could not be restored: what holds them is damaged or missing; the rest is there, its blocks were checked",
            human::size(lost_bytes)
        );
        return Ok(session.output.close(ExitStatus::Damaged, &line));
    }
    if failed.is_empty() {
        return Ok(ExitStatus::Done);
    }
    let line =
        format!("partly done, not in the point: {}; choose another point for these", failed.join(", "));
    Ok(session.output.close(ExitStatus::Partly, &line))
}

/// Says what a failed restore left of its targets, and how to go on.
pub(super) fn explain(error: CliError) -> CliError {
    let CliError::Engine(engine) = &error else { return error };
    let is_damage = engine.advice() == Advice::Corrupt;
    let next = match engine {
        EngineError::Unfinished { half_written: Some(_), .. } if is_damage => {
            "`restore --salvage --in-place` writes what can be proved, another point may be whole, and `coffer verify` tells which".into()
        }
        EngineError::Unfinished { half_written: Some(_), .. } => {
            "finish it with the same command and --in-place".into()
        }
        _ if is_damage => {
            "no target that existed was changed; `restore --salvage` writes what can be proved, and `coffer verify` tells which points are touched"
                .into()
        }
        _ => match error.next_step() {
            Some(next) => format!("{next}; no target that existed was changed"),
            None => "no target that existed was changed".into(),
        },
    };
    CliError::After { source: Box::new(error), next }
}

/// Whatever a cancel made fail first, it was the cancel.
pub(super) fn cancelled_or<T>(
    repository: &Repository,
    result: Result<T, EngineError>,
) -> Result<T, EngineError> {
    let is_cancelled = repository.environment().cancel.is_cancelled();
    result.map_err(
        |error| {
            if is_cancelled { error.map_cause(|_noticed| EngineError::Cancelled) } else { error }
        },
    )
}
