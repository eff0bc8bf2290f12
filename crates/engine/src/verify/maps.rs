//! Maps of volumes: every page that a point refers to, and which packs are to be checked.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use coffer_format::{
    LEAF_BLOCKS, MAP_FOOTER_LEN, MAP_HEADER_LEN, MapFooter, MapHeader, ObjectContext, Place, object_key,
};

use super::note::{error_key, keep_damage};
use super::packs::{PackCheck, PackTask};
use super::report::VerifyReport;
use super::volume_check::VolumeCheck;
use crate::EngineError;
use crate::read::block_states::Trailers;
use crate::read::fetch::PackReader;
use crate::read::map_page::get_range;
use crate::read::volume_map::VolumeMap;

/// Pages and packs that were checked already, for another point that shares them.
#[derive(Default)]
pub(crate) struct Visited {
    pages: BTreeSet<(String, u64)>,
    packs: BTreeSet<String>,
}

impl VolumeCheck<'_> {
    /// Checks the map, and the packs that it names and nobody has checked yet.
    pub(super) fn check(&self, visited: &mut Visited, report: &mut VerifyReport) -> Result<(), EngineError> {
        let map = VolumeMap::open(self.repository, self.record, self.resources.cache_bytes / 2)?;
        for lineage in 0..u16::try_from(map.lineage().len()).unwrap_or(u16::MAX) {
            let key = map.map_key(lineage)?.to_owned();
            if !map.is_reused(lineage)?
                && visited.pages.insert((key.clone(), 0))
                && let Err(error) = map.rereads.reread_damage(|| self.check_map_header(&map, &key))
            {
                keep_damage(report, "map", key, error, &self.points)?;
            }
        }
        if let Err(error) = map.rereads.reread_damage(|| self.check_map_footer(&map)) {
            let key = error_key(&error, self.manifest);
            keep_damage(report, "map", key, error, &self.points)?;
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

    /// The own map's footer says what the record says: by it a lost manifest's volume is found.
    fn check_map_footer(&self, map: &VolumeMap) -> Result<(), EngineError> {
        let Some(root) = &self.record.root else { return Ok(()) };
        let key = object_key::map(&self.record.path_of(self.record.point));
        let store = self.repository.store().as_ref();
        let (mut header, mut footer) = ([0; MAP_HEADER_LEN], [0; MAP_FOOTER_LEN]);
        let offset = root.offset.saturating_add(root.length.into());
        get_range(store, &map.volume, &key, 0, &mut header)?;
        get_range(store, &map.volume, &key, offset, &mut footer)?;
        let cipher = map.own_cipher()?;
        let object_len = offset.saturating_add(MAP_FOOTER_LEN as u64);
        let footer =
            MapFooter::decode(cipher, object_len, &header, &footer).map_err(EngineError::object(&key))?;
        let expected =
            MapFooter { root_offset: root.offset, root_len: root.length, root_digest: root.digest };
        if footer == expected {
            return Ok(());
        }
        Err(self.damaged(&key, offset, "the footer names another root than the volume record"))
    }

    fn check_leaves(
        &self,
        map: &VolumeMap,
        visited: &mut Visited,
        report: &mut VerifyReport,
    ) -> Result<(), EngineError> {
        let leaves = map.block_count.div_ceil(LEAF_BLOCKS);
        let mut index = 0;
        while index < leaves {
            self.repository.environment().cancel.check()?;
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

    fn check_tables(
        &self,
        map: &VolumeMap,
        visited: &mut Visited,
        report: &mut VerifyReport,
    ) -> Result<(), EngineError> {
        for lineage in 0..u16::try_from(map.lineage().len()).unwrap_or(u16::MAX) {
            for (want, page) in map.table_pages(lineage)? {
                self.repository.environment().cancel.check()?;
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

    fn check_packs(
        &self,
        map: &VolumeMap,
        visited: &mut Visited,
        report: &mut VerifyReport,
    ) -> Result<(), EngineError> {
        let tasks = self.tasks(map, visited)?;
        if tasks.is_empty() {
            return Ok(());
        }
        let reader = match self.request.read_data_percent {
            Some(_) => {
                Some(PackReader::open(self.repository, map, &self.manifest.plan_id(), self.manifest.chain)?)
            }
            None => None,
        };
        let check = PackCheck {
            volume: self,
            map,
            reader,
            trailers: Trailers::new(self.resources.cache_bytes / 2),
            hasher: map.hasher(),
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
        let chain =
            self.listed.get(&self.manifest.plan_id()).and_then(|plan| plan.chains.get(&self.manifest.chain));
        let mut tasks = Vec::new();
        for (lineage, entry) in (0u16..).zip(map.lineage()) {
            let objects = chain.and_then(|chain| chain.volumes.get(&(entry.point, self.record.name.clone())));
            for number in map.named_packs(lineage)?.numbers() {
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
}
