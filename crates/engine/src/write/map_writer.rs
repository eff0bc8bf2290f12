//! Writes a volume's map object: leaves, nodes and pack table pages as they become known, the root and its footer last.
//!
//! Pages that did not change since the base are referred to, not written. Memory is one leaf, one node and the root's references.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_format::{
    BlockSize, Child, Digest, Extent, Id, LEAF_BLOCKS, Leaf, MAP_HEADER_LEN, MapFooter, MapHeader,
    MetadataCipher, NODE_LEAVES, Node, ObjectContext, PACK_TABLE_PAGE_PACKS, PackInfo, PackTableIndex,
    PackTablePage, PackTableRef, PageKind, PageRef, Place, RepositoryId, Root, RootLineage, Suite,
    TakenPacksPage, TeamSecrets,
};
use coffer_store::{Key, PART_NUMBER_MAX};

use super::object_writer::{ObjectSink, ObjectWriter};
use super::taken_table::{TakenPacks, TakenPage, TakenTable};
use super::uploader::UploadGroup;
use crate::EngineError;
use crate::read::volume_map::VolumeMap;

/// Where the root page lies in the map object, and how long the object is.
pub(crate) struct WrittenMap {
    pub(crate) root_offset: u64,
    pub(crate) root_len: u32,
    pub(crate) root_digest: Digest,
    pub(crate) packs: u32,
    /// What was used of each incomplete run, in the order of the target's `taken`.
    pub(crate) taken: Vec<TakenPacks>,
    pub(crate) object_len: u64,
}

/// What a map object is written for.
pub(crate) struct MapTarget {
    pub(crate) key: String,
    pub(crate) repository: RepositoryId,
    pub(crate) suite: Suite,
    pub(crate) block_size: BlockSize,
    pub(crate) volume_size: u64,
    /// The base's lineage, without the own point.
    pub(crate) base: Vec<RootLineage>,
    /// Unfinished runs whose packs may be used; they stand between the base and the own point.
    pub(crate) taken: Vec<Id>,
    pub(crate) point: Id,
}

/// What a block can take of a map, bytes: an extent of its own in a pack of its own.
const BLOCK_BYTES_MAX: u64 = 20;
/// What the description of a pack can take of its table, bytes.
const PACK_BYTES_MAX: u64 = 180;
/// Most packs of a volume at one point.
const PACKS_MAX: u64 = 1 << 24;

/// Whether the map of so many blocks fits into an upload in parts of `part_len`, whatever its blocks hold. Told before the volume is read:
/// otherwise it would show at the end of the run.
pub(crate) fn fits_in_parts(block_count: u32, part_len: u64) -> bool {
    let blocks = u64::from(block_count);
    let longest = blocks * BLOCK_BYTES_MAX + blocks.min(PACKS_MAX) * PACK_BYTES_MAX;
    longest <= u64::from(PART_NUMBER_MAX) * part_len
}

/// A map object being written.
pub(crate) struct MapWriter {
    object: ObjectWriter,
    header: [u8; MAP_HEADER_LEN],
    cipher: MetadataCipher,
    target: MapTarget,
    base: Option<Arc<VolumeMap>>,
    block_count: u32,
    node: Vec<Child>,
    node_leaves: u32,
    leaves: u32,
    nodes: Vec<Child>,
    pending: BTreeMap<u32, PackInfo>,
    table_pages: Vec<PageRef>,
    packs_entered: u32,
    taken: Vec<TakenTable>,
}

impl MapWriter {
    pub(crate) fn create(
        sink: &ObjectSink,
        group: &Arc<UploadGroup>,
        secrets: &TeamSecrets,
        target: MapTarget,
        base: Option<Arc<VolumeMap>>,
    ) -> Result<MapWriter, EngineError> {
        let context = ObjectContext::new(&target.repository, &target.key);
        let mut object = sink.create(Key::new(&target.key)?, group);
        let header = MapHeader {
            suite: target.suite,
            block_size: target.block_size,
            origin: target.repository,
            context,
        };
        let header = header.encode();
        object.write_all(&header)?;
        Ok(MapWriter {
            object,
            header,
            cipher: MetadataCipher::new(target.suite, secrets, &context),
            block_count: target.block_size.block_count(target.volume_size).map_err(EngineError::Limit)?,
            taken: target.taken.iter().map(|run| TakenTable::new(*run)).collect(),
            target,
            base,
            node: Vec::new(),
            node_leaves: 0,
            leaves: 0,
            nodes: Vec::new(),
            pending: BTreeMap::new(),
            table_pages: Vec::new(),
            packs_entered: 0,
        })
    }

    /// Lineage index of the point being written.
    pub(crate) fn own_index(&self) -> u16 {
        u16::try_from(self.target.base.len() + self.taken.len()).unwrap_or(u16::MAX)
    }

    /// Adds the next leaf, given by its extents.
    pub(crate) fn leaf(&mut self, extents: Vec<Extent>) -> Result<(), EngineError> {
        let zero = extents.iter().all(|extent| matches!(extent.place, Place::Zero));
        if zero {
            return self.child(Child::Zero(1));
        }
        let leaf = Leaf { index: self.leaves, extents };
        let payload = leaf.encode(self.block_count).map_err(EngineError::Limit)?;
        let page = self.page(PageKind::Leaf, &payload)?;
        self.child(Child::Page(page))
    }

    /// Adds the next `count` leaves as a child of the base, or as zeroes (`Child::Zero(1)`).
    pub(crate) fn child(&mut self, child: Child) -> Result<(), EngineError> {
        push_child(&mut self.node, child);
        self.leaves += 1;
        self.node_leaves += 1;
        if self.node_leaves == NODE_LEAVES { self.close_node() } else { Ok(()) }
    }

    /// Enters packs that were closed; they may come in any order.
    pub(crate) fn packs(
        &mut self,
        packs: impl IntoIterator<Item = (u32, PackInfo)>,
    ) -> Result<(), EngineError> {
        self.pending.extend(packs);
        while self.contiguous_pending() >= PACK_TABLE_PAGE_PACKS as usize {
            self.table_page(PACK_TABLE_PAGE_PACKS as usize)?;
        }
        Ok(())
    }

    /// Enters the next 256 pack numbers of the `slot`th incomplete run.
    pub(crate) fn taken_page(&mut self, slot: usize, page: TakenPage) -> Result<(), EngineError> {
        let table = self.taken.get_mut(slot).ok_or_else(|| EngineError::Bug("no such run".into()))?;
        let due = table.push(page);
        due.iter().try_for_each(|page| self.write_taken_page(slot, page))
    }

    /// Writes what is left and the root. `packs` is the number of packs that this run made.
    pub(crate) fn finish(mut self, packs: u32) -> Result<WrittenMap, EngineError> {
        if self.node_leaves > 0 {
            self.close_node()?;
        }
        let left = self.pending.len();
        if left > 0 {
            self.table_page(left)?;
        }
        if self.packs_entered != packs || self.leaves != self.block_count.div_ceil(LEAF_BLOCKS) {
            return Err(EngineError::Bug(format!(
                "map with {} of {packs} packs and {} leaves for {} blocks",
                self.packs_entered, self.leaves, self.block_count
            )));
        }
        let pages = std::mem::take(&mut self.table_pages);
        let table = self.table_ref(pages)?;
        // The own index follows from the base's length, so the base is given away after the last page that is referred to.
        let taken =
            (0..self.taken.len()).map(|slot| self.finish_taken(slot)).collect::<Result<Vec<_>, _>>()?;
        let mut lineage = std::mem::take(&mut self.target.base);
        lineage.extend(taken);
        lineage.push(RootLineage { point: self.target.point, packs, table });
        let root = Root {
            volume_size: self.target.volume_size,
            block_size: self.target.block_size,
            lineage,
            nodes: std::mem::take(&mut self.nodes),
        };
        let payload = root.encode().map_err(EngineError::Limit)?;
        let page = self.page(PageKind::Root, &payload)?;
        let footer = MapFooter { root_offset: page.offset, root_len: page.len, root_digest: page.digest };
        self.object.write_all(&footer.encode(&self.cipher, &self.header))?;
        Ok(WrittenMap {
            root_offset: page.offset,
            root_len: page.len,
            root_digest: page.digest,
            packs,
            taken: self.taken.into_iter().map(|table| table.taken).collect(),
            object_len: self.object.finish()?,
        })
    }

    fn close_node(&mut self) -> Result<(), EngineError> {
        let index = self.leaves.saturating_sub(1) / NODE_LEAVES;
        let children = std::mem::take(&mut self.node);
        self.node_leaves = 0;
        if children.iter().all(|child| matches!(child, Child::Zero(_))) {
            push_child(&mut self.nodes, Child::Zero(1));
            return Ok(());
        }
        if let Some(page) = self.same_in_base(index, &children) {
            self.nodes.push(Child::Page(page));
            return Ok(());
        }
        let leaf_count = self.block_count.div_ceil(LEAF_BLOCKS);
        let payload = Node { index, children }.encode(leaf_count).map_err(EngineError::Limit)?;
        let page = self.page(PageKind::Node, &payload)?;
        self.nodes.push(Child::Page(page));
        Ok(())
    }

    /// The base's node where it has the same children. A node that cannot be read is written anew.
    fn same_in_base(&self, index: u32, children: &[Child]) -> Option<PageRef> {
        let (page, node) = self.base.as_ref()?.node(index).ok()??;
        (node.children == children).then_some(page)
    }

    fn contiguous_pending(&self) -> usize {
        (self.packs_entered..)
            .zip(self.pending.keys())
            .take_while(|(expected, number)| expected == *number)
            .count()
    }

    fn table_page(&mut self, count: usize) -> Result<(), EngineError> {
        let mut infos = Vec::with_capacity(count);
        for _ in 0..count {
            let info = self.pending.remove(&self.packs_entered);
            infos.push(
                info.ok_or_else(|| EngineError::Bug(format!("pack {} was not closed", self.packs_entered)))?,
            );
            self.packs_entered += 1;
        }
        let payload = PackTablePage(infos).encode(self.target.suite).map_err(EngineError::Limit)?;
        let page = self.page(PageKind::PackTable, &payload)?;
        self.table_pages.push(page);
        Ok(())
    }

    fn finish_taken(&mut self, slot: usize) -> Result<RootLineage, EngineError> {
        if let Some(last) = self.taken.get_mut(slot).and_then(TakenTable::last) {
            self.write_taken_page(slot, &last)?;
        }
        let table = self.taken.get_mut(slot).ok_or_else(|| EngineError::Bug("no such run".into()))?;
        table.check()?;
        let (point, packs) = (table.run, table.taken.packs.end());
        let pages = std::mem::take(&mut table.pages);
        Ok(RootLineage { point, packs, table: self.table_ref(pages)? })
    }

    fn write_taken_page(&mut self, slot: usize, page: &TakenPacksPage) -> Result<(), EngineError> {
        let payload = page.encode(self.target.suite).map_err(EngineError::Limit)?;
        let page = self.page(PageKind::PackTable, &payload)?;
        self.taken.get_mut(slot).ok_or_else(|| EngineError::Bug("no such run".into()))?.pages.push(page);
        Ok(())
    }

    fn table_ref(&mut self, pages: Vec<PageRef>) -> Result<Option<PackTableRef>, EngineError> {
        match <[PageRef; 1]>::try_from(pages) {
            Ok([page]) => Ok(Some(PackTableRef { depth: 0, page })),
            Err(pages) if pages.is_empty() => Ok(None),
            Err(pages) => {
                let payload = PackTableIndex(pages).encode().map_err(EngineError::Limit)?;
                Ok(Some(PackTableRef { depth: 1, page: self.page(PageKind::PackTableIndex, &payload)? }))
            }
        }
    }

    fn page(&mut self, kind: PageKind, payload: &[u8]) -> Result<PageRef, EngineError> {
        let offset = self.object.offset();
        let stored = self.cipher.seal_page(kind, offset, payload);
        self.object.write_all(&stored)?;
        let len = u32::try_from(stored.len()).map_err(|_| EngineError::Bug("a page of 4 GiB".into()))?;
        Ok(PageRef { lineage: self.own_index(), offset, len, digest: Digest::of(&stored) })
    }
}

/// Appends a child, joining runs of zero children.
fn push_child(children: &mut Vec<Child>, child: Child) {
    match (children.last_mut(), child) {
        (Some(Child::Zero(run)), Child::Zero(more)) => *run += more,
        (_, child) => children.push(child),
    }
}
