//! Backs up volumes of an open point: one node's part, or all of it. Ends with signed records; nothing counts before somebody commits them.

use std::sync::Arc;

use coffer_blockio::Arena;
use coffer_format::{
    BlockHasher, BlockSize, Compression, LineageEntry, VolumePath, VolumeRecord, VolumeState,
};

use super::chain_context::ChainContext;
use super::damage_notes::damaged_packs;
use super::list_checks::{check_list_base, check_lists};
use super::point::{PointReference, check_names};
use super::point_reference::{check_untouched, explain_end, read_chain_context};
use super::reading::{ListedVolume, Reading};
use super::request::{ChangeLists, ChangeSource, Progress, VolumeSource};
use super::volume::{Sinks, VolumeDone, VolumeRun};
use super::volumes_done::{VolumesDone, failed_record};
use crate::catalog::Filter;
use crate::read::musts::refuse_unreadable;
use crate::read::volume_map::VolumeMap;
use crate::shrunk;
use crate::write::object_writer::ObjectSink;
use crate::write::uploader::Uploader;
use crate::{EngineError, Repository, Resources};

/// Points of a lineage; a volume that has more gets a new base.
const LINEAGE_MAX: usize = 256;

/// Volumes of an open point to back up.
pub struct VolumesRequest<'a> {
    /// The open point.
    pub reference: &'a PointReference,
    /// The volumes: 1 to 256, each name once.
    pub volumes: &'a [VolumeSource],
    /// Where changes come from, for volumes without a list or whose list cannot be used.
    pub changes: ChangeSource,
    /// Lists of changes since the point reference's parent, of these volumes only.
    pub lists: Option<&'a ChangeLists>,
    /// Block size for volumes without a base; by size where `None`.
    pub block_size: Option<BlockSize>,
    /// Compression of new blocks.
    pub compression: Compression,
    /// Told of progress from many threads.
    pub progress: &'a dyn Progress,
}

/// Backs up some or all volumes of an open point and signs a record of each. All objects are stored for good when this returns.
///
/// A volume whose source fails gets a failed record and hurts no other. The same point reference is never used twice for one volume: what a run that
/// was cut off stored is taken over by the next point that is opened.
///
/// # Errors
/// [`EngineError::Fenced`] where the point reference's parent, chain or own point is being ended or gone: open a new point. [`EngineError::Refused`]
/// where the parent is of another chain or not complete, or lists of changes begin at another point.
pub fn back_up_volumes(
    repository: &Repository,
    resources: &Resources,
    request: &VolumesRequest<'_>,
) -> Result<VolumesDone, EngineError> {
    repository.check_writing(&request.reference.plan.team)?;
    check_volumes(request.volumes, request.lists)?;
    check_list_base(request.lists.map(|lists| lists.base), request.reference.parent)?;
    let done = || {
        let basis = read_chain_context(repository, request.reference)?;
        let mut volumes = request.volumes.iter();
        volumes.try_for_each(|volume| check_untouched(repository, request.reference, &volume.name))?;
        back_up(repository, resources, request, &basis)
    };
    let done = done().map_err(|error| explain_end(repository, request.reference, error));
    repository.environment().cancel.explain(done)
}

/// As [`back_up_volumes`], on what was read of the bucket already.
pub(super) fn back_up(
    repository: &Repository,
    resources: &Resources,
    request: &VolumesRequest<'_>,
    basis: &ChainContext,
) -> Result<VolumesDone, EngineError> {
    Run { repository, resources, request, reference: request.reference, basis }.volumes()
}

/// What can be told of the volumes without looking at the bucket.
pub(super) fn check_volumes(
    volumes: &[VolumeSource],
    lists: Option<&ChangeLists>,
) -> Result<(), EngineError> {
    check_names(volumes.iter().map(|volume| &volume.name))?;
    lists.map_or(Ok(()), |lists| check_lists(volumes, lists))
}

struct Run<'a> {
    repository: &'a Repository,
    resources: &'a Resources,
    request: &'a VolumesRequest<'a>,
    reference: &'a PointReference,
    basis: &'a ChainContext,
}

impl Run<'_> {
    fn volumes(&self) -> Result<VolumesDone, EngineError> {
        let environment = self.repository.environment();
        self.resources.begin(&environment.cancel);
        let stages = self.basis.parent.is_some();
        let sending = self.resources.sending(&self.repository.store().shape(), stages);
        let uploader = Uploader::new(
            self.repository.store(),
            sending.threads,
            self.resources.workers,
            self.resources.upload_limit.as_ref(),
            environment,
        )?;
        let uploader = Arc::new(uploader);
        let sink = |arena: &Arc<Arena>, part_len: u64| -> Result<_, EngineError> {
            Ok(ObjectSink {
                uploader: uploader.clone(),
                arena: arena.clone(),
                part_len: usize::try_from(part_len).map_err(|_| EngineError::Bug("part length".into()))?,
                cancel: environment.cancel.clone(),
            })
        };
        let sinks = Sinks {
            packs: sink(&self.resources.arena, sending.part_len)?,
            map: sink(&self.resources.map_arena, sending.map_part_len)?,
        };
        let signer = self.repository.signer(&self.reference.plan.team)?;
        let mut all = VolumesDone::default();
        let newest = match &self.basis.parent {
            Some(_) => None,
            None => shrunk::newest_complete(self.repository, &Filter::plan(&self.reference.plan)),
        };
        let previous = self.basis.parent.as_ref().or(newest.as_ref());
        for volume in self.request.volumes {
            environment.cancel.check()?;
            let record = match self.volume(volume, &sinks) {
                Ok((mut record, done)) => {
                    all.add(&done);
                    record.warnings.extend(shrunk::warning(previous, &record.name, record.size));
                    for warning in &record.warnings {
                        tracing::warn!(volume = %record.name, warning, "volume is not as it was");
                    }
                    record
                }
                Err(error) if fails_only_the_volume(&error) => {
                    tracing::error!(volume = %volume.name, %error, "volume failed");
                    let record = self.failed_record(volume, &error);
                    all.error.get_or_insert(error);
                    record
                }
                Err(error) => return Err(error),
            };
            all.records.push(signer.sign(&record));
        }
        Ok(all)
    }

    fn volume(
        &self,
        volume: &VolumeSource,
        sinks: &Sinks,
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
        refuse_empty_device(volume, source)?;
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
            sinks,
            path: VolumePath {
                plan: self.reference.plan.clone(),
                chain: self.reference.chain,
                point: self.reference.point,
                volume: volume.name.clone(),
            },
            source,
            base,
            chain: &self.basis.chain,
            block_size,
            compression: self.request.compression,
            reading: &reading,
            incomplete_runs: &self.basis.incomplete_runs.runs,
            progress: self.request.progress,
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
        let lists = self.request.lists;
        let Some((lists, list)) = lists.and_then(|lists| Some((lists, lists.volumes.get(&volume.name)?)))
        else {
            return Ok(Reading::all(use_holes));
        };
        let hasher = &BlockHasher::new(&self.basis.chain.secrets, &self.repository.id());
        let (repository, resources) = (self.repository, self.resources);
        ListedVolume { repository, resources, source, hasher, lists, list }.reading(base, use_holes)
    }

    /// The parent's map of the same volume, or why there is none.
    fn base(&self, volume: &VolumeSource) -> Result<(Option<Arc<VolumeMap>>, String), EngineError> {
        let Some(parent) = &self.basis.parent else { return Ok((None, "first of its chain".into())) };
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
        let opened = refuse_unreadable(parent, record)
            .and_then(|()| VolumeMap::open(self.repository, record, self.resources.cache_bytes / 2));
        match opened {
            Ok(mut map) => {
                let damaged = damaged_packs(self.repository, &self.reference.plan.team, record)?;
                let reason = match damaged.len() {
                    0 => "continues the parent point".to_owned(),
                    count => format!(
                        "continues the parent point; blocks of {count} damaged packs are stored again"
                    ),
                };
                map.set_damaged(damaged);
                Ok((Some(Arc::new(map)), reason))
            }
            Err(
                error @ (EngineError::Damaged { .. } | EngineError::Object { .. } | EngineError::Refused(_)),
            ) => Ok((None, format!("the parent's map cannot be read: {}", plain(&error)))),
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
            coffer_blockio::SourceKind::Resources => coffer_format::VolumeKind::Resources,
        };
        let mut lineage = self.base_lineage(volume, done);
        lineage.extend(done.taken.iter().map(|(run, taken)| LineageEntry {
            point: *run,
            packs: taken.packs.end(),
            bytes: taken.bytes,
            taken: Some(taken.packs.clone()),
        }));
        let own = LineageEntry {
            point: self.reference.point,
            packs: done.map.packs,
            bytes: done.stored,
            taken: None,
        };
        lineage.push(own);
        VolumeRecord {
            kind,
            state: VolumeState::Available,
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
        let parent = self.basis.parent.as_ref();
        let record = parent.and_then(|parent| parent.volume_records().find(|r| r.name == volume.name));
        record.map(|record| record.lineage.clone()).unwrap_or_default()
    }

    fn failed_record(&self, volume: &VolumeSource, error: &EngineError) -> VolumeRecord {
        VolumeRecord {
            size: volume.source.as_ref().map_or(0, |source| source.size_bytes()),
            block_size: self.request.block_size.unwrap_or_else(|| BlockSize::default_for(0)),
            ..failed_record(self.repository, self.reference, &volume.name, plain(error))
        }
    }
}

fn fails_only_the_volume(error: &EngineError) -> bool {
    matches!(error, EngineError::Source { .. } | EngineError::SourceChanged { .. })
}

/// A device without a byte is one that nothing is attached to; an empty image is a file like any other.
fn refuse_empty_device(
    volume: &VolumeSource,
    source: &dyn coffer_blockio::BlockSource,
) -> Result<(), EngineError> {
    if source.kind() == coffer_blockio::SourceKind::Device && source.size_bytes() == 0 {
        return Err(EngineError::SourceChanged {
            volume: volume.name.to_string(),
            detail: "the device has 0 bytes: nothing is attached to it".into(),
        });
    }
    Ok(())
}

/// The whole chain of causes in one line.
fn plain(error: &EngineError) -> String {
    error.to_string()
}
