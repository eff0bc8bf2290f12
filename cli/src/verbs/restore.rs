//! `coffer restore`: chooses a point, checks every target, and lets the engine write.

mod agents;
mod from_map;
mod places;
mod request;
mod resources;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use coffer_engine::backup::Progress;
use coffer_engine::catalog::{PointEntry, load_manifest};
use coffer_engine::{
    Repository, Resources, RestoreRequest, RestoreVolume, RestoredVolume, restore_to_stream, run_restore,
    run_salvage,
};
use coffer_format::VolumeName;
use coffer_store::RepositoryUrl;

use self::places::Places;
pub(crate) use self::request::RestoreArguments;
use self::request::{Sparse, cancelled_or, choose_point, close, explain};
use crate::documents::restore::RestoreDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::output::Document;
use crate::progress::Reporter;
use crate::room;
use crate::session::Session;
use crate::targets::{self, Checked};

pub(crate) fn run(session: &Session, arguments: &RestoreArguments) -> Result<ExitStatus, CliError> {
    if session.agents.are_given() {
        return agents::run(session, arguments);
    }
    if !arguments.resource.is_empty() {
        return resources::run(session, arguments);
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

/// Progress of what nobody watches.
struct Silent;

impl Progress for Silent {
    fn volume(&self, _volume: &str, _total_bytes: u64) {}

    fn advance(&self, _done_bytes: u64, _moved_bytes: u64) {}
}
