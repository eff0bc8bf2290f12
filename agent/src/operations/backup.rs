//! Backs volumes of an open point up, and returns their signed records. Volumes are only read.

use coffer_blockio::{BlockSource, EngineWish, SourceOpener};
use coffer_engine::backup::{
    ChangeSource, PointReference, VolumeSource, VolumesDone, VolumesRequest, back_up_volumes,
};
use coffer_engine::{EngineError, Repository, one_line};
use coffer_format::{BlockSize, VolumeRecord};
use coffer_proto::checked::{BackupVolume, Changes, ReadEngine, StartBackup, VolumeRef};

use super::meter::{Bytes, Fallback};
use super::record::{BackupOutcome, SignedRecord};
use super::run::{Run, all_failed};
use crate::errors::AgentError;

pub(super) fn run(run: &Run<'_>, request: &StartBackup) -> Result<BackupOutcome, AgentError> {
    let team = &request.reference.plan.team;
    let repository = run.open_repository(&request.repository, team)?;
    // Whatever is wrong with the key is said before devices are opened.
    repository.check_writing(team)?;
    let opener = opener(run, request.read_engine)?;
    let volumes = open(run, &request.volumes, &opener)?;
    let reference = PointReference {
        plan: request.reference.plan.clone(),
        point: request.reference.point,
        chain: request.reference.chain,
        parent: request.reference.parent,
    };
    let mut all = VolumesDone::default();
    let mut rest = volumes.as_slice();
    for (settings, count) in groups(&request.volumes) {
        let (group, others) = rest.split_at(count);
        rest = others;
        let wanted = VolumesRequest {
            reference: &reference,
            volumes: group,
            changes: settings.0,
            lists: None,
            block_size: settings.1,
            compression: request.compression,
            progress: run.progress,
        };
        add(&mut all, back_up_volumes(&repository, run.resources, &wanted)?);
    }
    outcome(run, &repository, all)
}

/// Read engine for this operation's own buffers.
fn opener(run: &Run<'_>, engine: ReadEngine) -> Result<SourceOpener, AgentError> {
    let wish = match engine {
        ReadEngine::Auto => EngineWish::Auto,
        ReadEngine::Uring => EngineWish::Uring,
        ReadEngine::Pread => EngineWish::Pread,
    };
    let opener = SourceOpener::new(wish, &run.resources.arena).map_err(AgentError::ReadEngine)?;
    if let Some(reason) = opener.fallback() {
        run.info(format!("reads with pread: {}", one_line(reason)));
        run.registry.ports.meter.fell_back(Fallback::ReadEngine);
    }
    Ok(opener)
}

/// Opens every volume. One that fails makes the point partial, unless none can be opened: then that is the error.
fn open(
    run: &Run<'_>,
    wanted: &[BackupVolume],
    opener: &SourceOpener,
) -> Result<Vec<VolumeSource>, AgentError> {
    let mut sources = Vec::new();
    let mut first_error = None;
    let refs: Vec<&VolumeRef> = wanted.iter().map(|volume| &volume.source).collect();
    let sight = run.look(&refs)?;
    for volume in wanted {
        run.control.token().check()?;
        let opened = sight.open_source(&volume.source, opener);
        let source: Result<Box<dyn BlockSource>, EngineError> = opened.map_err(|error| {
            let text = one_line(&error);
            run.warn(format!("volume {} cannot be opened: {text}", volume.name));
            first_error.get_or_insert(error);
            EngineError::Usage(text)
        });
        if let Ok(source) = &source {
            let (size, engine) = (source.size_bytes(), source.engine());
            run.info(format!(
                "opened volume {} at {}: {size} bytes, read with {engine}",
                volume.name, volume.source
            ));
        }
        sources.push(VolumeSource { name: volume.name.clone(), source });
    }
    match first_error {
        Some(error) if sources.iter().all(|volume| volume.source.is_err()) => Err(error),
        _ => Ok(sources),
    }
}

/// Neighbours with the same settings, and how many they are: the engine takes one setting for all volumes of a call. Pure.
fn groups(volumes: &[BackupVolume]) -> Vec<((ChangeSource, Option<BlockSize>), usize)> {
    let mut groups: Vec<((ChangeSource, Option<BlockSize>), usize)> = Vec::new();
    for volume in volumes {
        let changes = match volume.changes {
            Changes::Auto => ChangeSource::Auto,
            Changes::Hash => ChangeSource::Hash,
            Changes::Fiemap => ChangeSource::Fiemap,
        };
        let settings = (changes, volume.block_size);
        match groups.last_mut() {
            Some((last, count)) if *last == settings => *count += 1,
            _ => groups.push((settings, 1)),
        }
    }
    groups
}

fn add(all: &mut VolumesDone, done: VolumesDone) {
    all.records.extend(done.records);
    all.reused_runs.extend(done.reused_runs);
    all.objects += done.objects;
    all.bytes += done.bytes;
    all.resumed_bytes += done.resumed_bytes;
    all.error = all.error.take().or(done.error);
}

fn outcome(
    run: &Run<'_>,
    repository: &Repository,
    mut all: VolumesDone,
) -> Result<BackupOutcome, AgentError> {
    all.records.iter().for_each(|record| tell(run, &record.payload));
    if all.records.iter().all(|record| record.payload.error.is_some())
        && let Some(error) = all.error.take()
    {
        return Err(all_failed(error));
    }
    Ok(BackupOutcome {
        records: all.records.iter().map(|record| SignedRecord(record.encode())).collect(),
        reused_runs: all.reused_runs.into_iter().collect(),
        objects: all.objects,
        bytes: all.bytes,
        resumed_bytes: all.resumed_bytes,
        requests: repository.store().requests().into(),
    })
}

fn tell(run: &Run<'_>, record: &VolumeRecord) {
    let meter = &run.registry.ports.meter;
    meter.bytes(Bytes::Read, record.read);
    meter.bytes(Bytes::Changed, record.changed);
    if record.sample_mismatches > 0 {
        meter.sample_mismatches(record.sample_mismatches);
        meter.fell_back(Fallback::Samples);
    }
    match &record.error {
        Some(error) => run.warn(format!("volume {} failed: {error}", record.name)),
        None => run.info(format!(
            "volume {} done ({}): read {} bytes, changed {}, stored {}",
            record.name, record.type_reason, record.read, record.changed, record.stored
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_neighbours_with_the_same_settings_go_together() {
        let volume = |name: &str, changes, block_bytes: Option<u32>| BackupVolume {
            name: name.parse().unwrap(),
            source: coffer_proto::checked::VolumeRef::Id(name.into()),
            block_size: block_bytes.map(|bytes| BlockSize::new(bytes).unwrap()),
            changes,
        };
        let volumes = [
            volume("a", Changes::Auto, None),
            volume("b", Changes::Auto, None),
            volume("c", Changes::Hash, None),
            volume("d", Changes::Auto, Some(65_536)),
            volume("e", Changes::Auto, None),
        ];
        let counts: Vec<usize> = groups(&volumes).into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 1, 1]);
    }
}
