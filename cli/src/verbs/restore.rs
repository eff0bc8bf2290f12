//! `coffer restore`: chooses a point, checks every target, and lets the engine write.

mod agents;
mod from_map;
mod places;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coffer_engine::backup::Progress;
use coffer_engine::catalog::{PointEntry, load_manifest};
use coffer_engine::{
    Advice, EngineError, Intent, Repository, Resources, RestoreRequest, RestoreVolume, RestoredVolume,
    restore_to_stream, run_restore, run_salvage,
};
use coffer_format::{Id, VolumeName};
use coffer_store::RepositoryUrl;
use jiff::tz::TimeZone;

use self::places::Places;
use crate::documents::restore::RestoreDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{IdentityOptions, KeyOptions, MemoryOptions, RepositoryOptions};
use crate::output::Document;
use crate::progress::Reporter;
use crate::selection::{point_by_id, point_by_intent};
use crate::session::Session;
use crate::targets::{self, Checked, Existing};
use crate::volume_words::TargetWord;
use crate::{human, room, values};

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
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,

    /// Id of the point, as `coffer points` shows it
    #[arg(value_name = "POINT", value_parser = values::format_value::<Id>, required_unless_present_any = ["pick", "map"])]
    point: Option<Id>,

    /// Which point of the plan: latest, previous[:N], oldest, oldest-day[:first|last], day=-N[:first|last], as-of=RFC3339
    #[arg(long, value_name = "INTENT", value_parser = values::intent, conflicts_with = "point")]
    pick: Option<Intent>,

    /// Time zone of the days of --pick
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = values::time_zone)]
    time_zone: TimeZone,

    #[command(flatten)]
    identity: IdentityOptions,

    /// A volume and where it goes: a file, a block device, or - for standard output; may be repeated
    #[arg(long, value_name = "NAME=TARGET", conflicts_with = "to")]
    volume: Vec<TargetWord>,

    /// Directory for all volumes of the point, each as a file of its name
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,

    /// Replace targets that exist
    #[arg(long, conflicts_with = "in_place")]
    overwrite: bool,

    /// Read targets that exist and write only blocks that differ
    #[arg(long)]
    in_place: bool,

    /// Restore what can be proved, list what is damaged or missing, and end with status 5 if anything is; lost ranges of a target that
    /// exists stay as they were with --in-place, and are zeroes otherwise
    #[arg(long, conflicts_with = "dry_run")]
    salvage: bool,

    /// Key of a volume's map object, for a volume whose manifest is lost
    #[arg(long, value_name = "KEY", requires = "salvage", conflicts_with_all = ["point", "pick", "to"])]
    map: Option<String>,

    /// Say what would be read and written, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Holes in new files: auto leaves them, never writes zeroes
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    sparse: Sparse,

    #[command(flatten)]
    memory: MemoryOptions,
}

/// Whether holes are left in new files.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Sparse {
    Auto,
    Never,
}

impl RestoreArguments {
    fn existing(&self) -> Existing {
        match (self.overwrite, self.in_place) {
            (true, _) => Existing::Overwrite,
            (false, true) => Existing::InPlace,
            (false, false) => Existing::Refuse,
        }
    }
}

pub(crate) fn run(session: &Session, arguments: &RestoreArguments) -> Result<ExitStatus, CliError> {
    if session.agents.are_given() {
        return agents::run(session, arguments);
    }
    let places = Places::new(&arguments.volume, arguments.to.as_deref(), arguments.dry_run)?;
    if places.stream().is_some() {
        refuse_stream(session, arguments)?;
    }
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let resources = Session::resources(&arguments.memory)?;
    if let Some(key) = &arguments.map {
        return from_map::run(session, arguments, &repository, &resources, &places, key);
    }
    let point = choose_point(&repository, arguments)?;
    repository.recovery_key(&point.plan.team)?;
    let job = Job { session, arguments, repository: &repository, resources: &resources, point: &point };
    match places.stream() {
        Some(volume) => job.stream(volume),
        None => job.restore(&places),
    }
}

fn choose_point(repository: &Repository, arguments: &RestoreArguments) -> Result<PointEntry, CliError> {
    let filter = arguments.identity.filter();
    match (arguments.point, &arguments.pick) {
        (Some(point), _) => point_by_id(repository, &filter, point),
        (None, Some(intent)) => point_by_intent(repository, &filter, intent, &arguments.time_zone),
        (None, None) => Err(CliError::Usage("name a POINT, or give --plan P --pick INTENT".into())),
    }
}

fn refuse_stream(session: &Session, arguments: &RestoreArguments) -> Result<(), CliError> {
    if arguments.salvage {
        return Err(CliError::Usage(
            "--salvage leaves out what is lost, which a stream cannot; give a file or a device instead of NAME=-"
                .into(),
        ));
    }
    if session.output.is_json() {
        return Err(CliError::Usage("NAME=- writes the volume to standard output; leave --json out".into()));
    }
    if io::stdout().is_terminal() {
        return Err(CliError::Usage(
            "NAME=- writes the volume to standard output, which is a terminal; redirect it".into(),
        ));
    }
    Ok(())
}

/// Says which volumes the point lacks, and how much was lost.
fn close(session: &Session, failed: &[String], lost_bytes: u64) -> Result<ExitStatus, CliError> {
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
fn explain(error: CliError) -> CliError {
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

struct Job<'a> {
    session: &'a Session,
    arguments: &'a RestoreArguments,
    repository: &'a Repository,
    resources: &'a Resources,
    point: &'a PointEntry,
}

impl Job<'_> {
    fn restore(&self, places: &Places) -> Result<ExitStatus, CliError> {
        let manifest = load_manifest(self.repository, self.point)?.payload;
        let chosen = places.choose(&manifest)?;
        if let RepositoryUrl::File { root } = self.session.address(&self.arguments.repository)? {
            targets::refuse_inside(&root, &chosen.wanted)?;
        }
        if !self.arguments.dry_run {
            places.make_directory()?;
        }
        let volumes = if places.are_imagined(self.arguments.dry_run) {
            chosen.wanted.iter().map(targets::Wanted::imagined).collect()
        } else {
            self.targets(chosen.wanted)?
        };
        let restored = self.write(volumes);
        let restored = if self.arguments.dry_run { restored? } else { restored.map_err(explain)? };
        let lost_bytes = restored.iter().map(|volume| volume.lost_bytes).sum();
        let requests = self.repository.store().requests();
        let (dry_run, duration_ms) = (self.arguments.dry_run, self.session.duration_ms());
        self.session.output.show(&RestoreDocument::new(
            self.point.id,
            restored,
            dry_run,
            requests,
            duration_ms,
        ))?;
        close(self.session, &chosen.failed, lost_bytes)
    }

    /// Checks all targets; in a dry run they are not opened.
    fn targets(&self, wanted: Vec<targets::Wanted>) -> Result<Vec<RestoreVolume>, CliError> {
        let write_zeroes = self.arguments.sparse == Sparse::Never;
        let existing = self.arguments.existing();
        let checked: Vec<Checked> =
            wanted.into_iter().map(|wanted| targets::check(wanted, existing)).collect::<Result<_, _>>()?;
        room::check(&checked, !write_zeroes, || self.data_bytes(&checked))?;
        if self.arguments.dry_run {
            return Ok(checked.iter().map(|target| target.volume(None, write_zeroes)).collect());
        }
        targets::open(&checked, write_zeroes.then_some(&self.session.environment().cancel))
    }

    fn write(&self, volumes: Vec<RestoreVolume>) -> Result<Vec<RestoredVolume>, CliError> {
        let reporter = Reporter::start(&self.session.output, "restore");
        let progress = reporter.progress();
        let request = RestoreRequest { point: self.point, volumes, progress: progress.as_ref() };
        let restored = match self.arguments.salvage {
            true => run_salvage(self.repository, self.resources, &request),
            false => run_restore(self.repository, self.resources, &request),
        };
        Ok(cancelled_or(self.repository, restored)?.volumes)
    }

    /// Bytes of each volume that hold data, from its map.
    fn data_bytes(&self, checked: &[Checked]) -> Result<BTreeMap<VolumeName, u64>, CliError> {
        let volumes = checked.iter().map(|target| target.volume(None, false)).collect();
        let request = RestoreRequest { point: self.point, volumes, progress: &Silent };
        let report = match self.arguments.salvage {
            true => run_salvage(self.repository, self.resources, &request)?,
            false => run_restore(self.repository, self.resources, &request)?,
        };
        Ok(report.volumes.into_iter().map(|volume| (volume.name, volume.written)).collect())
    }

    fn stream(&self, volume: &VolumeName) -> Result<ExitStatus, CliError> {
        let mut out = io::stdout().lock();
        let restored = restore_to_stream(self.repository, self.resources, self.point, volume, &mut out)?;
        let requests = self.repository.store().requests();
        let document =
            RestoreDocument::new(self.point.id, vec![restored], false, requests, self.session.duration_ms());
        document.text().as_str().lines().for_each(|line| self.session.output.remark(line));
        Ok(ExitStatus::Done)
    }
}

/// Whatever a cancel made fail first, it was the cancel.
fn cancelled_or<T>(repository: &Repository, result: Result<T, EngineError>) -> Result<T, EngineError> {
    let is_cancelled = repository.environment().cancel.is_cancelled();
    result.map_err(
        |error| {
            if is_cancelled { error.map_cause(|_noticed| EngineError::Cancelled) } else { error }
        },
    )
}

/// Progress of what nobody watches.
struct Silent;

impl Progress for Silent {
    fn volume(&self, _volume: &str, _total_bytes: u64) {}

    fn advance(&self, _done_bytes: u64, _moved_bytes: u64) {}
}
