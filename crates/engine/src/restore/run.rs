//! One restore: pins the point, reads its manifest, looks whether all volumes can be restored, restores volume after volume.
//!
//! No target is touched before all volumes were looked at, and none before its turn.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use coffer_format::{ChainPrivateKey, Id, Pin, PinKind, VolumeName, object_key};
use coffer_store::RequestCounts;

use super::lost::{Lost, LostRange};
use super::preflight;
use super::request::{Goal, find_volume};
pub use super::request::{RestoreMode, RestoreVolume};
use super::volume::VolumeRestore;
use super::writer::RestoreCounts;
use crate::backup::Progress;
use crate::catalog::{PointEntry, load_manifest};
use crate::error::HalfWritten;
use crate::read::block_states::Trailers;
use crate::read::fetch::PackReader;
use crate::read::volume_map::VolumeMap;
use crate::records;
use crate::repository::store_key;
use crate::{EngineError, Repository, Resources};

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
    pub rereads: u64,
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
    /// Bytes behind the volume's end that an image had and that were cut off.
    pub cut: u64,
    /// Bytes behind the volume's end that a device has and that stay as they were.
    pub tail: u64,
    /// Ranges that a salvage could not restore, ascending.
    pub lost: Vec<LostRange>,
    /// Bytes of all such ranges, listed or not.
    pub lost_bytes: u64,
}

impl RestoredVolume {
    /// A volume of which nothing was done yet.
    pub fn new(name: VolumeName, target: String, size: u64) -> RestoredVolume {
        RestoredVolume {
            name,
            target,
            size,
            fetched: 0,
            written: 0,
            skipped: 0,
            zeroed: 0,
            cut: 0,
            tail: 0,
            lost: Vec::new(),
            lost_bytes: 0,
        }
    }
}

/// Restores volumes of a point. Before any target is touched, all that every volume needs is opened: its map's root, the chain's key, and one
/// frame of its data. An error after that says what is half-written; a run in place finishes it.
pub fn run_restore(
    repository: &Repository,
    resources: &Resources,
    request: &RestoreRequest<'_>,
) -> Result<RestoreReport, EngineError> {
    run(repository, resources, request, Goal::Whole)
}

/// Restores what can be proved of volumes whose objects are damaged or missing, and lists the rest in the report.
pub fn run_salvage(
    repository: &Repository,
    resources: &Resources,
    request: &RestoreRequest<'_>,
) -> Result<RestoreReport, EngineError> {
    run(repository, resources, request, Goal::Salvage)
}

fn run(
    repository: &Repository,
    resources: &Resources,
    request: &RestoreRequest<'_>,
    goal: Goal,
) -> Result<RestoreReport, EngineError> {
    let cancel = &repository.environment().cancel;
    resources.begin(cancel);
    let result = with_pin(repository, request.point, || restore_all(repository, resources, request, goal));
    explain(repository, request.point, result)
}

/// Does `work` while the point is pinned.
pub(super) fn with_pin<T>(
    repository: &Repository,
    point: &PointEntry,
    work: impl FnOnce() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    repository.environment().cancel.check()?;
    let pin = put_pin(repository, point)?;
    // The manifest is read after the pin was put: forget either sees the pin, or the manifest is gone now (`pin_then_read`).
    let result = work();
    if let Some(pin) = pin
        && let Err(error) = repository.store().delete(&[store_key(&pin)?])
    {
        tracing::warn!(pin, %error, "remove pin; prune removes it later");
    }
    result
}

/// Says what was behind an error: a forget, or a wish to stop.
pub(super) fn explain<T>(
    repository: &Repository,
    point: &PointEntry,
    result: Result<T, EngineError>,
) -> Result<T, EngineError> {
    let explained = |error| explain_missing(repository, point, error);
    let result = result.map_err(|error| error.map_cause(explained));
    repository.environment().cancel.explain(result)
}

fn restore_all(
    repository: &Repository,
    resources: &Resources,
    request: &RestoreRequest<'_>,
    goal: Goal,
) -> Result<RestoreReport, EngineError> {
    let rereads_before = repository.reread_count();
    let manifest = load_manifest(repository, request.point)?.payload;
    let names: Vec<&VolumeName> = request.volumes.iter().map(|volume| &volume.name).collect();
    let mut ready = preflight::check(repository, resources, &manifest, &names, goal)?;
    let mut volumes: Vec<RestoredVolume> = Vec::new();
    for volume in &request.volumes {
        let record = find_volume(&manifest, &volume.name)?;
        let map = match ready.map.take() {
            Some(map) => Ok(map),
            None => VolumeMap::open(repository, record, resources.cache_bytes / 2),
        };
        let mut is_begun = false;
        let restored = match map {
            Err(error) if goal == Goal::Salvage && error.is_damage() => {
                Ok(all_lost(volume, record.size, &error))
            }
            Err(error) => Err(error),
            Ok(map) => {
                let job = Job { repository, resources, volume, progress: request.progress, goal };
                job.restore(&map, ready.chain_key.clone(), &mut is_begun)
            }
        };
        match restored {
            Ok(restored) => volumes.push(restored),
            Err(error) => return Err(unfinished(error, volume, is_begun, &volumes)),
        }
    }
    Ok(RestoreReport {
        point: manifest.point,
        volumes,
        rereads: repository.reread_count() - rereads_before,
        requests: repository.store().requests(),
    })
}

/// A volume whose map cannot be read; its target was not touched.
fn all_lost(volume: &RestoreVolume, size: u64, error: &EngineError) -> RestoredVolume {
    let lost = Lost::default();
    lost.add(0, size, error);
    let mut restored = RestoredVolume::new(volume.name.clone(), volume.label.clone(), size);
    (restored.lost, restored.lost_bytes) = lost.into_ranges();
    restored
}

/// Says what an error leaves behind, where anything was begun.
pub(super) fn unfinished(
    error: EngineError,
    volume: &RestoreVolume,
    is_begun: bool,
    done: &[RestoredVolume],
) -> EngineError {
    let stays = volume.target.as_ref().is_some_and(|target| is_begun && target.stays_unfinished());
    let half_written =
        stays.then(|| HalfWritten { volume: volume.name.to_string(), target: volume.label.clone() });
    let restored: Vec<String> = match &volume.target {
        Some(_) => done.iter().map(|volume| volume.name.to_string()).collect(),
        None => Vec::new(),
    };
    if half_written.is_none() && restored.is_empty() {
        return error;
    }
    EngineError::Unfinished { source: Box::new(error), half_written: half_written.map(Box::new), restored }
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
        repository: repository.id(),
        team: point.plan.team.clone(),
        point: point.id,
        run,
        kind: PinKind::Restore,
        time: repository.environment().clock.now(),
        note: String::new(),
    };
    match records::put(repository, &key, &pin) {
        Ok(()) => {
            // Rule reader_looks_at_ending: a forget that is on its way has looked for pins already.
            if records::is_ending(repository, &point.plan.team, &point.id)? {
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

/// One volume's restore.
pub(super) struct Job<'a> {
    pub(super) repository: &'a Repository,
    pub(super) resources: &'a Resources,
    pub(super) volume: &'a RestoreVolume,
    pub(super) progress: &'a dyn Progress,
    pub(super) goal: Goal,
}

impl Job<'_> {
    /// Restores the volume of `map`. `is_begun` is set before the target is touched.
    pub(super) fn restore(
        &self,
        map: &VolumeMap,
        chain_key: Arc<Option<ChainPrivateKey>>,
        is_begun: &mut bool,
    ) -> Result<RestoredVolume, EngineError> {
        let (size, volume) = (map.root.volume_size, self.volume);
        let reader = PackReader::new(self.repository, map, chain_key);
        let counts = RestoreCounts::default();
        let lost = Lost::default();
        let name = map.volume.clone();
        self.progress.volume(&name, size);
        let target_failed = |source| EngineError::Target { volume: name.clone(), source };
        if let Some(target) = &volume.target {
            *is_begun = true;
            target.begin().map_err(target_failed)?;
        }
        let job = VolumeRestore {
            map,
            reader: &reader,
            trailers: Trailers::new(self.resources.cache_bytes / 2),
            hasher: map.hasher(),
            counts: &counts,
            volume,
            name: &name,
            resources: self.resources,
            repository: self.repository,
            progress: self.progress,
            lost: (self.goal == Goal::Salvage).then_some(&lost),
            failure: Mutex::default(),
        };
        job.run()?;
        let mut restored = RestoredVolume::new(volume.name.clone(), volume.label.clone(), size);
        if let Some(target) = &volume.target {
            restored.cut = target.cut_bytes();
            restored.tail = target.size_bytes().saturating_sub(size + restored.cut);
            target.finish().map_err(target_failed)?;
        }
        restored.fetched = counts.fetched.load(Ordering::Relaxed);
        restored.written = counts.written.load(Ordering::Relaxed);
        restored.skipped = counts.skipped.load(Ordering::Relaxed);
        restored.zeroed = counts.zeroed.load(Ordering::Relaxed);
        (restored.lost, restored.lost_bytes) = lost.into_ranges();
        Ok(restored)
    }
}
