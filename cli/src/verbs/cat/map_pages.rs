//! Walks the pages of a map for `cat map`, each checked against the digest that its parent states.

use coffer_engine::{EngineError, Repository};
use coffer_format::{
    Child, Extent, Leaf, MetadataCipher, Node, ObjectContext, PageKind, PageRef, Place, Root, RootLineage,
    TeamSecrets, VolumeRecord, object_key,
};
use serde_json::{Value, json};

use super::object::{damaged, read_range};

const LEAF_BLOCKS: u32 = coffer_format::LEAF_BLOCKS;

/// The pages of one volume at one point.
pub(super) struct MapPages<'a> {
    repository: &'a Repository,
    record: &'a VolumeRecord,
    secrets: &'a TeamSecrets,
}

impl<'a> MapPages<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        record: &'a VolumeRecord,
        secrets: &'a TeamSecrets,
    ) -> Self {
        MapPages { repository, record, secrets }
    }

    pub(super) fn root(&self) -> Result<Root, EngineError> {
        let page =
            self.record.root_page().ok_or_else(|| EngineError::NotFound("the volume has no map".into()))?;
        let (key, payload) = self.page(PageKind::Root, &page)?;
        Root::decode(&payload).map_err(|source| damaged(&key, source))
    }

    pub(super) fn describe_root(&self, root: &Root) -> Value {
        let describe = |(index, entry): (usize, &RootLineage)| json!({ "point": entry.point, "packs": entry.packs, "reused": entry.is_reused(index) });
        let lineage = root.lineage.iter().enumerate().map(describe);
        json!({
            "volume_size": root.volume_size, "block_size": root.block_size.bytes(),
            "lineage": lineage.collect::<Vec<_>>(), "nodes": root.nodes.len(),
        })
    }

    /// The first `limit` extents with data.
    pub(super) fn extents(&self, root: &Root, limit: usize) -> Result<Value, EngineError> {
        let blocks = root.block_count().map_err(EngineError::Limit)?;
        let leaves = blocks.div_ceil(LEAF_BLOCKS);
        let mut found = Vec::new();
        for page in pages(&root.nodes) {
            let (key, payload) = self.page(PageKind::Node, page)?;
            let node = Node::decode(&payload, leaves).map_err(|source| damaged(&key, source))?;
            for page in pages(&node.children) {
                self.repository.environment().cancel.check()?;
                let (key, payload) = self.page(PageKind::Leaf, page)?;
                let leaf = Leaf::decode(&payload, blocks).map_err(|source| damaged(&key, source))?;
                found.extend(leaf.extents.iter().filter_map(|extent| self.describe_extent(extent)));
                if found.len() >= limit {
                    found.truncate(limit);
                    return Ok(Value::Array(found));
                }
            }
        }
        Ok(Value::Array(found))
    }

    fn describe_extent(&self, extent: &Extent) -> Option<Value> {
        let Place::Data { lineage, pack, ordinal, offset, len } = extent.place else { return None };
        let point = self.record.lineage.get(usize::from(lineage)).map(|entry| entry.point);
        Some(json!({
            "first": extent.first, "count": extent.count, "point": point, "pack": pack, "ordinal": ordinal,
            "offset": offset, "length": len,
        }))
    }

    /// Key of the map object that holds the page, and the page's payload.
    fn page(&self, kind: PageKind, page: &PageRef) -> Result<(String, Vec<u8>), EngineError> {
        let entry = self.record.lineage.get(usize::from(page.lineage));
        let entry = entry.ok_or_else(|| EngineError::Damaged {
            volume: self.record.name.to_string(),
            key: object_key::map(&self.record.path_of(self.record.point)),
            offset: page.offset,
            detail: format!("a page is said to be of lineage {}, which is not there", page.lineage),
        })?;
        let key = object_key::map(&self.record.path_of(entry.point));
        let stored = read_range(self.repository, &key, page.offset, page.len as usize)?;
        let context = ObjectContext::new(&self.record.repository, &key);
        let cipher = MetadataCipher::new(self.repository.suite(), self.secrets, &context);
        let payload = page.check(&stored).and_then(|()| cipher.open_page(kind, page.offset, &stored));
        let payload = payload.map_err(|source| damaged(&key, source))?;
        Ok((key, payload))
    }
}

/// The children that are pages.
fn pages(children: &[Child]) -> impl Iterator<Item = &PageRef> {
    children.iter().filter_map(|child| match child {
        Child::Page(page) => Some(page),
        Child::Zero(_) => None,
    })
}
