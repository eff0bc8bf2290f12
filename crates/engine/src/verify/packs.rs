//! Maps and packs: every page that a point refers to, every trailer, and on demand every frame.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_format::{
    BlockHasher, Damaged, DamagedOrdinals, FOOTER_LEN, Footer, FrameOpener, Id, LEAF_BLOCKS, Label, MAP_HEADER_LEN, Manifest,
    MapHeader, ObjectContext, PACK_HEADER_LEN, PackHeader, PackInfo, Place, PlanId,
    TrailerEntry, VolumeRecord, VolumeState, decompress_within, is_zero, object_key,
};

use super::points::keep_damage;
use super::report::{VerifyReport, VerifyRequest};
use crate::inventory::PlanObjects;
use crate::read::fetch::{PackReader, RANGE_BYTES_MAX};
use crate::read::volume_map::{TRAILER_PAGE, Trailers, VolumeMap, get_range};
use crate::repository::store_key;
use crate::{Access, EngineError, Repository, Resources};

/// Checks the volumes of all manifests; what points share is checked once.
pub(crate) fn check_volumes(
    repository: &Repository,
    resources: &Resources,
    team: &Label,
    manifests: &[Manifest],
    listed: &BTreeMap<PlanId, PlanObjects>,
    request: &VerifyRequest,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    if matches!(repository.access(), Access::Locked) {
        if request.read_data_percent.is_some() {
            return Err(EngineError::Usage("--read-data needs the recovery key: give --key RECOVERY-KEY-FILE".into()));
        }
        return Ok(());
    }
    if request.read_data_percent.is_some() {
        repository.recovery_key(team)?;
    }
    if repository.team().is_some_and(|own| own != team) {
        report.notice(format!("the key is not of team {team}: its maps and data were not checked"));
        return Ok(());
    }
    let mut visited = Visited::default();
    for manifest in manifests {
        for record in manifest.volumes.iter().map(|volume| &volume.payload) {
            if record.state == VolumeState::Failed || request.filter.volume.as_ref().is_some_and(|name| *name != record.name) {
                continue;
            }
            repository.environment().cancel.check()?;
            let points = points_that_name(manifests, record);
            let volume = VolumeCheck { repository, resources, manifest, record, listed, request, points };
            if let Err(error) = volume.check(&mut visited, report) {
                let key = error_key(&error, manifest);
                keep_damage(report, "map", key, error, &volume.points)?;
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Visited {
    pages: BTreeSet<(String, u64)>,
    packs: BTreeSet<String>,
}

fn points_that_name(manifests: &[Manifest], record: &VolumeRecord) -> Vec<Id> {
    let names = |manifest: &&Manifest| {
        manifest.chain == record.chain
            && manifest.volumes.iter().any(|v| {
                v.payload.name == record.name && v.payload.lineage.iter().any(|entry| entry.point == record.point)
            })
    };
    manifests.iter().filter(names).map(|manifest| manifest.point).collect()
}

fn error_key(error: &EngineError, manifest: &Manifest) -> String {
    match error {
        EngineError::Object { key, .. } | EngineError::Damaged { key, .. } => key.clone(),
        _ => manifest.key(),
    }
}

struct VolumeCheck<'a> {
    repository: &'a Repository,
    resources: &'a Resources,
    manifest: &'a Manifest,
    record: &'a VolumeRecord,
    listed: &'a BTreeMap<PlanId, PlanObjects>,
    request: &'a VerifyRequest,
    points: Vec<Id>,
}

struct PackTask {
    lineage: u16,
    number: u32,
    point: Id,
    key: String,
    listed_len: Option<u64>,
    read_data: bool,
}

impl VolumeCheck<'_> {
    fn check(&self, visited: &mut Visited, report: &mut VerifyReport) -> Result<(), EngineError> {
        let map = VolumeMap::open(self.repository, self.record, self.resources.cache_bytes / 2)?;
        for lineage in 0..u16::try_from(map.lineage().len()).unwrap_or(u16::MAX) {
            let key = map.map_key(lineage)?.to_owned();
            if visited.pages.insert((key.clone(), 0))
                && let Err(error) = self.check_map_header(&map, &key)
            {
                keep_damage(report, "map", key, error, &self.points)?;
            }
        }
        self.check_leaves(&map, visited, report)?;
        self.check_tables(&map, visited, report)?;
        self.check_packs(&map, visited, report)
    }

    fn check_map_header(&self, map: &VolumeMap, key: &str) -> Result<(), EngineError> {
        let mut bytes = [0; MAP_HEADER_LEN];
        get_range(self.repository.store().as_ref(), &map.volume, key, 0, &mut bytes)?;
        let header = MapHeader::decode(&bytes).map_err(EngineError::object(key))?;
        let fits = header.suite == map.suite()
            && header.block_size == map.block_size()
            && header.origin == map.repository()
            && header.context == ObjectContext::new(&map.repository(), key);
        if fits { Ok(()) } else { Err(self.damaged(key, 0, "the header belongs to another object")) }
    }

    fn check_leaves(&self, map: &VolumeMap, visited: &mut Visited, report: &mut VerifyReport) -> Result<(), EngineError> {
        let leaves = map.block_count.div_ceil(LEAF_BLOCKS);
        let mut index = 0;
        while index < leaves {
            let step = match map.node(index / coffer_format::NODE_LEAVES) {
                Ok(None) => coffer_format::NODE_LEAVES - index % coffer_format::NODE_LEAVES,
                Ok(Some((page, _))) => {
                    visited.pages.insert((map.map_key(page.lineage)?.to_owned(), page.offset));
                    self.check_leaf(map, index, visited, report)?;
                    1
                }
                Err(error) => {
                    let key = error_key(&error, self.manifest);
                    keep_damage(report, "map", key, error, &self.points)?;
                    coffer_format::NODE_LEAVES - index % coffer_format::NODE_LEAVES
                }
            };
            index = index.saturating_add(step);
        }
        Ok(())
    }

    fn check_leaf(
        &self,
        map: &VolumeMap,
        index: u32,
        visited: &mut Visited,
        report: &mut VerifyReport,
    ) -> Result<(), EngineError> {
        let Some(page) = map.leaf_ref(index)? else { return Ok(()) };
        let key = map.map_key(page.lineage)?.to_owned();
        if !visited.pages.insert((key.clone(), page.offset)) {
            return Ok(());
        }
        let checked = map.leaf(index).and_then(|leaf| match leaf {
            Some(leaf) => self.check_extents(map, &leaf, &key, page.offset),
            None => Ok(()),
        });
        checked.or_else(|error| keep_damage(report, "map", key, error, &self.points))
    }

    fn check_extents(
        &self,
        map: &VolumeMap,
        leaf: &coffer_format::Leaf,
        key: &str,
        page_offset: u64,
    ) -> Result<(), EngineError> {
        for extent in &leaf.extents {
            let Place::Data { lineage, pack, ordinal, offset, len } = extent.place else { continue };
            let info = map.pack(lineage, pack)?;
            let last = extent.first + extent.count - 1;
            let fits = ordinal.checked_add(extent.count).is_some_and(|end| end <= info.frames)
                && offset.checked_add(u64::from(len)).is_some_and(|end| end <= info.trailer_offset)
                && info.first_block <= extent.first
                && last <= info.last_block;
            if !fits {
                let detail = format!("the extent from block {} on lies outside of its pack", extent.first);
                return Err(self.damaged(key, page_offset, &detail));
            }
        }
        Ok(())
    }

    fn check_tables(&self, map: &VolumeMap, visited: &mut Visited, report: &mut VerifyReport) -> Result<(), EngineError> {
        for lineage in 0..u16::try_from(map.lineage().len()).unwrap_or(u16::MAX) {
            for (want, page) in map.table_pages(lineage)? {
                let key = map.map_key(page.lineage)?.to_owned();
                if visited.pages.insert((key.clone(), page.offset))
                    && let Err(error) = map.check_page(want, &page)
                {
                    keep_damage(report, "map", key, error, &self.points)?;
                }
            }
        }
        Ok(())
    }

    fn check_packs(&self, map: &VolumeMap, visited: &mut Visited, report: &mut VerifyReport) -> Result<(), EngineError> {
        let tasks = self.tasks(map, visited)?;
        if tasks.is_empty() {
            return Ok(());
        }
        let reader = match self.request.read_data_percent {
            Some(_) => Some(PackReader::open(self.repository, map, &self.manifest.plan_id(), self.manifest.chain)?),
            None => None,
        };
        let secrets = self.repository.secrets(&self.record.team)?;
        let check = PackCheck {
            volume: self,
            map,
            reader,
            trailers: Trailers::new(self.resources.cache_bytes / 2),
            hasher: BlockHasher::new(&secrets, &map.repository()),
        };
        let next = AtomicUsize::new(0);
        let found: Mutex<(VerifyReport, Option<EngineError>)> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..self.resources.workers.min(tasks.len()) {
                scope.spawn(|| check.work(&tasks, &next, &found));
            }
        });
        let (part, fatal) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        report.packs += part.packs;
        report.bytes_read += part.bytes_read;
        report.problems.extend(part.problems);
        report.notices.extend(part.notices);
        fatal.map_or(Ok(()), Err)
    }

    fn tasks(&self, map: &VolumeMap, visited: &mut Visited) -> Result<Vec<PackTask>, EngineError> {
        let chain = self.listed.get(&self.manifest.plan_id()).and_then(|plan| plan.chains.get(&self.manifest.chain));
        let mut tasks = Vec::new();
        for (lineage, entry) in (0u16..).zip(map.lineage()) {
            let objects = chain.and_then(|chain| chain.volumes.get(&(entry.point, self.record.name.clone())));
            for number in 0..entry.packs {
                let key = map.pack_key(lineage, number)?;
                if visited.packs.insert(key.clone()) {
                    let listed_len = objects.and_then(|objects| objects.packs.get(&number)).copied();
                    let read_data = self.is_sampled()?;
                    tasks.push(PackTask { lineage, number, point: entry.point, key, listed_len, read_data });
                }
            }
        }
        Ok(tasks)
    }

    fn is_sampled(&self) -> Result<bool, EngineError> {
        match self.request.read_data_percent {
            None => Ok(false),
            Some(percent) if percent >= 100.0 => Ok(true),
            Some(percent) => {
                let mut draw = [0; 4];
                self.repository.environment().entropy.fill(&mut draw)?;
                Ok(f64::from(u32::from_le_bytes(draw)) < percent / 100.0 * f64::from(u32::MAX))
            }
        }
    }

    fn damaged(&self, key: &str, offset: u64, detail: &str) -> EngineError {
        let volume = self.record.name.to_string();
        EngineError::Damaged { volume, key: key.to_owned(), offset, detail: detail.to_owned() }
    }
}

struct PackCheck<'a> {
    volume: &'a VolumeCheck<'a>,
    map: &'a VolumeMap,
    reader: Option<PackReader<'a>>,
    trailers: Trailers,
    hasher: BlockHasher,
}

impl PackCheck<'_> {
    fn work(&self, tasks: &[PackTask], next: &AtomicUsize, found: &Mutex<(VerifyReport, Option<EngineError>)>) {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let checked = self.pack(task);
            let Ok(mut found) = found.lock() else { return };
            found.0.packs += 1;
            match checked {
                Ok(bytes) => found.0.bytes_read += bytes,
                Err(error @ (EngineError::Object { .. } | EngineError::Damaged { .. })) => {
                    found.0.problem("pack", task.key.clone(), &error, self.volume.points.iter().copied());
                    if let Err(error) = self.note_damage(task, &error) {
                        found.0.notice(format!("damage of {} could not be noted: {error}", task.key));
                    }
                }
                Err(error) => {
                    found.1.get_or_insert(error);
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                }
            }
        }
    }

    fn pack(&self, task: &PackTask) -> Result<u64, EngineError> {
        self.volume.repository.environment().cancel.check()?;
        let info = self.map.pack(task.lineage, task.number)?;
        if task.listed_len != Some(info.object_len) {
            let have = task.listed_len.map_or("missing".to_owned(), |len| format!("{len} bytes long"));
            let detail = format!("the object is {have}, the pack table says {} bytes", info.object_len);
            return Err(self.volume.damaged(&task.key, 0, &detail));
        }
        self.header(task, &info)?;
        self.footer(task, &info)?;
        let pages = info.frames.div_ceil(TRAILER_PAGE);
        let mut at = PackPosition { offset: PACK_HEADER_LEN as u64, ordinal: 0, next_block: info.first_block };
        for page in 0..pages {
            let entries = self.map.trailer_page(&self.trailers, task.lineage, task.number, &info, page)?;
            let start = PackPosition { ..at };
            self.positions(task, &entries, &mut at)?;
            if task.read_data {
                self.frames(task, &entries, start)?;
            }
        }
        if at.offset != info.trailer_offset {
            return Err(self.volume.damaged(&task.key, at.offset, "the frames do not end where the trailer begins"));
        }
        Ok(if task.read_data { info.object_len } else { info.object_len - info.trailer_offset + PACK_HEADER_LEN as u64 })
    }

    fn header(&self, task: &PackTask, info: &PackInfo) -> Result<(), EngineError> {
        let mut bytes = [0; PACK_HEADER_LEN];
        get_range(self.volume.repository.store().as_ref(), &self.map.volume, &task.key, 0, &mut bytes)?;
        let header = PackHeader::decode(&bytes).map_err(EngineError::object(&task.key))?;
        let fits = header.suite == self.map.suite()
            && header.block_size == self.map.block_size()
            && header.number == task.number
            && header.origin == self.map.repository()
            && header.context == self.map.pack_context(task.lineage, task.number)?
            && header.sealed_key == info.sealed_key;
        if fits { Ok(()) } else { Err(self.volume.damaged(&task.key, 0, "the header belongs to another pack")) }
    }

    fn footer(&self, task: &PackTask, info: &PackInfo) -> Result<(), EngineError> {
        let offset = info.object_len.saturating_sub(FOOTER_LEN as u64);
        let mut bytes = [0; FOOTER_LEN];
        get_range(self.volume.repository.store().as_ref(), &self.map.volume, &task.key, offset, &mut bytes)?;
        let cipher = self.map.trailer_cipher(task.lineage, task.number)?;
        let footer = Footer::decode(&cipher, info.object_len, &bytes).map_err(EngineError::object(&task.key))?;
        if footer.frames == info.frames && footer.trailer_offset == info.trailer_offset {
            return Ok(());
        }
        Err(self.volume.damaged(&task.key, offset, "footer and pack table do not agree"))
    }

    fn positions(&self, task: &PackTask, entries: &[TrailerEntry], at: &mut PackPosition) -> Result<(), EngineError> {
        for entry in entries {
            if entry.block < at.next_block {
                return Err(self.volume.damaged(&task.key, at.offset, "blocks do not ascend in the trailer"));
            }
            at.next_block = entry.block + 1;
            at.offset += u64::from(entry.frame_len());
            at.ordinal += 1;
        }
        Ok(())
    }

    /// Reads and opens the frames of one trailer page, and holds each against its entry.
    fn frames(&self, task: &PackTask, entries: &[TrailerEntry], mut at: PackPosition) -> Result<(), EngineError> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let opener = reader.opener(task.lineage, task.number)?;
        let alloc = |len| self.volume.resources.arena.alloc(len).map_err(|error| EngineError::Bug(error.to_string()));
        let mut buffer = alloc(usize::try_from(RANGE_BYTES_MAX).unwrap_or(usize::MAX))?;
        let mut block_buffer = alloc(self.map.block_size().bytes() as usize)?;
        let mut rest = entries;
        while !rest.is_empty() {
            let (count, len) = fill(rest, buffer.len());
            let (batch, later) = rest.split_at(count);
            let bytes = &mut buffer[..len];
            get_range(self.volume.repository.store().as_ref(), &self.map.volume, &task.key, at.offset, bytes)?;
            self.batch(task, &opener, batch, bytes, &mut block_buffer, &mut at)?;
            rest = later;
        }
        Ok(())
    }

    fn batch(
        &self,
        task: &PackTask,
        opener: &FrameOpener,
        batch: &[TrailerEntry],
        mut bytes: &mut [u8],
        block_buffer: &mut [u8],
        at: &mut PackPosition,
    ) -> Result<(), EngineError> {
        for entry in batch {
            let wrong = |detail: String| self.volume.damaged(&task.key, at.offset, &format!("block {}: {detail}", entry.block));
            let (frame, later) = std::mem::take(&mut bytes).split_at_mut(entry.frame_len() as usize);
            let (codec, stored_len) = entry.stored().map_err(|error| wrong(error.to_string()))?;
            let header = opener.peek(frame).map_err(|error| wrong(error.to_string()))?;
            let tag_fits = frame.ends_with(&entry.tag);
            if (header.codec, header.stored_len) != (codec, stored_len) || header.ordinal != at.ordinal || !tag_fits {
                return Err(wrong("the frame is not the one that the trailer describes".into()));
            }
            let (codec, stored) =
                opener.open_in_place(at.ordinal, frame).map_err(|error| wrong(error.to_string()))?;
            // The volume's last block was shorter when an earlier point wrote it; the hash tells whether all is there.
            let len = decompress_within(codec, stored, block_buffer).map_err(|error| wrong(error.to_string()))?;
            let plain = &block_buffer[..len];
            if is_zero(plain) || self.hasher.hash(plain) != entry.hash {
                return Err(wrong("the content is not what was hashed".into()));
            }
            at.offset += u64::from(entry.frame_len());
            at.ordinal += 1;
            bytes = later;
        }
        Ok(())
    }

    fn note_damage(&self, task: &PackTask, error: &EngineError) -> Result<(), EngineError> {
        let environment = self.volume.repository.environment();
        let run = environment.new_id()?;
        let team = &self.volume.record.team;
        let note = Damaged {
            format: 1,
            point: task.point,
            volume: self.volume.record.name.clone(),
            pack: task.number,
            run,
            ordinals: DamagedOrdinals::All,
            time: environment.clock.now(),
            detail: error.to_string(),
        };
        let prefix = object_key::damaged_pack_prefix(team, &task.point, &self.volume.record.name, task.number);
        if !self.volume.repository.store().list(&prefix, None, 1)?.objects.is_empty() {
            return Ok(());
        }
        let key = object_key::damaged(team, &task.point, &self.volume.record.name, task.number, &run);
        let bytes = note.encode();
        self.volume.repository.store().put(&store_key(&key)?, bytes.into())?;
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct PackPosition {
    offset: u64,
    ordinal: u32,
    next_block: u32,
}

/// How many frames fit into a buffer, and their length; at least one.
fn fill(entries: &[TrailerEntry], room: usize) -> (usize, usize) {
    let mut len = 0;
    let mut count = 0;
    for entry in entries {
        let frame = entry.frame_len() as usize;
        if count > 0 && len + frame > room {
            break;
        }
        len += frame;
        count += 1;
    }
    (count, len)
}
