//! One backup from start to end, in the order that the protocol needs: look, store data, store the manifest, check.
//!
//! Rules of the protocol are named as in the model (`coffer-sim`).

use std::collections::BTreeSet;
use std::sync::Arc;

use coffer_format::{
    BlockHasher, BlockSize, Id, LineageEntry, Manifest, PointState, PointType, Signed, Timestamp, VolumePath,
    VolumeRecord,
};

use super::choose::choose_type;
use super::commit::{self, Commit, OpenChain};
use super::leftovers::Leftovers;
use super::list_checks::{check_list_base, check_lists};
use super::opening::{Opened, open_chain};
use super::reading::{ListedVolume, Reading};
use super::request::{BackupReport, BackupRequest, ChangeSource, VolumeReport, VolumeSource};
use super::volume::{VolumeDone, VolumeRun};
use crate::catalog::{Filter, PointEntry, list_points, load_manifest};
use crate::read::volume_map::VolumeMap;
use crate::write::object_writer::ObjectSink;
use crate::write::uploader::Uploader;
use crate::{EngineError, Repository, Resources};

/// Points of a lineage; a volume that has more gets a new base.
const LINEAGE_MAX: usize = 256;

/// Makes one recovery point of all volumes of the request.
///
/// When it returns a report, the point exists, was read back, and is safe from prune. When it returns an error no point was reported; what was
/// written is removed by `prune` once a later complete point stands.
pub fn run_backup(
    repository: &Repository,
    resources: &Resources,
    request: &BackupRequest,
) -> Result<BackupReport, EngineError> {
    check_request(repository, request)?;
    let points = list_points(repository, &Filter::plan(&request.plan))?;
    if let Some(report) = find_repeated(repository, request, &points)? {
        return Ok(report);
    }
    let choice = choose_type(&points, request.type_wish, request.full_every)?;
    check_list_base(request, &choice)?;
    let environment = repository.environment();
    let started = environment.clock.now();
    let time = point_time(request, started, &points)?;
    let run = environment.new_id()?;
    let newest = points.iter().filter(|point| point.is_complete()).map(|point| point.id).max();
    let (choice, opened) = open_chain(repository, request, choice, run, newest)?;
    let Opened { parent, chain, leftovers } = &opened;
    let parts = Run { repository, resources, request, run, chain, parent: parent.as_ref(), leftovers };
    let records = parts.volumes()?;
    let sequence = points.iter().map(|point| point.summary.sequence).max().map_or(1, |newest| newest + 1);
    let mut taken_over = records.taken_over;
    taken_over.extend(leftovers.adopted_chain);
    let commit = Commit {
        run,
        sequence,
        time,
        started,
        choice: &choice,
        chain: chain.id,
        taken_over: taken_over.into_iter().collect(),
        volumes: records.signed,
    };
    let manifest = commit::commit(repository, request, commit)?;
    Ok(report(repository, &manifest, &records.objects))
}

struct Run<'a> {
    repository: &'a Repository,
    resources: &'a Resources,
    request: &'a BackupRequest,
    run: Id,
    chain: &'a OpenChain,
    parent: Option<&'a Manifest>,
    leftovers: &'a Leftovers,
}

#[derive(Default)]
struct Records {
    signed: Vec<Signed<VolumeRecord>>,
    /// Unfinished runs of whose packs these volumes use some.
    taken_over: BTreeSet<Id>,
    objects: Written,
}

#[derive(Default)]
struct Written {
    objects: u64,
    bytes: u64,
    /// Stored bytes of packs taken over.
    resumed: u64,
}

impl Run<'_> {
    fn volumes(&self) -> Result<Records, EngineError> {
        let environment = self.repository.environment();
        let sending = self.resources.sending(&self.repository.store().shape());
        let uploader = Uploader::new(
            self.repository.store(),
            sending.threads,
            self.resources.upload_limit.as_ref(),
            &environment.cancel,
        )?;
        let sink = ObjectSink {
            uploader: Arc::new(uploader),
            arena: self.resources.arena.clone(),
            part_len: usize::try_from(sending.part_len)
                .map_err(|_| EngineError::Bug("part length".into()))?,
        };
        let signer = self.repository.signer(&self.request.plan.team)?;
        let mut records = Records::default();
        let mut first_error = None;
        for volume in &self.request.volumes {
            environment.cancel.check()?;
            let record = match self.volume(volume, &sink) {
                Ok((record, done)) => {
                    records.add(&done);
                    record
                }
                Err(error) if fails_only_the_volume(&error) => {
                    tracing::error!(volume = %volume.name, %error, "volume failed");
                    let record = self.failed_record(volume, &error);
                    first_error.get_or_insert(error);
                    record
                }
                Err(error) => return Err(error),
            };
            records.signed.push(signer.sign(&record));
        }
        match first_error {
            Some(error)
                if records
                    .signed
                    .iter()
                    .all(|volume| volume.payload.state == coffer_format::VolumeState::Failed) =>
            {
                Err(EngineError::AllVolumesFailed(Box::new(error)))
            }
            _ => Ok(records),
        }
    }

    fn volume(
        &self,
        volume: &VolumeSource,
        sink: &ObjectSink,
    ) -> Result<(VolumeRecord, VolumeDone), EngineError> {
        let source = match &volume.source {
            Ok(source) => source.as_ref(),
            Err(error) => {
                return Err(EngineError::SourceChanged {
                    volume: volume.name.to_string(),
                    detail: plain(error),
                });
            }
        };
        let (base, type_reason) = self.base(volume)?;
        let block_size = match &base {
            Some(base) => base.block_size(),
            None => self.request.block_size.unwrap_or_else(|| BlockSize::default_for(source.size_bytes())),
        };
        let use_holes = match self.request.changes {
            ChangeSource::Hash => false,
            ChangeSource::Auto => source.knows_holes(),
            ChangeSource::Fiemap if source.knows_holes() => true,
            ChangeSource::Fiemap => {
                return Err(EngineError::Usage(format!(
                    "--changes fiemap: volume {} is on something that does not tell its holes; use --changes auto",
                    volume.name
                )));
            }
        };
        self.request.progress.volume(volume.name.as_ref(), source.size_bytes());
        let reading = self.reading(volume, source, base.as_deref(), use_holes)?;
        let type_reason = match &reading.note {
            Some(note) => format!("{type_reason}; {note}"),
            None => type_reason,
        };
        let run = VolumeRun {
            repository: self.repository,
            resources: self.resources,
            sink: sink.clone(),
            path: VolumePath {
                plan: self.request.plan.clone(),
                chain: self.chain.id,
                point: self.run,
                volume: volume.name.clone(),
            },
            source,
            base,
            chain: self.chain.public,
            block_size,
            compression: self.request.compression,
            reading: &reading,
            leftovers: &self.leftovers.runs,
            progress: self.request.progress.as_ref(),
        };
        let done = run.run()?;
        Ok((self.record(volume, source.kind(), block_size, reading, type_reason, &done), done))
    }

    /// What is read of a volume: by its list, if there is one that can be used.
    fn reading(
        &self,
        volume: &VolumeSource,
        source: &dyn coffer_blockio::BlockSource,
        base: Option<&VolumeMap>,
        use_holes: bool,
    ) -> Result<Reading, EngineError> {
        let lists = self.request.lists.as_ref();
        let Some((lists, list)) = lists.and_then(|lists| Some((lists, lists.volumes.get(&volume.name)?)))
        else {
            return Ok(Reading::all(use_holes));
        };
        let secrets = self.repository.secrets(&self.request.plan.team)?;
        let hasher = &BlockHasher::new(&secrets, &self.repository.id());
        let (repository, resources) = (self.repository, self.resources);
        ListedVolume { repository, resources, source, hasher, lists, list }.reading(base, use_holes)
    }

    /// The parent's map of the same volume, or why there is none.
    fn base(&self, volume: &VolumeSource) -> Result<(Option<Arc<VolumeMap>>, String), EngineError> {
        let Some(parent) = self.parent else { return Ok((None, "first of its chain".into())) };
        let Some(record) =
            parent.volumes.iter().map(|v| &v.payload).find(|record| record.name == volume.name)
        else {
            return Ok((None, "the parent point does not have this volume".into()));
        };
        if record.lineage.len() >= LINEAGE_MAX {
            return Ok((None, format!("its lineage holds {LINEAGE_MAX} points")));
        }
        if let Some(asked) = self.request.block_size
            && asked != record.block_size
        {
            return Err(EngineError::Usage(format!(
                "--block-size {}: volume {} has {} in this chain; the block size changes only with a new chain (--type full)",
                asked.bytes(),
                volume.name,
                record.block_size.bytes()
            )));
        }
        match VolumeMap::open(self.repository, record, self.resources.cache_bytes / 2) {
            Ok(mut map) => {
                let damaged = commit::damaged_packs(self.repository, &self.request.plan.team, record)?;
                let reason = match damaged.len() {
                    0 => "continues the parent point".to_owned(),
                    count => format!(
                        "continues the parent point; blocks of {count} damaged packs are stored again"
                    ),
                };
                map.set_damaged(damaged);
                Ok((Some(Arc::new(map)), reason))
            }
            Err(error @ (EngineError::Damaged { .. } | EngineError::Object { .. })) => {
                Ok((None, format!("the parent's map cannot be read: {}", plain(&error))))
            }
            Err(error) => Err(error),
        }
    }

    fn record(
        &self,
        volume: &VolumeSource,
        kind: coffer_blockio::SourceKind,
        block_size: BlockSize,
        reading: Reading,
        type_reason: String,
        done: &VolumeDone,
    ) -> VolumeRecord {
        let kind = match kind {
            coffer_blockio::SourceKind::Device => coffer_format::VolumeKind::Device,
            coffer_blockio::SourceKind::Image => coffer_format::VolumeKind::Image,
        };
        let mut lineage = self.base_lineage(volume, done);
        lineage.extend(done.taken.iter().map(|(run, taken)| LineageEntry {
            point: *run,
            packs: taken.packs.end(),
            bytes: taken.bytes,
            taken: Some(taken.packs.clone()),
        }));
        let own = LineageEntry { point: self.run, packs: done.map.packs, bytes: done.stored, taken: None };
        lineage.push(own);
        VolumeRecord {
            kind,
            state: coffer_format::VolumeState::Available,
            point_type: done.point_type,
            type_reason,
            size: done.size,
            block_size,
            lineage,
            root: Some(coffer_format::RootRef {
                offset: done.map.root_offset,
                length: done.map.root_len,
                digest: done.map.root_digest,
            }),
            read: done.read,
            changed: done.changed,
            blocks_changed: done.blocks_changed,
            stored: done.stored,
            metadata: done.metadata,
            changes: reading.changes,
            sampled_blocks: reading.sampled_blocks,
            sample_mismatches: reading.sample_mismatches,
            error: None,
            ..self.failed_record(volume, &EngineError::Cancelled)
        }
    }

    fn base_lineage(&self, volume: &VolumeSource, done: &VolumeDone) -> Vec<LineageEntry> {
        if done.base_lineage.is_empty() {
            return Vec::new();
        }
        let record =
            self.parent.and_then(|parent| parent.volumes.iter().find(|v| v.payload.name == volume.name));
        record.map(|volume| volume.payload.lineage.clone()).unwrap_or_default()
    }

    fn failed_record(&self, volume: &VolumeSource, error: &EngineError) -> VolumeRecord {
        let plan = &self.request.plan;
        VolumeRecord {
            format: 1,
            repository: self.repository.id(),
            team: plan.team.clone(),
            cluster: plan.cluster.clone(),
            namespace: plan.namespace.clone(),
            plan: plan.plan.clone(),
            chain: self.chain.id,
            point: self.run,
            name: volume.name.clone(),
            kind: coffer_format::VolumeKind::Image,
            state: coffer_format::VolumeState::Failed,
            point_type: PointType::Full,
            type_reason: "the volume failed".into(),
            size: volume.source.as_ref().map_or(0, |source| source.size_bytes()),
            block_size: self.request.block_size.unwrap_or_else(|| BlockSize::default_for(0)),
            lineage: Vec::new(),
            root: None,
            read: 0,
            changed: 0,
            blocks_changed: 0,
            stored: 0,
            metadata: 0,
            changes: coffer_format::ChangeSource::hash(),
            sampled_blocks: 0,
            sample_mismatches: 0,
            error: Some(plain(error)),
        }
    }
}

impl Records {
    fn add(&mut self, done: &VolumeDone) {
        self.objects.objects += done.objects;
        self.objects.bytes += done.stored;
        for (run, taken) in done.taken.iter().filter(|(_, taken)| !taken.packs.is_empty()) {
            self.taken_over.insert(*run);
            self.objects.resumed += taken.bytes;
        }
    }
}

fn check_request(repository: &Repository, request: &BackupRequest) -> Result<(), EngineError> {
    repository.secrets(&request.plan.team)?;
    if request.volumes.is_empty() {
        return Err(EngineError::Usage("name at least one volume: NAME=PATH or PATH".into()));
    }
    if request.volumes.len() > 256 {
        return Err(EngineError::Usage(format!(
            "{} volumes are too many, a point holds 256",
            request.volumes.len()
        )));
    }
    let names: BTreeSet<_> = request.volumes.iter().map(|volume| volume.name.to_string()).collect();
    if names.len() != request.volumes.len() {
        return Err(EngineError::Usage("two volumes have the same name; give them names: NAME=PATH".into()));
    }
    request.lists.as_ref().map_or(Ok(()), |lists| check_lists(request, lists))
}

fn fails_only_the_volume(error: &EngineError) -> bool {
    matches!(error, EngineError::Source { .. } | EngineError::SourceChanged { .. })
}

/// The whole chain of causes in one line.
fn plain(error: &EngineError) -> String {
    error.to_string()
}

fn point_time(
    request: &BackupRequest,
    now: Timestamp,
    points: &[PointEntry],
) -> Result<Timestamp, EngineError> {
    match request.snapshot_time {
        Some(time) if time > now => Err(EngineError::Usage(format!(
            "--snapshot-time {time} is in the future, it is {now}; check the clocks"
        ))),
        Some(time) => Ok(time),
        // A clock that went back must not put the new point behind the one it builds on.
        None => Ok(points.last().map_or(now, |newest| now.max(newest.summary.time))),
    }
}

fn find_repeated(
    repository: &Repository,
    request: &BackupRequest,
    points: &[PointEntry],
) -> Result<Option<BackupReport>, EngineError> {
    let Some(key) = &request.idempotency_key else { return Ok(None) };
    for point in points.iter().rev() {
        let manifest = load_manifest(repository, point)?;
        if manifest.payload.idempotency_key.as_ref() == Some(key) {
            let mut report = report(repository, &manifest.payload, &Written::default());
            report.repeated = true;
            return Ok(Some(report));
        }
    }
    Ok(None)
}

fn report(repository: &Repository, manifest: &Manifest, written: &Written) -> BackupReport {
    let volumes = manifest.volumes.iter().map(|volume| volume_report(&volume.payload)).collect();
    BackupReport {
        point: manifest.point,
        plan: manifest.plan_id(),
        state: manifest.state,
        kind: manifest.point_type,
        type_reason: manifest.reason.0.text(),
        time: manifest.time,
        chain: manifest.chain,
        sequence: manifest.sequence,
        parent: manifest.parent,
        volumes,
        objects_written: written.objects,
        bytes_written: written.bytes,
        requests: repository.store().requests(),
        resumed_bytes: written.resumed,
        repeated: false,
    }
}

fn volume_report(record: &VolumeRecord) -> VolumeReport {
    VolumeReport {
        name: record.name.clone(),
        kind: record.kind.to_string(),
        point_type: record.point_type,
        type_reason: record.type_reason.clone(),
        size: record.size,
        read: record.read,
        changed: record.changed,
        stored: record.stored,
        blocks_changed: record.blocks_changed,
        changes: record.changes.to_string(),
        sampled_blocks: record.sampled_blocks,
        sample_mismatches: record.sample_mismatches,
        error: record.error.clone(),
    }
}

/// State and type of a point, from its volumes.
pub(super) fn point_state(volumes: &[Signed<VolumeRecord>]) -> PointState {
    let failed = volumes.iter().any(|volume| volume.payload.state == coffer_format::VolumeState::Failed);
    if failed { PointState::Partial } else { PointState::Available }
}
