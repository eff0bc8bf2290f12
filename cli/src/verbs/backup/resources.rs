//! A point of resources and volumes: plugins do their part first, what they sent becomes volumes, then the engine does its part and commits.

mod settle;
mod spool;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use coffer_engine::backup::{
    BackupReport, OpenOutcome, OpenPoint, PointRequest, Progress, VolumeSource, VolumesDone, VolumesRequest,
    back_up_volumes, commit_point, open_point,
};
use coffer_engine::catalog::{Filter, load_manifest};
use coffer_engine::{RateLimiter, Repository, Resources, find_point};
use coffer_format::{ArtefactRecord, PlanId, ResourceRecord, ResourceRef, VolumeName, VolumeState};
use coffer_plugin_sdk::PluginArtefact;
use coffer_resources::{
    Begun, BegunResource, Done, Journal, Plan, Planned, Registry, ResourceError, RunOrder, artefact,
};
use tokio::runtime::Runtime;

use self::settle::{Earlier, settle};
use self::spool::Spool;
use super::request::{BackupArguments, hint_at_siblings, plan, show, tags};
use super::{lists, sources};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::plugins::{discover, runtime};
use crate::progress::Reporter;
use crate::session::Session;
use crate::verbs::version::program_version;

pub(super) fn run(session: &Session, arguments: &BackupArguments) -> Result<ExitStatus, CliError> {
    let tags = tags(&arguments.tag)?;
    sources::check(&arguments.volumes)?;
    let changes = lists::check(&arguments.changes, &arguments.volumes)?;
    let wishes = arguments.resource.iter().map(|word| word.wish()).collect::<Result<Vec<_>, _>>()?;
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let plan_id = plan(&repository, &arguments.identity)?;
    repository.check_writing(&plan_id.team)?;
    let mut resources = Session::resources(&arguments.memory)?;
    let limiter = |rate: Option<NonZeroU64>| rate.map(|rate| Arc::new(RateLimiter::new(rate)));
    resources.read_limit = limiter(arguments.limits.limit_read);
    resources.upload_limit = limiter(arguments.limits.limit_upload);
    let opener = session.opener(&arguments.reading, &resources)?;
    let volumes = sources::open(&arguments.volumes, &opener)?;
    let lists = changes.read(&volumes)?;

    let runtime = runtime()?;
    let journal = Journal::open(&arguments.state.directory()?, &repository.id(), &plan_id)?;
    let registry = discover(&runtime, &arguments.plugins)?;
    let planned = runtime.block_on(coffer_resources::plan(&registry, &wishes))?;
    let earlier = settle(&repository, &runtime, &registry, &plan_id, &journal, &planned)?;
    let wanted = PointRequest {
        plan: plan_id.clone(),
        volumes: volumes.iter().map(|volume| volume.name.clone()).collect(),
        resources: Vec::new(),
        resources_only: true,
        type_wish: arguments.type_wish.into(),
        full_every: arguments.full_every,
        list_base: lists.as_ref().map(|lists| lists.base),
        snapshot_time: arguments.snapshot_time,
        idempotency_key: arguments.idempotency_key.clone(),
        description: arguments.description.clone(),
        tags,
        writer: format!("coffer {}", program_version()),
    };
    let point = match open_point(&repository, &wanted)? {
        OpenOutcome::New(point) => point,
        OpenOutcome::Repeated(report) => {
            earlier.keep(&journal)?;
            return show(session, *report, &BTreeMap::new(), repository.store().requests());
        }
    };
    let job = Job {
        session,
        repository: &repository,
        runtime: &runtime,
        registry: &registry,
        journal: &journal,
        planned: &planned,
        point: &point,
    };
    let keys = job.begin(&earlier)?;
    let made = job.protect(&keys, arguments).and_then(|done| {
        let mut volumes = volumes;
        let records = job.records(&keys, done, &opener, &mut volumes)?;
        let reporter = Reporter::start(&session.output, "backup");
        let progress: Arc<dyn Progress> = reporter.progress();
        let request = VolumesRequest {
            reference: &point.reference,
            volumes: &volumes,
            changes: changes.source,
            lists: lists.as_ref(),
            block_size: arguments.block_size,
            compression: arguments.compression,
            progress: progress.as_ref(),
        };
        let report = job.commit(&resources, &request, &wanted, records)?;
        let engines = sources::engines(&volumes);
        Ok((report, engines))
    });
    let (report, engines) = match made {
        Ok(made) => made,
        Err(error) => return Err(job.take_back(error, &earlier)),
    };
    earlier.keep(&journal)?;
    hint_at_siblings(session, arguments, &repository, &report);
    show(session, report, &engines, repository.store().requests())
}

struct Job<'a> {
    session: &'a Session,
    repository: &'a Repository,
    runtime: &'a Runtime,
    registry: &'a Registry,
    journal: &'a Journal,
    planned: &'a Plan,
    point: &'a OpenPoint,
}

impl Job<'_> {
    /// Names all work, and writes it down before any is done. Work that an earlier run began keeps its name, so that it is not done twice.
    fn begin(&self, earlier: &Earlier) -> Result<Vec<String>, CliError> {
        let point = self.point.reference.point;
        let key = |(number, planned): (usize, &Planned)| {
            earlier.keys.get(&planned.reference).cloned().unwrap_or_else(|| format!("{point}-{number}"))
        };
        let keys: Vec<String> = self.planned.resources.iter().enumerate().map(key).collect();
        let begun = |(planned, key): (&Planned, &String)| BegunResource {
            reference: planned.reference.clone(),
            schema: planned.schema.clone(),
            options: planned.options.clone(),
            key: key.clone(),
        };
        let resources = self.planned.resources.iter().zip(&keys).map(begun).collect();
        self.journal.begin(&Begun { point, resources, left: earlier.left.clone() })?;
        Ok(keys)
    }

    fn protect(&self, keys: &[String], arguments: &BackupArguments) -> Result<Vec<Done>, CliError> {
        let cancel = self.session.environment().cancel;
        let order = RunOrder {
            plan: self.planned,
            keys,
            bases: &self.bases()?,
            timeout: Duration::from_secs(arguments.resource_timeout.into()),
            sink: Arc::new(Spool::new(self.journal.spool()?)),
            is_cancelled: &|| cancel.is_cancelled(),
        };
        let done = self.runtime.block_on(coffer_resources::run(&order));
        cancel.check()?;
        Ok(done)
    }

    /// What the parent's resources can be built on; nothing for a full.
    fn bases(&self) -> Result<BTreeMap<ResourceRef, PluginArtefact>, CliError> {
        let Some(parent) = self.point.reference.parent else { return Ok(BTreeMap::new()) };
        let entry = find_point(self.repository, &Filter::plan(&self.point.reference.plan), parent)?;
        let manifest = load_manifest(self.repository, &entry)?.payload;
        let base = |record: &ResourceRecord| Some((record.reference.clone(), artefact(record)?));
        Ok(manifest.resources.iter().filter_map(base).collect())
    }

    /// Records of all resources; what they sent is opened as volumes.
    fn records(
        &self,
        keys: &[String],
        done: Vec<Done>,
        opener: &coffer_blockio::SourceOpener,
        volumes: &mut Vec<VolumeSource>,
    ) -> Result<Vec<ResourceRecord>, CliError> {
        let mut records = Vec::new();
        for (number, done) in done.into_iter().enumerate() {
            let (planned, key) = (&self.planned.resources[number], &keys[number]);
            let mut record = record(planned, key, done);
            if record.volume.is_some() && record.state == VolumeState::Available {
                let name: VolumeName = volume_name(planned, number)?;
                let source = Spool::new(self.journal.spool_path()).open_source(number, opener);
                volumes.push(VolumeSource { name: name.clone(), source });
                record.volume = Some(name);
            } else {
                record.volume = None;
            }
            records.push(record);
        }
        let available = |record: &&ResourceRecord| record.state == VolumeState::Available;
        if volumes.is_empty() && !records.iter().any(|record| available(&record)) {
            let first = records.iter().find_map(|record| record.error.clone()).unwrap_or_default();
            return Err(ResourceError::NothingProtected(first).into());
        }
        Ok(records)
    }

    fn commit(
        &self,
        resources: &Resources,
        request: &VolumesRequest<'_>,
        wanted: &PointRequest,
        records: Vec<ResourceRecord>,
    ) -> Result<BackupReport, CliError> {
        let done = match request.volumes.is_empty() {
            true => VolumesDone::default(),
            false => back_up_volumes(self.repository, resources, request)?,
        };
        let names = request.volumes.iter().map(|volume| volume.name.clone()).collect();
        let wanted = PointRequest { volumes: names, resources: records, ..wanted.clone() };
        Ok(commit_point(self.repository, &wanted, self.point, vec![done])?)
    }

    /// After a failure: what was made is taken back, unless a manifest stands that names it.
    fn take_back(&self, error: CliError, earlier: &Earlier) -> CliError {
        let plan: &PlanId = &self.point.reference.plan;
        let nothing = Plan::default();
        let settled = settle(self.repository, self.runtime, self.registry, plan, self.journal, &nothing);
        match settled.and_then(|settled| settled.keep(self.journal)) {
            Ok(()) => error,
            Err(second) => {
                tracing::warn!(error = %second.line(), left = earlier.left.len(), "what was begun could not be taken back; the next run of the plan tries again");
                error
            }
        }
    }
}

/// Record of one resource; `volume` is set where it has data, to a name that is chosen later.
fn record(planned: &Planned, key: &str, done: Done) -> ResourceRecord {
    let has_data = done.artefact.as_ref().is_some_and(|artefact| artefact.has_data);
    let state = if done.error.is_none() { VolumeState::Available } else { VolumeState::Failed };
    ResourceRecord {
        reference: planned.reference.clone(),
        name: planned.name.clone(),
        plugin: planned.plugin.name.parse().expect("the client checked the plugin's name"),
        schema: planned.schema.clone(),
        options: planned.options.clone(),
        state,
        key: key.to_owned(),
        artefact: done.artefact.map(|artefact| ArtefactRecord { id: artefact.id, details: artefact.details }),
        volume: has_data.then(|| "to be named".parse().expect("it is a name")),
        error: done.error,
        warnings: done.warnings,
    }
}

/// Name of the volume with a resource's data: the resource's own, as far as a volume's name can be so long. It stays the same from run to run.
fn volume_name(planned: &Planned, number: usize) -> Result<VolumeName, CliError> {
    let full = planned.reference.to_string();
    let name = full.parse::<VolumeName>();
    let short = || format!("{}/{number}", planned.reference.kind).parse::<VolumeName>();
    name.or_else(|_| short()).map_err(|error| CliError::Usage(format!("volume of {full}: {error}")))
}
