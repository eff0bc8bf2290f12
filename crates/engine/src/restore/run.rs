//! One restore: plans windows of the map, and lets threads fetch, check and write.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use coffer_blockio::BlockTarget;
use coffer_format::{BlockHasher, Id, LEAF_BLOCKS, Manifest, Pin, PinKind, Place, VolumeName, VolumeRecord, object_key};
use coffer_store::RequestCounts;
use crossbeam_channel::{Receiver, Sender};

use super::in_place::compare;
use super::writer::{RestoreCounts, TargetWriter};
use crate::backup::Progress;
use crate::catalog::{PointEntry, load_manifest};
use crate::read::fetch::{FetchRange, PackReader, RANGE_BYTES_MAX, frame_run, plan_ranges};
use crate::read::volume_map::{Trailers, VolumeMap};
use crate::repository::store_key;
use crate::resources::READ_BYTES_MAX;
use crate::{EngineError, Repository, Resources};

/// Leaves that are planned together, so that small extents of one pack come in one request.
const WINDOW_LEAVES: u32 = 16;
/// Blocks that one thread compares at once.
const COMPARE_BLOCKS: u32 = 256;

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

enum Work {
    Fetch(FetchRange),
    Compare { first: u32, count: u32 },
    Zero(Range<u32>),
}

/// Restores volumes of a point. What was written before an error stays and is finished by a run in place.
pub fn run_restore(
    repository: &Repository,
    resources: &Resources,
    request: &RestoreRequest<'_>,
) -> Result<RestoreReport, EngineError> {
    let pin = put_pin(repository, request.point)?;
    // The manifest is read after the pin was put: forget either sees the pin, or the manifest is gone now (`pin_then_read`).
    let result = restore_all(repository, resources, request);
    if let Some(pin) = pin
        && let Err(error) = repository.store().delete(&[store_key(&pin)?])
    {
        tracing::warn!(pin, %error, "remove pin; prune removes it later");
    }
    result.map_err(|error| explain_missing(repository, request.point, error))
}

fn restore_all(
    repository: &Repository,
    resources: &Resources,
    request: &RestoreRequest<'_>,
) -> Result<RestoreReport, EngineError> {
    let manifest = load_manifest(repository, request.point)?.payload;
    let mut volumes = Vec::new();
    for volume in &request.volumes {
        let record = find_volume(&manifest, &volume.name)?;
        volumes.push(restore_volume(repository, resources, &manifest, record, volume, request.progress)?);
    }
    Ok(RestoreReport { point: manifest.point, volumes, requests: repository.store().requests() })
}

/// The record of a volume that can be read at this point.
pub(crate) fn find_volume<'m>(manifest: &'m Manifest, name: &VolumeName) -> Result<&'m VolumeRecord, EngineError> {
    let record = manifest.volumes.iter().map(|volume| &volume.payload).find(|record| record.name == *name);
    let record = record.ok_or_else(|| {
        let names: Vec<String> = manifest.volumes.iter().map(|volume| volume.payload.name.to_string()).collect();
        EngineError::NotFound(format!("point {} has no volume {name}; it has {}", manifest.point, names.join(", ")))
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
pub(crate) fn explain_missing(repository: &Repository, point: &PointEntry, error: EngineError) -> EngineError {
    if !matches!(error, EngineError::Damaged { .. } | EngineError::Store(coffer_store::StoreError::NotFound { .. })) {
        return error;
    }
    let gone = || -> Result<bool, EngineError> {
        if !repository.store().exists(&store_key(&point.key)?)? {
            return Ok(true);
        }
        // The manifest stands; where an `ended` list made it void, the point does not count any more.
        crate::catalog::is_void(repository, point)
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
        Ok(_) => Ok(Some(key)),
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

struct VolumeRestore<'a> {
    map: &'a VolumeMap,
    reader: &'a PackReader<'a>,
    trailers: Trailers,
    hasher: BlockHasher,
    counts: &'a RestoreCounts,
    volume: &'a RestoreVolume,
    name: &'a str,
    resources: &'a Resources,
    repository: &'a Repository,
    progress: &'a dyn Progress,
    failure: Mutex<Option<EngineError>>,
}

impl VolumeRestore<'_> {
    fn run(&self) -> Result<(), EngineError> {
        let Some(target) = &self.volume.target else { return self.plan(&mut |work| self.count_only(work)) };
        let (sender, receiver) = crossbeam_channel::bounded::<Work>(self.resources.workers * 2);
        let planned = std::thread::scope(|scope| {
            for index in 0..self.resources.workers {
                let receiver = receiver.clone();
                let worker = move || self.keep_error(self.work(&receiver, target.as_ref()));
                let spawned = std::thread::Builder::new().name(format!("restore-{index}")).spawn_scoped(scope, worker);
                if let Err(error) = spawned {
                    self.fail(EngineError::Usage(format!("cannot start a thread: {error}")));
                }
            }
            drop(receiver);
            let planned = self.plan(&mut |work| self.send(&sender, work));
            drop(sender);
            planned
        });
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(planned, Err)
    }

    fn send(&self, sender: &Sender<Work>, work: Work) -> Result<(), EngineError> {
        self.repository.environment().cancel.check()?;
        // The channel closes when all threads have ended with an error, which is then reported instead of this one.
        sender.send(work).map_err(|_| EngineError::Cancelled)
    }

    fn plan(&self, give: &mut dyn FnMut(Work) -> Result<(), EngineError>) -> Result<(), EngineError> {
        match self.volume.mode {
            RestoreMode::Write => self.plan_writes(give),
            RestoreMode::InPlace => self.plan_compares(give),
        }
    }

    fn plan_compares(&self, give: &mut dyn FnMut(Work) -> Result<(), EngineError>) -> Result<(), EngineError> {
        let mut first = 0;
        while first < self.map.block_count {
            let count = COMPARE_BLOCKS.min(self.map.block_count - first);
            give(Work::Compare { first, count })?;
            first += count;
        }
        Ok(())
    }

    fn plan_writes(&self, give: &mut dyn FnMut(Work) -> Result<(), EngineError>) -> Result<(), EngineError> {
        let leaves = self.map.block_count.div_ceil(LEAF_BLOCKS);
        let fresh = self.volume.target.as_ref().is_none_or(|target| target.is_fresh());
        let skip_zeroes = fresh && !self.volume.write_all_zeroes;
        let mut window = Window::default();
        for index in 0..leaves {
            match self.map.leaf(index)? {
                None => {
                    let first = index * LEAF_BLOCKS;
                    window.zero(first..first.saturating_add(LEAF_BLOCKS).min(self.map.block_count));
                }
                Some(leaf) => {
                    for extent in &leaf.extents {
                        match (&extent.place, frame_run(extent)) {
                            (Place::Data { .. }, Some(run)) => window.runs.push(run),
                            _ => window.zero(extent.first..extent.first + extent.count),
                        }
                    }
                    window.leaves += 1;
                }
            }
            if window.leaves >= WINDOW_LEAVES || window.zeroes.len() > 4096 {
                self.give_window(std::mem::take(&mut window), skip_zeroes, give)?;
            }
        }
        self.give_window(window, skip_zeroes, give)
    }

    fn give_window(
        &self,
        window: Window,
        skip_zeroes: bool,
        give: &mut dyn FnMut(Work) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        for range in window.zeroes {
            if skip_zeroes {
                self.progress.advance(self.bytes_of(&range), 0);
            } else {
                give(Work::Zero(range))?;
            }
        }
        plan_ranges(window.runs).into_iter().map(Work::Fetch).try_for_each(give)
    }

    fn work(&self, receiver: &Receiver<Work>, target: &dyn BlockTarget) -> Result<(), EngineError> {
        let block_bytes = self.map.block_size().bytes();
        let alloc = |len| self.resources.arena.alloc(len).map_err(|error| EngineError::Bug(error.to_string()));
        let mut range_buffer = None;
        let write_buffer = alloc(READ_BYTES_MAX.max(block_bytes as usize))?;
        let mut writer = TargetWriter::new(target, self.name, self.counts, block_bytes, write_buffer);
        let mut compare_buffer = None;
        for work in receiver {
            if self.has_failed() {
                return Ok(());
            }
            self.repository.environment().cancel.check()?;
            let ranges = match work {
                Work::Zero(range) => {
                    self.zero(target, &range)?;
                    continue;
                }
                Work::Fetch(range) => vec![range],
                Work::Compare { first, count } => {
                    let buffer = match &mut compare_buffer {
                        Some(buffer) => buffer,
                        none => none.insert(alloc(READ_BYTES_MAX.max(block_bytes as usize))?),
                    };
                    let found =
                        compare(self.map, &self.trailers, &self.hasher, target, first, count, buffer)?;
                    self.counts.skipped.fetch_add(found.skipped, Ordering::Relaxed);
                    self.progress.advance(found.skipped, 0);
                    found.zeroes.iter().try_for_each(|range| self.zero(target, range))?;
                    plan_ranges(found.runs)
                }
            };
            for range in &ranges {
                let buffer = match &mut range_buffer {
                    Some(buffer) => buffer,
                    none => none.insert(alloc(usize::try_from(RANGE_BYTES_MAX).unwrap_or(usize::MAX))?),
                };
                self.reader.fetch(range, buffer, &mut writer)?;
                writer.flush()?;
                self.fetched(range);
            }
        }
        Ok(())
    }

    fn fetched(&self, range: &FetchRange) {
        let len = range.end - range.start;
        self.counts.fetched.fetch_add(len, Ordering::Relaxed);
        let blocks: u64 = range.runs.iter().map(|run| self.bytes_of(&(run.first..run.first + run.count))).sum();
        self.progress.advance(blocks, len);
    }

    fn zero(&self, target: &dyn BlockTarget, range: &Range<u32>) -> Result<(), EngineError> {
        let offset = u64::from(range.start) * u64::from(self.map.block_size().bytes());
        let len = self.bytes_of(range);
        let zeroed = target.write_zeroes(offset, len);
        zeroed.map_err(|source| EngineError::Target { volume: self.name.to_owned(), source })?;
        self.counts.zeroed.fetch_add(len, Ordering::Relaxed);
        self.progress.advance(len, 0);
        Ok(())
    }

    fn count_only(&self, work: Work) -> Result<(), EngineError> {
        match work {
            Work::Zero(range) => {
                self.counts.zeroed.fetch_add(self.bytes_of(&range), Ordering::Relaxed);
            }
            Work::Fetch(range) => {
                self.fetched(&range);
                let blocks: u64 = range.runs.iter().map(|run| self.bytes_of(&(run.first..run.first + run.count))).sum();
                self.counts.written.fetch_add(blocks, Ordering::Relaxed);
            }
            Work::Compare { .. } => {}
        }
        Ok(())
    }

    fn bytes_of(&self, blocks: &Range<u32>) -> u64 {
        let block = u64::from(self.map.block_size().bytes());
        let size = self.map.root.volume_size;
        (u64::from(blocks.end) * block).min(size) - (u64::from(blocks.start) * block).min(size)
    }

    fn keep_error(&self, result: Result<(), EngineError>) {
        if let Err(error) = result {
            self.fail(error);
        }
    }

    fn fail(&self, error: EngineError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

#[derive(Default)]
struct Window {
    runs: Vec<crate::read::fetch::FrameRun>,
    zeroes: Vec<Range<u32>>,
    leaves: u32,
}

impl Window {
    fn zero(&mut self, range: Range<u32>) {
        match self.zeroes.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.zeroes.push(range),
        }
    }
}
