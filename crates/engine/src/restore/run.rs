//! One restore: pins the point, reads its manifest, restores volume after volume.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use coffer_blockio::BlockTarget;
use coffer_format::{BlockHasher, Id, Manifest, Pin, PinKind, VolumeName, VolumeRecord, object_key};
use coffer_store::RequestCounts;

use super::volume::VolumeRestore;
use super::writer::RestoreCounts;
use crate::backup::Progress;
use crate::catalog::{PointEntry, load_manifest};
use crate::read::block_states::Trailers;
use crate::read::fetch::PackReader;
use crate::read::volume_map::{VolumeMap, refuse_unknown_musts};
use crate::repository::store_key;
use crate::{EngineError, Repository, Resources};

/// How a target is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreMode {
    /// Everything is written; zeroes only where the target is not known to read as zeroes.
    Write,
    /// The target is read and only blocks that differ are written.
    InPlace,
}

/// One volume to restore.
pub struct RestoreVolume {
    /// Its name in the point.
    pub name: VolumeName,
    /// Where it goes; `None` in a dry run.
    pub target: Option<Box<dyn BlockTarget>>,
    /// How the target is called in reports.
    pub label: String,
    /// How it is filled.
    pub mode: RestoreMode,
    /// Write zeroes even where the target is known to read as zeroes.
    pub write_all_zeroes: bool,
}

/// A restore to make.
pub struct RestoreRequest<'a> {
    /// The point.
    pub point: &'a PointEntry,
    /// The volumes.
    pub volumes: Vec<RestoreVolume>,
    /// Told of progress.
    pub progress: &'a dyn Progress,
}

/// What a restore did.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// The point.
    pub point: Id,
    /// Its volumes.
    pub volumes: Vec<RestoredVolume>,
    /// Reads that were wrong at first and right when repeated; each was warned of.
    pub second_looks: u64,
    /// Requests to the store.
    pub requests: RequestCounts,
}

/// What a restore did with one volume. In a dry run, what it would do.
#[derive(Debug, Clone)]
pub struct RestoredVolume {
    /// Its name.
    pub name: VolumeName,
    /// The target.
    pub target: String,
    /// Size of the volume, bytes.
    pub size: u64,
    /// Bytes of packs read.
    pub fetched: u64,
    /// Bytes written as data.
    pub written: u64,
    /// Bytes that were right already.
    pub skipped: u64,
    /// Bytes made zero.
    pub zeroed: u64,
}

/// Restores volumes of a point. What was written before an error stays and is finished by a run in place.
pub fn run_restore(
    repository: &Repository,
    resources: &Resources,
    request: &RestoreRequest<'_>,
) -> Result<RestoreReport, EngineError> {
    let cancel = &repository.environment().cancel;
    resources.begin(cancel);
    cancel.check()?;
    let pin = put_pin(repository, request.point)?;
    // The manifest is read after the pin was put: forget either sees the pin, or the manifest is gone now (`pin_then_read`).
    let result = restore_all(repository, resources, request);
    if let Some(pin) = pin
        && let Err(error) = repository.store().delete(&[store_key(&pin)?])
    {
        tracing::warn!(pin, %error, "remove pin; prune removes it later");
    }
    cancel.explain(result.map_err(|error| explain_missing(repository, request.point, error)))
}

fn restore_all(
    repository: &Repository,
    resources: &Resources,
    request: &RestoreRequest<'_>,
) -> Result<RestoreReport, EngineError> {
    let looks_before = repository.second_looks();
    let manifest = load_manifest(repository, request.point)?.payload;
    let mut volumes = Vec::new();
    for volume in &request.volumes {
        let record = find_volume(&manifest, &volume.name)?;
        volumes.push(restore_volume(repository, resources, &manifest, record, volume, request.progress)?);
    }
    Ok(RestoreReport {
        point: manifest.point,
        volumes,
        second_looks: repository.second_looks() - looks_before,
        requests: repository.store().requests(),
    })
}

/// The record of a volume that can be read at this point.
pub(crate) fn find_volume<'m>(
    manifest: &'m Manifest,
    name: &VolumeName,
) -> Result<&'m VolumeRecord, EngineError> {
    refuse_unknown_musts(&manifest.attributes, &format_args!("point {}", manifest.point))?;
    let record = manifest.volumes.iter().map(|volume| &volume.payload).find(|record| record.name == *name);
    let record = record.ok_or_else(|| {
        let names: Vec<String> =
            manifest.volumes.iter().map(|volume| volume.payload.name.to_string()).collect();
        EngineError::NotFound(format!(
            "point {} has no volume {name}; it has {}",
            manifest.point,
            names.join(", ")
        ))
    })?;
    match &record.error {
        None => Ok(record),
        Some(error) => Err(EngineError::NotFound(format!(
            "volume {name} failed when point {} was made ({error}); choose another point",
            manifest.point
        ))),
    }
}

/// Rule `reader_rereads_manifest`: an object that vanished under a reader is damage only while the manifest still stands.
pub(crate) fn explain_missing(
    repository: &Repository,
    point: &PointEntry,
    error: EngineError,
) -> EngineError {
    if !matches!(
        error,
        EngineError::Damaged { .. } | EngineError::Store(coffer_store::StoreError::NotFound { .. })
    ) {
        return error;
    }
    let gone = || -> Result<bool, EngineError> {
        if !repository.store().exists(&store_key(&point.key)?)? {
            return Ok(true);
        }
        // The manifest stands: rule reader_asks_confirmed, and where an `ended` list made it void, the point does not count any more.
        let confirmed = object_key::confirmed(&point.plan, &point.id, &point.summary);
        Ok(!repository.store().exists(&store_key(&confirmed)?)?
            || crate::catalog::is_void(repository, point)?)
    };
    if gone().unwrap_or(false) { EngineError::Forgotten(point.id) } else { error }
}

fn put_pin(repository: &Repository, point: &PointEntry) -> Result<Option<String>, EngineError> {
    let run = repository.environment().new_id()?;
    let key = object_key::pin(&point.plan.team, &point.id, &run);
    let pin = Pin {
        format: 1,
        point: point.id,
        run,
        kind: PinKind::Restore,
        time: repository.environment().clock.now(),
        note: String::new(),
    };
    let bytes = pin.encode();
    match repository.store().put(&store_key(&key)?, bytes.into()) {
        Ok(_) => {
            // Rule reader_looks_at_ending: a forget that is on its way has looked for pins already.
            if repository.store().exists(&store_key(&object_key::ending(&point.plan.team, &point.id))?)? {
                tracing::warn!(point = %point.id, "the point is being forgotten; this restore may come too late");
            }
            Ok(Some(key))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot pin the point; a forget during this restore can end it");
            Ok(None)
        }
    }
}

fn restore_volume(
    repository: &Repository,
    resources: &Resources,
    manifest: &Manifest,
    record: &VolumeRecord,
    volume: &RestoreVolume,
    progress: &dyn Progress,
) -> Result<RestoredVolume, EngineError> {
    let map = VolumeMap::open(repository, record, resources.cache_bytes / 2)?;
    let reader = PackReader::open(repository, &map, &manifest.plan_id(), manifest.chain)?;
    let secrets = repository.secrets(&record.team)?;
    let counts = RestoreCounts::default();
    let name = record.name.to_string();
    progress.volume(&name, record.size);
    let job = VolumeRestore {
        map: &map,
        reader: &reader,
        trailers: Trailers::new(resources.cache_bytes / 2),
        hasher: BlockHasher::new(&secrets, &map.repository()),
        counts: &counts,
        volume,
        name: &name,
        resources,
        repository,
        progress,
        failure: Mutex::default(),
    };
    job.run()?;
    if let Some(target) = &volume.target {
        target.flush().map_err(|source| EngineError::Target { volume: name.clone(), source })?;
    }
    Ok(RestoredVolume {
        name: record.name.clone(),
        target: volume.label.clone(),
        size: record.size,
        fetched: counts.fetched.load(Ordering::Relaxed),
        written: counts.written.load(Ordering::Relaxed),
        skipped: counts.skipped.load(Ordering::Relaxed),
        zeroed: counts.zeroed.load(Ordering::Relaxed),
    })
}
