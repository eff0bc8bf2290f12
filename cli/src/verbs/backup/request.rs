//! What `coffer backup` is asked for, and what both its ways, here and through agents, do alike.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use coffer_blockio::ReadEngine;
use coffer_engine::Repository;
use coffer_engine::backup::{BackupReport, TypeWish};
use coffer_format::{BlockSize, Compression, Label, PlanId, PointState, Timestamp, VolumeName};
use coffer_store::RequestCounts;

use super::{host, lists, siblings};
use crate::documents::backup::BackupDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{KeyOptions, LimitOptions, MemoryOptions, ReadOptions, RepositoryOptions};
use crate::plugins::{PluginOptions, ResourceWord, StateOptions};
use crate::session::Session;
use crate::values;
use crate::volume_words::SourceWord;

const EXAMPLES: &str = "\
Examples:
  coffer backup --repo file:///srv/backup --key writer.key --plan web /dev/vg0/web-snapshot
  coffer backup --repo file:///srv/backup --key writer.key --plan shop db=/dev/vg0/db-snap files=/srv/files.img
  coffer backup --repo file:///srv/backup --key writer.key --plan web --type full --compression zstd:9 --json web=disk.img
  coffer backup --repo file:///srv/backup --key writer.key --plan web --changes list:changed.json --list-base 01jd3k5x6v8q2m4n7p9r0s1t2w disk.img

  coffer backup --repo file:///srv/backup --key writer.key --plan shop --resource OS::Trove::Instance/4f3a=options.json files=/srv/files.img

--changes list:FILE takes what a change tracker of your own knows: every range of the volume that was written to since the source of
point --list-base was frozen, as JSON [[offset,length],...] in bytes, in any order; with several volumes list:NAME=FILE for each that
has a list. Only these blocks are read; a block is read whole if a range touches it. Of more than 262,144 ranges in all lists together
the nearest are joined, which reads more and misses nothing. To name too much costs time, to name too little loses data:
- The list is refused (exit status 6) unless the run builds on point --list-base. A full reads everything, with or without a list.
- --sample blocks that the list calls unchanged, chosen by chance, are read and compared with the base. If one of them had changed, the
  list is not believed and the whole volume is read; the point says so. If a share p of the blocks called unchanged had changed,
  N samples find it with the chance 1 - (1 - p)^N: with 4,096 samples 34 % for one block in 10,000, 98 % for one in 1,000. What no
  sample hits is missing in the point until a run reads everything; 0 trusts the list. Run --changes hash now and then.
- What the volume grew by is read in any case, and so is what `coffer verify` found damaged. Nothing else of the base is looked at.
Holes (auto and fiemap) are what the file system itself says would be read as zeroes; they are not sampled.

A volume that is written to while it is read gives a point that is crash-consistent at best. Back a snapshot up, or stop what writes.

With --agent volumes are read by the agents of their nodes, and this program opens and commits the point: --repo and --key are those of
this machine, the key (of a recovery key a writer key made for the run) and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN
go to the agents, unless --agent-key-name and --agent-credentials-name name files of theirs. A VOLUME is a path on the node or an ID of
`coffer volumes`; with several agents it is NAME=NODE:PATH, NODE as given with --agent or as the agent calls itself. Volumes of an agent
that fails or stays away are not in the point (exit status 3). Cut off, this command run again with the same --idempotency-key takes up
what agents do and have done; stopped by a signal, it stops them.
  coffer backup --agent https://node-1:9443 --repo s3://bucket/p --key writer.key --plan web web=/dev/vg0/web-snapshot
  coffer backup --agent n1=https://10.0.0.1:9443,n2=https://10.0.0.2:9443 --repo s3://bucket/p --key writer.key --plan shop \\
      --idempotency-key 2026-11-21 db=n1:/dev/vdb files=n2:/dev/vdc

A backup that was killed is simply run again: packs that it had finished are used again where their blocks still match (resumed_bytes).";

/// Options of `backup`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    pub(super) repository: RepositoryOptions,
    #[command(flatten)]
    pub(super) key: KeyOptions,

    /// Block devices and disk images; a path alone is named by its last component
    #[arg(value_name = "VOLUME", required_unless_present = "resource")]
    pub(super) volumes: Vec<SourceWord>,

    /// A resource that a plugin protects, and what is below it; its options are a JSON object in a file; may be repeated
    #[arg(long, value_name = "TYPE/ID[=OPTIONS.json]")]
    pub(super) resource: Vec<ResourceWord>,

    /// How long the protection of one resource may take
    #[arg(long, value_name = "SECONDS", default_value_t = 21_600, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub(super) resource_timeout: u32,

    #[command(flatten)]
    pub(super) plugins: PluginOptions,

    #[command(flatten)]
    pub(super) state: StateOptions,

    #[command(flatten)]
    pub(super) identity: PlanOptions,

    /// What to make: auto makes a full first and again after --full-every points
    #[arg(long = "type", value_name = "TYPE", default_value = "auto")]
    pub(super) type_wish: Type,

    /// Complete points of a chain before the next full, 1 to 256
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) full_every: u32,

    #[command(flatten)]
    pub(super) changes: lists::ChangesOptions,

    /// Block size of volumes that have none yet, 16KiB to 1MiB [default: by the volume's size]
    #[arg(long, value_name = "SIZE", value_parser = values::block_size)]
    pub(super) block_size: Option<BlockSize>,

    /// lz4, zstd[:1-22] or none; the less data shrinks, the less is tried, down to one block in 8 with the others stored as they are
    #[arg(long, value_name = "HOW", default_value = "lz4", value_parser = values::compression)]
    pub(super) compression: Compression,

    #[command(flatten)]
    pub(super) reading: ReadOptions,

    #[command(flatten)]
    pub(super) limits: LimitOptions,

    #[command(flatten)]
    pub(super) memory: MemoryOptions,

    /// When the source was frozen, if earlier than now; retention and picking use it
    #[arg(long, value_name = "RFC3339", value_parser = values::time)]
    pub(super) snapshot_time: Option<Timestamp>,

    /// A tag of the point; may be repeated
    #[arg(long, value_name = "K=V", value_parser = values::tag)]
    pub(super) tag: Vec<(String, String)>,

    /// Free text about the point
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) description: String,

    /// A repeated run with the same key returns the first run's point instead of a new one
    #[arg(long, value_name = "K")]
    pub(super) idempotency_key: Option<String>,
}

/// Which plan the point belongs to.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Identity")]
pub(super) struct PlanOptions {
    /// Plan, the unit that has points
    #[arg(long, value_name = "P", value_parser = values::format_value::<Label>)]
    pub(super) plan: Label,

    /// Team [default: the key's team, or `default`]
    #[arg(long, value_name = "T", value_parser = values::format_value::<Label>)]
    pub(super) team: Option<Label>,

    /// Cluster [default: this host's name]
    #[arg(long, value_name = "C", value_parser = values::format_value::<Label>)]
    pub(super) cluster: Option<Label>,

    /// Namespace
    #[arg(long, value_name = "N", default_value = "default", value_parser = values::format_value::<Label>)]
    pub(super) namespace: Label,
}

/// Full or incremental.
#[derive(ValueEnum, Debug, Clone, Copy)]
pub(super) enum Type {
    Auto,
    Full,
    Incremental,
}

/// Says so where this host's name, which nobody chose for the point, seems to be another one with each run.
pub(super) fn hint_at_siblings(
    session: &Session,
    arguments: &BackupArguments,
    repository: &Repository,
    report: &BackupReport,
) {
    let hint = || siblings::hint(repository, report);
    if let Some(hint) = arguments.identity.cluster.is_none().then(hint).flatten() {
        session.output.remark(&hint);
    }
}

/// Prints the result, and says what is missing in a partial point.
pub(super) fn show(
    session: &Session,
    report: BackupReport,
    engines: &BTreeMap<VolumeName, ReadEngine>,
    requests: RequestCounts,
) -> Result<ExitStatus, CliError> {
    let state = report.state;
    let document = BackupDocument::new(report, engines, requests, session.duration_ms());
    session.output.show(&document)?;
    if state == PointState::Available {
        return Ok(ExitStatus::Done);
    }
    let failed = document.failed().join(", ");
    let line =
        format!("partly done, not in the point: {failed}; the point is never picked, run the backup again");
    Ok(session.output.close(ExitStatus::Partly, &line))
}

pub(super) fn plan(repository: &Repository, identity: &PlanOptions) -> Result<PlanId, CliError> {
    let default_team =
        || repository.team().cloned().unwrap_or_else(|| "default".parse().expect("a valid label"));
    Ok(PlanId {
        team: identity.team.clone().unwrap_or_else(default_team),
        cluster: identity.cluster.clone().map_or_else(host::cluster, Ok)?,
        namespace: identity.namespace.clone(),
        plan: identity.plan.clone(),
    })
}

pub(super) fn tags(given: &[(String, String)]) -> Result<BTreeMap<String, String>, CliError> {
    let mut tags = BTreeMap::new();
    for (key, value) in given {
        if tags.insert(key.clone(), value.clone()).is_some() {
            return Err(CliError::Usage(format!(
                "--tag {key} is given twice; a point has one value per tag"
            )));
        }
    }
    Ok(tags)
}

impl From<Type> for TypeWish {
    fn from(wish: Type) -> Self {
        match wish {
            Type::Auto => TypeWish::Auto,
            Type::Full => TypeWish::Full,
            Type::Incremental => TypeWish::Incremental,
        }
    }
}
