//! Maps of volumes: every page that a point refers to, and which packs are to be checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use coffer_format::{
    Id, LEAF_BLOCKS, Label, MAP_FOOTER_LEN, MAP_HEADER_LEN, Manifest, MapFooter, MapHeader, ObjectContext,
    Place, PlanId, VolumeRecord, VolumeState, object_key,
};

use super::note::keep_damage;
use super::packs::{PackCheck, PackTask};
use super::report::{VerifyReport, VerifyRequest};
use crate::inventory::PlanObjects;
use crate::read::block_states::Trailers;
use crate::read::fetch::PackReader;
use crate::read::map_page::get_range;
use crate::read::musts::refuse_unreadable;
use crate::read::volume_map::VolumeMap;
use crate::{Access, EngineError, Repository, Resources};

/// Whether maps and data of the team can be checked with the caller's key; what cannot is said.
pub(crate) fn can_check(
    repository: &Repository,
    team: &Label,
    request: &VerifyRequest,
    report: &mut VerifyReport,
) -> Result<bool, EngineError> {
    if matches!(repository.access(), Access::Locked) {
        return match request.read_data_percent {
            Some(_) => Err(EngineError::Usage(
                "--read-data needs the recovery key: give --key RECOVERY-KEY-FILE".into(),
            )),
            None => Ok(false),
        };
    }
    if request.read_data_percent.is_some() {
        repository.recovery_key(team)?;
    }
    let is_own = repository.team().is_none_or(|own| own == team);
    if !is_own {
        report.notice(format!("the key is not of team {team}: its maps and data were not checked"));
    }
    Ok(is_own)
}

/// What the volumes of a team are checked with, and what was checked already.
pub(crate) struct Volumes<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) resources: &'a Resources,
    pub(crate) listed: &'a BTreeMap<PlanId, PlanObjects>,
    pub(crate) request: &'a VerifyRequest,
    pub(crate) visited: Visited,
}

impl Volumes<'_> {
    /// Checks the volumes of all manifests; what points share is checked once.
    pub(crate) fn check(
        &mut self,
        manifests: &[Manifest],
        report: &mut VerifyReport,
    ) -> Result<(), EngineError> {
        let Volumes { repository, resources, listed, request, visited } = self;
        for manifest in manifests {
            for record in manifest.volumes.iter().map(|volume| &volume.payload) {
                if record.state == VolumeState::Failed
                    || request.filter.volume.as_ref().is_some_and(|name| *name != record.name)
                {
                    continue;
                }
                repository.environment().cancel.check()?;
                // A key that was replaced does not read what came after it; that is no damage.
                if let Err(EngineError::Usage(detail)) =
                    repository.chain_secrets(&manifest.plan_id(), manifest.chain)
                {
                    report.notice_once(detail);
                    continue;
                }
                if let Err(error) = refuse_unreadable(manifest, record) {
                    report.notice_once(format!("{error}; it was not checked"));
                    continue;
                }
                let points = points_that_name(manifests, record);
                let volume = VolumeCheck { repository, resources, manifest, record, listed, request, points };
                if let Err(error) = volume.check(visited, report) {
                    let key = error_key(&error, manifest);
                    keep_damage(report, "map", key, error, &volume.points)?;
                }
            }
        }
        Ok(())
    }
}

/// Pages and packs that were checked already, for another point that shares them.
#[derive(Default)]
pub(crate) struct Visited {
    pages: BTreeSet<(String, u64)>,
    packs: BTreeSet<String>,
}

fn points_that_name(manifests: &[Manifest], record: &VolumeRecord) -> Vec<Id> {
    let names = |manifest: &&Manifest| {
        manifest.chain == record.chain
            && manifest.volumes.iter().any(|v| {
                v.payload.name == record.name
                    && v.payload.lineage.iter().any(|entry| entry.point == record.point)
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

/// One volume of one point being checked.
pub(super) struct VolumeCheck<'a> {
    pub(super) repository: &'a Repository,
    pub(super) resources: &'a Resources,
    pub(super) manifest: &'a Manifest,
    pub(super) record: &'a VolumeRecord,
    pub(super) listed: &'a BTreeMap<PlanId, PlanObjects>,
    pub(super) request: &'a VerifyRequest,
    pub(super) points: Vec<Id>,
}

impl VolumeCheck<'_> {
    fn check(&self, visited: &mut Visited, report: &mut VerifyReport) -> Result<(), EngineError> {
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

    pub(super) fn damaged(&self, key: &str, offset: u64, detail: &str) -> EngineError {
        let volume = self.record.name.to_string();
        EngineError::Damaged { volume, key: key.to_owned(), offset, detail: detail.to_owned() }
    }
}
