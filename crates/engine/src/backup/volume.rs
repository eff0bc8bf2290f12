//! One volume of one run: threads work through segments, one place puts the map together in order.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use coffer_blockio::{BlockSource, Buf};
use coffer_format::{
    BlockHasher, BlockSize, ChainPublicKey, Child, Compression, Extent, Id, LEAF_BLOCKS, PACK_BYTES_MAX,
    Place, PointType, RootLineage, VolumePath, object_key, push_extent,
};

use super::block_pass::{BlockPass, PassContext, PassCounts, SegmentDone};
use super::gathered::{GatheredPacks, Gathering};
use super::line::{Leaving, Line, PieceDone};
use super::reading::Reading;
use super::request::Progress;
use super::resume::Resume;
use super::segments::{Known, Piece, Segments, segment_blocks};
use crate::read::block_states::Trailers;
use crate::read::volume_map::VolumeMap;
use crate::resources::{READ_BUFFERS_MAX, READ_BYTES_MAX};
use crate::write::map_writer::{MapTarget, MapWriter, WrittenMap};
use crate::write::object_writer::ObjectSink;
use crate::write::pack_writer::{PackContext, PackWriter};
use crate::write::taken_table::TakenPacks;
use crate::write::uploader::UploadGroup;
use crate::{EngineError, Repository, Resources};

/// One volume to be worked on.
pub(crate) struct VolumeRun<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) resources: &'a Resources,
    pub(crate) sink: ObjectSink,
    pub(crate) path: VolumePath,
    pub(crate) source: &'a dyn BlockSource,
    pub(crate) base: Option<Arc<VolumeMap>>,
    pub(crate) chain: Option<ChainPublicKey>,
    pub(crate) block_size: BlockSize,
    pub(crate) compression: Compression,
    pub(crate) reading: &'a Reading,
    /// Unfinished runs of the chain, oldest first.
    pub(crate) leftovers: &'a [Id],
    pub(crate) progress: &'a dyn Progress,
}

/// What was written for a volume.
pub(crate) struct VolumeDone {
    pub(crate) map: WrittenMap,
    pub(crate) base_lineage: Vec<RootLineage>,
    /// What was taken over, run by run; the entries stand between the base's lineage and the own one.
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
        let size = self.source.size_bytes();
        let block_count = self.block_size.block_count(size).map_err(EngineError::Limit)?;
        let group = Arc::new(UploadGroup::default());
        let secrets = self.repository.secrets(&self.path.plan.team)?;
        let base_lineage = self.base.as_ref().map_or_else(Vec::new, |base| base.lineage().to_vec());
        let pack_context = PackContext {
            sink: self.sink.clone(),
            group: group.clone(),
            environment: self.repository.environment().clone(),
            repository: self.repository.id(),
            suite: self.repository.suite(),
            secrets: secrets.clone(),
            chain: self.chain,
            path: self.path.clone(),
            block_size: self.block_size,
            compression: self.compression,
            pack_bytes_max: self.resources.pack_bytes.min(PACK_BYTES_MAX),
            next_number: AtomicU32::new(0),
            closed: Mutex::default(),
            trailer_bytes: AtomicU64::new(0),
        };
        let resume =
            Resume::new(self.repository, &self.path, self.block_size, &base_lineage, self.leftovers)?;
        let target = MapTarget {
            key: object_key::map(&self.path),
            repository: self.repository.id(),
            suite: self.repository.suite(),
            block_size: self.block_size,
            volume_size: size,
            base: base_lineage.clone(),
            taken: resume.runs(),
            point: self.path.point,
        };
        let map = MapWriter::create(&self.sink, &group, &secrets, target, self.base.clone())?;
        let counts = PassCounts::default();
        // Without a base everything is new, and each worker fills packs of its own.
        let gathering = match &self.base {
            Some(_) => {
                Gathering::new(self.resources, self.block_size, &self.repository.environment().cancel)?
            }
            None => Gathering::none(),
        };
        let courtesy = self.resources.courtesy.as_ref();
        let turns = courtesy.map(|courtesy| courtesy.turns(self.source.disks())).unwrap_or_default();
        let hasher = BlockHasher::new(&secrets, &self.repository.id());
        let trailers = Trailers::new(self.resources.cache_bytes / 2);
        let volume = self.path.volume.to_string();
        let context = PassContext {
            source: self.source,
            volume: &volume,
            volume_size: size,
            block_size: self.block_size,
            base: self.base.as_deref(),
            trailers: &trailers,
            resume: &resume,
            hasher: &hasher,
            own_index: map.own_index(),
            gathering: &gathering,
            turns: &turns,
            counts: &counts,
            cancel: &self.repository.environment().cancel,
            resources: self.resources,
        };
        let mut reported = Reported::default();
        let written = self.pass(&context, &pack_context, map, block_count, &mut reported);
        // Much may still be on its way when the last block was looked at.
        let tell = |stored| {
            reported.tell(self.progress, Reported { done: reported.done, stored, resumed: resume.bytes() });
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
            point_type: if self.base.is_some() { PointType::Incremental } else { PointType::Full },
            map: written,
        })
    }

    fn pass(
        &self,
        context: &PassContext<'_>,
        packs: &PackContext,
        map: MapWriter,
        block_count: u32,
        reported: &mut Reported,
    ) -> Result<WrittenMap, EngineError> {
        let workers = self.resources.workers;
        let segment = segment_blocks(block_count, workers);
        let segments = Segments::new(
            self.source,
            self.block_size,
            context.volume_size,
            block_count,
            segment,
            self.known(),
        );
        let line = Line::new(segments);
        std::thread::scope(|scope| {
            for index in 0..workers {
                let line = &line;
                let worker = move || {
                    let _leaving = Leaving(line);
                    if let Err(error) = self.work(line, context, packs) {
                        line.fail(error);
                    }
                };
                let spawned =
                    std::thread::Builder::new().name(format!("block-{index}")).spawn_scoped(scope, worker);
                if let Err(error) = spawned {
                    line.fail(EngineError::Usage(format!("cannot start a thread: {error}")));
                }
            }
            let built = self.build_map(&line, context, packs, map, block_count, reported);
            if built.is_err() {
                line.stop();
            }
            built
        })
        .map_err(|error| line.take_error().unwrap_or(error))
    }

    fn known(&self) -> Known<'_> {
        match (&self.reading.listed, &self.base) {
            (Some(runs), Some(base)) => Known::Changes { runs, base_blocks: base.block_count },
            _ if self.reading.use_holes => Known::Holes,
            _ => Known::Nothing,
        }
    }

    fn work(
        &self,
        line: &Line<'_>,
        context: &PassContext<'_>,
        packs: &PackContext,
    ) -> Result<(), EngineError> {
        let mut pass: Option<BlockPass<'_>> = None;
        while let Some((number, piece)) = line.next_piece(context.volume)? {
            context.cancel.check()?;
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
            line.put(number, done);
        }
        pass.map_or(Ok(()), BlockPass::finish)
    }

    /// The buffers of one worker: a second one only where the source reads ahead.
    fn read_buffers(&self) -> Result<Vec<Buf>, EngineError> {
        let len = READ_BYTES_MAX.max(self.block_size.bytes() as usize);
        let count = if self.source.reads_ahead() { READ_BUFFERS_MAX } else { 1 };
        let cancel = &self.repository.environment().cancel;
        (0..count).map(|_| self.resources.alloc(len, cancel)).collect()
    }

    /// Takes finished pieces in volume order and writes leaves, nodes, pack table and root.
    fn build_map(
        &self,
        line: &Line<'_>,
        context: &PassContext<'_>,
        packs: &PackContext,
        mut map: MapWriter,
        block_count: u32,
        reported: &mut Reported,
    ) -> Result<WrittenMap, EngineError> {
        let take_closed =
            || std::mem::take(&mut *packs.closed.lock().unwrap_or_else(PoisonError::into_inner));
        let mut gathered = GatheredPacks::new(context.gathering, packs, context.own_index);
        let mut leaf = LeafBuilder { extents: Vec::new(), changed: false, next_block: 0 };
        while let Some(piece) = line.take(&packs.group)? {
            match piece {
                PieceDone::ZeroLeaves { first, count } => {
                    self.zero_leaves(&mut map, context, first, count)?;
                    leaf.next_block = (first + count).saturating_mul(LEAF_BLOCKS).min(block_count);
                }
                PieceDone::BaseLeaves { first, count } => {
                    self.base_leaves(&mut map, first, count)?;
                    leaf.next_block = (first + count).saturating_mul(LEAF_BLOCKS).min(block_count);
                }
                PieceDone::Segment(mut done) => {
                    gathered.settle(&mut done)?;
                    leaf.add(done);
                }
            }
            if leaf.is_complete(block_count) {
                self.close_leaf(&mut map, &mut leaf, block_count)?;
                enter_taken(&mut map, context.resume, Some(leaf.next_block))?;
            }
            map.packs(take_closed())?;
            // The last block may be a short one.
            let done = u64::from(leaf.next_block) * u64::from(self.block_size.bytes());
            reported.tell(
                self.progress,
                Reported {
                    done: done.min(self.source.size_bytes()),
                    stored: packs.group.bytes(),
                    resumed: context.resume.bytes(),
                },
            );
        }
        gathered.finish()?;
        line.wait_for_workers(self.resources.workers)?;
        map.packs(take_closed())?;
        enter_taken(&mut map, context.resume, None)?;
        map.finish(packs.next_number.load(Ordering::Relaxed))
    }

    fn close_leaf(
        &self,
        map: &mut MapWriter,
        leaf: &mut LeafBuilder,
        block_count: u32,
    ) -> Result<(), EngineError> {
        let extents = std::mem::take(&mut leaf.extents);
        let changed = std::mem::take(&mut leaf.changed);
        let index = (leaf.next_block - 1) / LEAF_BLOCKS;
        if let Some(base) = &self.base {
            let covered = |blocks: u32| blocks.saturating_sub(index * LEAF_BLOCKS).min(LEAF_BLOCKS);
            if !changed && covered(base.block_count) == covered(block_count) {
                return map.child(base.leaf_ref(index)?.map_or(Child::Zero(1), Child::Page));
            }
        }
        map.leaf(extents)
    }

    /// Leaves in which nothing changed are referred to and not looked at.
    fn base_leaves(&self, map: &mut MapWriter, first: u32, count: u32) -> Result<(), EngineError> {
        let base = self.base.as_ref().ok_or_else(|| EngineError::Bug("leaves of no base".into()))?;
        for index in first..first + count {
            self.repository.environment().cancel.check()?;
            map.child(base.leaf_ref(index)?.map_or(Child::Zero(1), Child::Page))?;
        }
        Ok(())
    }

    /// Leaves that are one hole: what the base had there counts as changed.
    fn zero_leaves(
        &self,
        map: &mut MapWriter,
        context: &PassContext<'_>,
        first: u32,
        count: u32,
    ) -> Result<(), EngineError> {
        for index in first..first + count {
            context.cancel.check()?;
            if let Some(base) = &self.base
                // A damaged leaf of the base has no say in the new point, which is all zero here.
                && let Ok(Some(old)) = base.leaf(index)
            {
                for extent in old.extents.iter().filter(|extent| !matches!(extent.place, Place::Zero)) {
                    for block in extent.first..extent.first + extent.count {
                        let len = self.block_size.block_len(context.volume_size, block);
                        context.counts.add_changed(u64::from(len));
                    }
                }
            }
            map.child(Child::Zero(1))?;
        }
        Ok(())
    }

    fn check_source_unchanged(&self, size: u64) -> Result<(), EngineError> {
        let volume = self.path.volume.to_string();
        let now = self.source.current_size_bytes();
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

/// Enters what is settled of the tables of packs taken over: all blocks before `low` are done, with `None` all blocks.
fn enter_taken(map: &mut MapWriter, resume: &Resume, low: Option<u32>) -> Result<(), EngineError> {
    for slot in 0..resume.len() {
        resume.pages(slot, low).into_iter().try_for_each(|page| map.taken_page(slot, page))?;
    }
    Ok(())
}

/// Collects the segments of one leaf.
struct LeafBuilder {
    extents: Vec<Extent>,
    changed: bool,
    next_block: u32,
}

impl LeafBuilder {
    fn add(&mut self, done: SegmentDone) {
        for extent in done.extents {
            self.next_block = extent.first + extent.count;
            push_extent(&mut self.extents, extent);
        }
        self.changed |= done.changed;
    }

    fn is_complete(&self, block_count: u32) -> bool {
        !self.extents.is_empty()
            && (self.next_block.is_multiple_of(LEAF_BLOCKS) || self.next_block == block_count)
    }
}

#[derive(Default)]
struct Reported {
    done: u64,
    stored: u64,
    resumed: u64,
}

impl Reported {
    fn tell(&mut self, progress: &dyn Progress, now: Reported) {
        progress.advance(now.done.saturating_sub(self.done), now.stored.saturating_sub(self.stored));
        if now.resumed > self.resumed {
            progress.resumed(now.resumed - self.resumed);
        }
        self.done = self.done.max(now.done);
        self.stored = self.stored.max(now.stored);
        self.resumed = self.resumed.max(now.resumed);
    }
}
