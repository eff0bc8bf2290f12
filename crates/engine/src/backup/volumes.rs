//! Backs up volumes of an open point: one node's part, or all of it. Ends with signed records; nothing counts before somebody commits them.

use std::sync::Arc;

use coffer_blockio::{Arena, BlockSource, SourceKind};
use coffer_format::{BlockHasher, BlockSize, Compression, VolumePath, VolumeRecord};

use super::base::find_base;
use super::chain_context::ChainContext;
use super::list_checks::{check_list_base, check_lists};
use super::point::{PointReference, check_names};
use super::point_reference::{check_untouched, explain_end, read_chain_context};
use super::reading::{ListedVolume, Reading};
use super::request::{ChangeLists, ChangeSource, Progress, VolumeSource};
use super::volume::{Sinks, VolumeDone, VolumeRun};
use super::volume_context::VolumeContext;
use super::volume_record::volume_record;
use super::volumes_done::{VolumesDone, failed_record};
use crate::catalog::Filter;
use crate::read::volume_map::VolumeMap;
use crate::request_error::RequestError;
use crate::write::object_writer::ObjectSink;
use crate::write::uploader::Uploader;
use crate::{EngineError, Repository, Resources, one_line, shrunk};

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
/// was cut off stored is reused by the next point that is opened.
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
        let chain_context = read_chain_context(repository, request.reference)?;
        let mut volumes = request.volumes.iter();
        volumes.try_for_each(|volume| check_untouched(repository, request.reference, &volume.name))?;
        back_up(repository, resources, request, &chain_context)
    };
    let done = done().map_err(|error| explain_end(repository, request.reference, error));
    repository.environment().cancel.explain(done)
}

/// As [`back_up_volumes`], on what was read of the bucket already.
pub(super) fn back_up(
    repository: &Repository,
    resources: &Resources,
    request: &VolumesRequest<'_>,
    chain_context: &ChainContext,
) -> Result<VolumesDone, EngineError> {
    Run { repository, resources, request, reference: request.reference, chain_context }.volumes()
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
    chain_context: &'a ChainContext,
}

impl Run<'_> {
    fn volumes(&self) -> Result<VolumesDone, EngineError> {
        let environment = self.repository.environment();
        self.resources.begin(&environment.cancel);
        let stages = self.chain_context.parent.is_some();
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
        let newest = match &self.chain_context.parent {
            Some(_) => None,
            None => shrunk::newest_complete(self.repository, &Filter::plan(&self.reference.plan)),
        };
        let previous = self.chain_context.parent.as_ref().or(newest.as_ref());
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
                    tracing::error!(volume = %volume.name, error = one_line(&error), "volume failed");
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
                    detail: one_line(error),
                });
            }
        };
        refuse_empty_device(volume, source)?;
        let parent = self.chain_context.parent.as_ref();
        let asked = self.request.block_size;
        let (base, reason) = find_base(self.repository, self.resources, parent, &volume.name, asked)?;
        let context = self.context(volume, source, base)?;
        let type_reason = match &context.reading.note {
            Some(note) => format!("{reason}; {note}"),
            None => reason.to_string(),
        };
        let done = VolumeRun { volume: &context, sinks }.run()?;
        Ok((volume_record(&context, self.reference, parent, type_reason, &done), done))
    }

    fn context<'v>(
        &'v self,
        volume: &'v VolumeSource,
        source: &'v dyn BlockSource,
        base: Option<Arc<VolumeMap>>,
    ) -> Result<VolumeContext<'v>, EngineError> {
        let size = source.size_bytes();
        let block_size = match &base {
            Some(base) => base.block_size(),
            None => self.request.block_size.unwrap_or_else(|| BlockSize::default_for(size)),
        };
        let use_holes = self.uses_holes(volume, source)?;
        self.request.progress.volume(volume.name.as_ref(), size);
        let reading = self.reading(volume, source, base.as_deref(), use_holes)?;
        let PointReference { plan, point, chain, .. } = self.reference.clone();
        Ok(VolumeContext {
            repository: self.repository,
            resources: self.resources,
            path: VolumePath { plan, chain, point, volume: volume.name.clone() },
            name: volume.name.to_string(),
            source,
            size,
            base,
            chain: &self.chain_context.chain,
            block_size,
            compression: self.request.compression,
            reading,
            incomplete_runs: &self.chain_context.incomplete_runs.runs,
            progress: self.request.progress,
        })
    }

    fn uses_holes(&self, volume: &VolumeSource, source: &dyn BlockSource) -> Result<bool, EngineError> {
        match self.request.changes {
            ChangeSource::Hash => Ok(false),
            ChangeSource::Auto => Ok(source.knows_holes()),
            ChangeSource::Fiemap if source.knows_holes() => Ok(true),
            ChangeSource::Fiemap => Err(RequestError::NoHoles { volume: volume.name.clone() }.into()),
        }
    }

    /// What is read of a volume: by its list, if there is one that can be used.
    fn reading(
        &self,
        volume: &VolumeSource,
        source: &dyn BlockSource,
        base: Option<&VolumeMap>,
        use_holes: bool,
    ) -> Result<Reading, EngineError> {
        let lists = self.request.lists;
        let Some((lists, list)) = lists.and_then(|lists| Some((lists, lists.volumes.get(&volume.name)?)))
        else {
            return Ok(Reading::all(use_holes));
        };
        let hasher = &BlockHasher::new(&self.chain_context.chain.secrets, &self.repository.id());
        let (repository, resources) = (self.repository, self.resources);
        ListedVolume { repository, resources, source, hasher, lists, list }.reading(base, use_holes)
    }

    /// The record keeps the whole chain of causes: the operating system's error is what tells a person what to do.
    fn failed_record(&self, volume: &VolumeSource, error: &EngineError) -> VolumeRecord {
        VolumeRecord {
            size: volume.source.as_ref().map_or(0, |source| source.size_bytes()),
            block_size: self.request.block_size.unwrap_or_else(|| BlockSize::default_for(0)),
            ..failed_record(self.repository, self.reference, &volume.name, one_line(error))
        }
    }
}

fn fails_only_the_volume(error: &EngineError) -> bool {
    matches!(error, EngineError::Source { .. } | EngineError::SourceChanged { .. })
}

/// A device without a byte is one that nothing is attached to; an empty image is a file like any other.
fn refuse_empty_device(volume: &VolumeSource, source: &dyn BlockSource) -> Result<(), EngineError> {
    if source.kind() == SourceKind::Device && source.size_bytes() == 0 {
        return Err(EngineError::SourceChanged {
            volume: volume.name.to_string(),
            detail: "the device has 0 bytes: nothing is attached to it".into(),
        });
    }
    Ok(())
}
