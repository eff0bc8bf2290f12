//! One volume of one run: threads work through segments, one place (`map_pass.rs`) puts the map together in order.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use coffer_blockio::Buf;
use coffer_format::{BlockHasher, Id, PACK_BYTES_MAX, PointType, RootLineage, object_key};

use super::block_pass::BlockPass;
use super::pass_context::{PassContext, PassCounts};
use super::reorder_queue::{PieceDone, QueueGuard, ReorderQueue};
use super::request::Progress;
use super::resume::Resume;
use super::segments::{Known, Piece, Segments, segment_blocks};
use super::staged::Staging;
use super::volume_context::VolumeContext;
use crate::EngineError;
use crate::read::block_states::Trailers;
use crate::request_error::RequestError;
use crate::resources::{READ_BUFFERS_MAX, READ_BYTES_MAX};
use crate::write::map_writer::{MapTarget, MapWriter, WrittenMap, fits_in_parts};
use crate::write::object_writer::ObjectSink;
use crate::write::pack_writer::{PackContext, PackWriter};
use crate::write::taken_table::TakenPacks;
use crate::write::uploader::UploadGroup;

/// Where a volume's objects are made.
pub(crate) struct Sinks {
    pub(crate) packs: ObjectSink,
    pub(crate) map: ObjectSink,
}

/// One volume to be worked on.
pub(crate) struct VolumeRun<'a> {
    pub(crate) volume: &'a VolumeContext<'a>,
    pub(crate) sinks: &'a Sinks,
}

/// What was written for a volume.
pub(crate) struct VolumeDone {
    pub(crate) map: WrittenMap,
    pub(crate) base_lineage: Vec<RootLineage>,
    /// What was reused, run by run; the entries stand between the base's lineage and the own one.
    pub(crate) taken: Vec<(Id, TakenPacks)>,
    pub(crate) size: u64,
    pub(crate) read: u64,
    pub(crate) changed: u64,
    pub(crate) blocks_changed: u64,
    pub(crate) stored: u64,
    pub(crate) metadata: u64,
    pub(crate) objects: u64,
    pub(crate) point_type: PointType,
}

impl VolumeRun<'_> {
    /// Backs the volume up. All objects are stored for good when this returns.
    pub(crate) fn run(&self) -> Result<VolumeDone, EngineError> {
        let size = self.volume.size;
        let block_count = self.volume.block_size.block_count(size).map_err(EngineError::Limit)?;
        self.check_map_fits(block_count)?;
        let group = Arc::new(UploadGroup::default());
        let secrets = &self.volume.chain.secrets;
        let base_lineage = self.volume.base.as_ref().map_or_else(Vec::new, |base| base.lineage().to_vec());
        let pack_context = PackContext {
            sink: self.sinks.packs.clone(),
            group: group.clone(),
            environment: self.volume.repository.environment().clone(),
            repository: self.volume.repository.id(),
            suite: self.volume.repository.suite(),
            secrets: secrets.clone(),
            chain: self.volume.chain.public,
            path: self.volume.path.clone(),
            block_size: self.volume.block_size,
            compression: self.volume.compression,
            pack_bytes_max: self.volume.resources.pack_bytes.min(PACK_BYTES_MAX),
            next_number: AtomicU32::new(0),
            closed: Mutex::default(),
            trailer_bytes: AtomicU64::new(0),
        };
        let resume = Resume::new(
            self.volume.repository,
            &self.volume.path,
            secrets,
            self.volume.block_size,
            &base_lineage,
            self.volume.incomplete_runs,
        )?;
        let target = MapTarget {
            key: object_key::map(&self.volume.path),
            repository: self.volume.repository.id(),
            suite: self.volume.repository.suite(),
            block_size: self.volume.block_size,
            volume_size: size,
            base: base_lineage.clone(),
            taken: resume.runs(),
            point: self.volume.path.point,
        };
        let map = MapWriter::create(&self.sinks.map, &group, secrets, target, self.volume.base.clone())?;
        let counts = PassCounts::default();
        // Without a base everything is new, and each worker fills packs of its own.
        let staging = match &self.volume.base {
            Some(_) => Staging::new(self.volume.resources, self.volume.block_size, self.volume.cancel())?,
            None => Staging::none(),
        };
        let io_throttle = self.volume.resources.io_throttle.as_ref();
        let throttle = io_throttle
            .map(|io_throttle| io_throttle.throttle(self.volume.source.disks()))
            .unwrap_or_default();
        let hasher = BlockHasher::new(secrets, &self.volume.repository.id());
        let trailers = Trailers::new(self.volume.resources.cache_bytes / 2);
        let context = PassContext {
            volume: self.volume,
            trailers: &trailers,
            resume: &resume,
            hasher: &hasher,
            own_index: map.own_index(),
            staging: &staging,
            throttle: &throttle,
            counts: &counts,
        };
        let mut reported = Reported::default();
        let written = self.pass(&context, &pack_context, map, block_count, &mut reported);
        // Much may still be on its way when the last block was looked at.
        let tell = |stored| {
            reported.tell(
                self.volume.progress,
                Reported { done: reported.done, stored, resumed: resume.bytes() },
            );
        };
        let written = written
            .and_then(|map| group.wait_telling(tell).map(|()| map))
            .inspect_err(|_| group.fail(EngineError::Cancelled))?;
        self.check_source_unchanged(size)?;
        Ok(VolumeDone {
            base_lineage,
            taken: resume.runs().into_iter().zip(written.taken.iter().cloned()).collect(),
            size,
            read: counts.read.load(Ordering::Relaxed),
            changed: counts.changed.load(Ordering::Relaxed),
            blocks_changed: counts.blocks_changed.load(Ordering::Relaxed),
            stored: group.bytes(),
            metadata: written.object_len + pack_context.trailer_bytes.load(Ordering::Relaxed),
            objects: group.objects(),
            point_type: if self.volume.base.is_some() { PointType::Incremental } else { PointType::Full },
            map: written,
        })
    }

    fn check_map_fits(&self, block_count: u32) -> Result<(), EngineError> {
        let part_len = self.sinks.map.part_len;
        if fits_in_parts(block_count, part_len as u64) {
            return Ok(());
        }
        Err(RequestError::MapTooLong {
            volume: self.volume.path.volume.clone(),
            blocks: block_count,
            block_bytes: self.volume.block_size.bytes(),
            part_bytes: part_len,
        }
        .into())
    }

    fn pass(
        &self,
        context: &PassContext<'_>,
        packs: &PackContext,
        map: MapWriter,
        block_count: u32,
        reported: &mut Reported,
    ) -> Result<WrittenMap, EngineError> {
        let workers = self.volume.resources.workers;
        let segment = segment_blocks(block_count, workers);
        let segments = Segments::new(
            self.volume.source,
            self.volume.block_size,
            self.volume.size,
            block_count,
            segment,
            self.known(),
        );
        let queue = ReorderQueue::new(segments);
        std::thread::scope(|scope| {
            for index in 0..workers {
                let queue = &queue;
                let worker = move || {
                    let _guard = QueueGuard(queue);
                    if let Err(error) = self.work(queue, context, packs) {
                        queue.fail(error);
                    }
                };
                let spawned =
                    std::thread::Builder::new().name(format!("block-{index}")).spawn_scoped(scope, worker);
                if let Err(error) = spawned {
                    queue.fail(EngineError::Usage(format!("cannot start a thread: {error}")));
                }
            }
            let built = self.build_map(&queue, context, packs, map, block_count, reported);
            if built.is_err() {
                queue.stop();
            }
            built
        })
        .map_err(|error| queue.take_error().unwrap_or(error))
    }

    fn known(&self) -> Known<'_> {
        match (&self.volume.reading.listed, &self.volume.base) {
            (Some(runs), Some(base)) => Known::Changes { runs, base_blocks: base.block_count },
            _ if self.volume.reading.use_holes => Known::Holes,
            _ => Known::Nothing,
        }
    }

    fn work(
        &self,
        queue: &ReorderQueue<'_>,
        context: &PassContext<'_>,
        packs: &PackContext,
    ) -> Result<(), EngineError> {
        let mut pass: Option<BlockPass<'_>> = None;
        while let Some((number, piece)) = queue.next_piece(&self.volume.name)? {
            self.volume.cancel().check()?;
            let done = match piece {
                Piece::ZeroLeaves { first, count } => PieceDone::ZeroLeaves { first, count },
                Piece::BaseLeaves { first, count } => PieceDone::BaseLeaves { first, count },
                Piece::Segment(segment) => {
                    let pass = match &mut pass {
                        Some(pass) => pass,
                        none => none.insert(BlockPass::new(
                            context,
                            PackWriter::new(packs)?,
                            self.read_buffers()?,
                        )),
                    };
                    PieceDone::Segment(pass.segment(&segment)?)
                }
            };
            if packs.group.has_failed() {
                break;
            }
            queue.put(number, done);
        }
        pass.map_or(Ok(()), BlockPass::finish)
    }

    /// The buffers of one worker: a second one only where the source reads ahead.
    fn read_buffers(&self) -> Result<Vec<Buf>, EngineError> {
        let len = READ_BYTES_MAX.max(self.volume.block_size.bytes() as usize);
        let count = if self.volume.source.reads_ahead() { READ_BUFFERS_MAX } else { 1 };
        let cancel = self.volume.cancel();
        (0..count).map(|_| self.volume.resources.alloc(len, cancel)).collect()
    }

    fn check_source_unchanged(&self, size: u64) -> Result<(), EngineError> {
        let volume = self.volume.name.clone();
        let now = self.volume.source.current_size_bytes();
        let now = now.map_err(|source| EngineError::Source { volume: volume.clone(), source })?;
        if now == size {
            return Ok(());
        }
        Err(EngineError::SourceChanged {
            volume,
            detail: format!("its size went from {size} to {now} bytes while it was read; back it up again"),
        })
    }
}

/// What the progress was told.
#[derive(Default)]
pub(super) struct Reported {
    pub(super) done: u64,
    pub(super) stored: u64,
    pub(super) resumed: u64,
}

impl Reported {
    pub(super) fn tell(&mut self, progress: &dyn Progress, now: Reported) {
        progress.advance(now.done.saturating_sub(self.done), now.stored.saturating_sub(self.stored));
        if now.resumed > self.resumed {
            progress.resumed(now.resumed - self.resumed);
        }
        self.done = self.done.max(now.done);
        self.stored = self.stored.max(now.stored);
        self.resumed = self.resumed.max(now.resumed);
    }
}
