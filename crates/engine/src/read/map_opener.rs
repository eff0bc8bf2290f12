//! Opens a volume's map: by the root that a signed volume record names, or by the footer of the map object itself.

use std::collections::BTreeSet;

use coffer_format::{
    LineageEntry, MAP_FOOTER_LEN, MAP_HEADER_LEN, MapFooter, MapHeader, MetadataCipher, ObjectContext,
    PackRanges, PageKind, RepositoryId, Root, RootLineage, RootRef, TeamSecrets, VolumePath, VolumeRecord,
    object_key,
};
use quick_cache::sync::Cache;

use super::map_page::{LineageObjects, MapTail, PageReader, PageWeight, get_range};
use super::musts::refuse_volume;
use super::volume_map::VolumeMap;
use crate::repository::store_key;
use crate::{EngineError, Repository};

impl VolumeMap {
    /// Opens the map that a checked volume record names. `cache_bytes` bounds the pages kept.
    pub(crate) fn open(
        repository: &Repository,
        record: &VolumeRecord,
        cache_bytes: u64,
    ) -> Result<VolumeMap, EngineError> {
        refuse_volume(record)?;
        let root_ref = record.root.as_ref().ok_or_else(|| {
            EngineError::NotFound(format!(
                "volume {} failed at this point, there is nothing to read",
                record.name
            ))
        })?;
        let secrets = repository.chain_secrets(&record.plan_id(), record.chain)?;
        let opening = MapOpener { repository, origin: record.repository, secrets, cache_bytes };
        let own = opening.objects(record.path_of(record.point), None);
        let (root, tail) = opening.root(&own, root_ref)?;
        check_root(&root, record, &own.map_key)?;
        let of_entry =
            |entry: &LineageEntry| opening.objects(record.path_of(entry.point), entry.taken.clone());
        let objects = record.lineage.iter().map(of_entry).collect();
        opening.map(objects, root, tail)
    }

    /// Opens a map object without a record: its footer finds the root, which names the lineage.
    pub(crate) fn open_by_footer(
        repository: &Repository,
        path: &VolumePath,
        cache_bytes: u64,
    ) -> Result<VolumeMap, EngineError> {
        let secrets = repository.chain_secrets(&path.plan, path.chain)?;
        let mut opening = MapOpener { repository, origin: repository.id(), secrets, cache_bytes };
        let header = read_header(repository, path)?;
        opening.origin = header.0.origin;
        let own = opening.objects(path.clone(), None);
        let footer = opening.footer(&own, &header.1)?;
        let root_ref =
            RootRef { offset: footer.root_offset, length: footer.root_len, digest: footer.root_digest };
        let (root, tail) = opening.root(&own, &root_ref)?;
        let of_lineage = |(index, entry): (usize, &RootLineage)| {
            // Which packs were reused is told by the table itself.
            let taken = entry.is_reused(index).then(|| PackRanges::first(entry.packs));
            opening.objects(VolumePath { point: entry.point, ..path.clone() }, taken)
        };
        let objects = root.lineage.iter().enumerate().map(of_lineage).collect();
        opening.map(objects, root, tail)
    }
}

/// What every way to open a map has.
struct MapOpener<'a> {
    repository: &'a Repository,
    origin: RepositoryId,
    secrets: TeamSecrets,
    cache_bytes: u64,
}

impl MapOpener<'_> {
    fn objects(&self, path: VolumePath, taken: Option<PackRanges>) -> LineageObjects {
        let map_key = object_key::map(&path);
        let context = ObjectContext::new(&self.origin, &map_key);
        let map_cipher = MetadataCipher::new(self.repository.suite(), &self.secrets, &context);
        LineageObjects { path, map_key, map_cipher, taken }
    }

    /// Finds the root by the object's end.
    fn footer(&self, own: &LineageObjects, header: &[u8; MAP_HEADER_LEN]) -> Result<MapFooter, EngineError> {
        let (store, key) = (self.repository.store(), &own.map_key);
        let volume = own.path.volume.to_string();
        let len = store.head(&store_key(key)?)?.len;
        let offset = len.saturating_sub(MAP_FOOTER_LEN as u64);
        let mut footer = [0; MAP_FOOTER_LEN];
        self.repository.rereads().reread_damage(|| {
            get_range(store.as_ref(), &volume, key, offset, &mut footer)?;
            MapFooter::decode(&own.map_cipher, len, header, &footer).map_err(EngineError::object(key))
        })
    }

    fn root(&self, own: &LineageObjects, root_ref: &RootRef) -> Result<(Root, Option<MapTail>), EngineError> {
        let (store, volume) = (self.repository.store().as_ref(), own.path.volume.to_string());
        let end = root_ref.offset.saturating_add(root_ref.length.into());
        let tail = match MapTail::read(store, &volume, &own.map_key, end) {
            Ok(tail) => Some(tail),
            // Read page by page, it may be whole where it matters; what is said of it then names the page.
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let rereads = self.repository.rereads();
        let reader = PageReader { store, rereads, volume: &volume, object: own, tail: tail.as_ref() };
        let payload = reader.read(PageKind::Root, root_ref.offset, root_ref.length, &root_ref.digest)?;
        Ok((Root::decode(&payload).map_err(EngineError::object(&own.map_key))?, tail))
    }

    fn map(
        self,
        objects: Vec<LineageObjects>,
        root: Root,
        tail: Option<MapTail>,
    ) -> Result<VolumeMap, EngineError> {
        let own = objects.last().ok_or_else(|| EngineError::Bug("a lineage is never empty".into()))?;
        let repository = self.repository;
        Ok(VolumeMap {
            store: repository.store().clone(),
            rereads: repository.rereads().clone(),
            cancel: repository.environment().cancel.clone(),
            block_count: root.block_size.block_count(root.volume_size).map_err(EngineError::Limit)?,
            volume: own.path.volume.to_string(),
            root,
            suite: repository.suite(),
            repository: self.origin,
            secrets: self.secrets,
            objects,
            tail,
            pages: Cache::with_weighter(1024, self.cache_bytes, PageWeight),
            damaged: BTreeSet::new(),
        })
    }
}

/// The header of a map object, and its bytes.
fn read_header(
    repository: &Repository,
    path: &VolumePath,
) -> Result<(MapHeader, [u8; MAP_HEADER_LEN]), EngineError> {
    let key = object_key::map(path);
    let mut bytes = [0; MAP_HEADER_LEN];
    repository.rereads().reread_damage(|| {
        get_range(repository.store().as_ref(), path.volume.as_ref(), &key, 0, &mut bytes)?;
        let header = MapHeader::decode(&bytes).map_err(EngineError::object(&key))?;
        Ok((header, bytes))
    })
}

fn check_root(root: &Root, record: &VolumeRecord, key: &str) -> Result<(), EngineError> {
    let same_entry = |(index, (a, b)): (usize, (&RootLineage, &LineageEntry))| {
        let is_reused = b.taken.as_ref().is_some_and(|taken| !taken.is_empty());
        a.point == b.point && a.packs == b.packs && a.is_reused(index) == is_reused
    };
    let same_lineage = root.lineage.len() == record.lineage.len()
        && root.lineage.iter().zip(&record.lineage).enumerate().all(same_entry);
    if root.volume_size == record.size && root.block_size == record.block_size && same_lineage {
        return Ok(());
    }
    Err(EngineError::Damaged {
        volume: record.name.to_string(),
        key: key.to_owned(),
        offset: record.root.as_ref().map_or(0, |root| root.offset),
        detail: "the map's root and the volume record do not agree".into(),
    })
}
