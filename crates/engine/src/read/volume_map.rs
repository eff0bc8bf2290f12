//! Reads a volume's map: which block lies where, with which hash. Pages are fetched when asked for and kept in a bounded cache.
//!
//! Every page is checked against the digest that its parent page states, up to the signed manifest, before a value of it is used.

use std::collections::BTreeSet;
use std::sync::Arc;

use coffer_format::{
    BlockHasher, BlockSize, Child, Id, LEAF_BLOCKS, Leaf, MetadataCipher, NODE_LEAVES, Node, ObjectContext,
    PACK_TABLE_PAGE_PACKS, PackInfo, PackRanges, PackTableIndex, PackTablePage, PageRef, RepositoryId, Root,
    RootLineage, Suite, TakenPacksPage, TeamSecrets, object_key,
};
use coffer_store::ObjectStore;
use quick_cache::sync::Cache;

use super::map_page::{LineageObjects, MapTail, Page, PageReader, PageWeight, Want};
use super::reread::Rereads;
use crate::{CancelToken, EngineError};

/// A volume at one point, as its map describes it.
pub(crate) struct VolumeMap {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(crate) rereads: Arc<Rereads>,
    /// Looked at before each request: what is known of few blocks can lie on many pages.
    pub(super) cancel: CancelToken,
    pub(crate) volume: String,
    pub(crate) root: Root,
    pub(crate) block_count: u32,
    pub(super) suite: Suite,
    pub(super) repository: RepositoryId,
    pub(super) secrets: TeamSecrets,
    pub(super) objects: Vec<LineageObjects>,
    /// The end of the own map object, which holds the root.
    pub(super) tail: Option<MapTail>,
    pub(super) pages: Cache<(u16, u64), Page, PageWeight>,
    /// Packs in which damage was found; their blocks count as unknown.
    pub(super) damaged: BTreeSet<(Id, u32)>,
}

impl VolumeMap {
    /// Hashes blocks as those of the chain were hashed.
    pub(crate) fn hasher(&self) -> BlockHasher {
        BlockHasher::new(&self.secrets, &self.repository)
    }

    /// Treats all blocks of these packs (point that wrote it, number) as unknown.
    pub(crate) fn set_damaged(&mut self, damaged: BTreeSet<(Id, u32)>) {
        self.damaged = damaged;
    }

    /// Whether any pack is treated so.
    pub(crate) fn knows_damage(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// Whether this pack is treated so.
    pub(crate) fn is_damaged(&self, lineage: u16, pack: u32) -> Result<bool, EngineError> {
        Ok(self.knows_damage() && self.damaged.contains(&(self.objects(lineage)?.path.point, pack)))
    }

    pub(crate) fn block_size(&self) -> BlockSize {
        self.root.block_size
    }

    /// Length of a block; the volume's last one may be short.
    pub(crate) fn block_len(&self, block: u32) -> usize {
        self.root.block_size.block_len(self.root.volume_size, block) as usize
    }

    pub(crate) fn lineage(&self) -> &[RootLineage] {
        &self.root.lineage
    }

    /// Key of a pack.
    pub(crate) fn pack_key(&self, lineage: u16, pack: u32) -> Result<String, EngineError> {
        Ok(object_key::pack(&self.objects(lineage)?.path, pack))
    }

    /// Key of the map object that holds the pages of a lineage entry.
    pub(crate) fn map_key(&self, lineage: u16) -> Result<&str, EngineError> {
        Ok(&self.objects(lineage)?.map_key)
    }

    pub(crate) fn pack_context(&self, lineage: u16, pack: u32) -> Result<ObjectContext, EngineError> {
        Ok(ObjectContext::new(&self.repository, &self.pack_key(lineage, pack)?))
    }

    pub(crate) fn suite(&self) -> Suite {
        self.suite
    }

    pub(crate) fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The cipher of the own map object.
    pub(crate) fn own_cipher(&self) -> Result<&MetadataCipher, EngineError> {
        let own = self.objects.last().ok_or_else(|| EngineError::Bug("a lineage is never empty".into()))?;
        Ok(&own.map_cipher)
    }

    /// The cipher of a pack's trailer.
    pub(crate) fn trailer_cipher(&self, lineage: u16, pack: u32) -> Result<MetadataCipher, EngineError> {
        Ok(MetadataCipher::new(self.suite, &self.secrets, &self.pack_context(lineage, pack)?))
    }

    /// The node that covers 256 leaves, with its reference; `None` where all of it is zero.
    pub(crate) fn node(&self, index: u32) -> Result<Option<(PageRef, Arc<Node>)>, EngineError> {
        let Some(child) = nth_child(&self.root.nodes, index) else { return Ok(None) };
        let Page::Node(node) = self.page(child, Want::Node)? else { return Err(wrong_page()) };
        if node.index != index {
            return Err(self.damage(child, format!("holds node {} instead of {index}", node.index)));
        }
        Ok(Some((*child, node)))
    }

    /// How the map refers to a leaf: `None` where all of it is zero.
    pub(crate) fn leaf_ref(&self, index: u32) -> Result<Option<PageRef>, EngineError> {
        let Some((_, node)) = self.node(index / NODE_LEAVES)? else { return Ok(None) };
        Ok(nth_child(&node.children, index % NODE_LEAVES).copied())
    }

    /// The leaf that covers 4,096 blocks; `None` where all of it is zero.
    pub(crate) fn leaf(&self, index: u32) -> Result<Option<Arc<Leaf>>, EngineError> {
        let Some(child) = self.leaf_ref(index)? else { return Ok(None) };
        let Page::Leaf(leaf) = self.page(&child, Want::Leaf)? else { return Err(wrong_page()) };
        if leaf.index != index {
            return Err(self.damage(&child, format!("holds leaf {} instead of {index}", leaf.index)));
        }
        self.root.check_leaf(&leaf).map_err(EngineError::object(self.map_key(child.lineage)?))?;
        Ok(Some(leaf))
    }

    /// The description of a pack.
    pub(crate) fn pack(&self, lineage: u16, pack: u32) -> Result<PackInfo, EngineError> {
        let entry = self.root.lineage.get(usize::from(lineage)).ok_or_else(|| self.no_pack(lineage, pack))?;
        let Some(table) = &entry.table else { return Err(self.no_pack(lineage, pack)) };
        let page_number = pack / PACK_TABLE_PAGE_PACKS;
        let page = if table.depth == 0 {
            table.page
        } else {
            let want = Want::Index { packs: entry.packs, lineage: table.page.lineage };
            let Page::Index(index) = self.page(&table.page, want)? else { return Err(wrong_page()) };
            index.0.get(page_number as usize).copied().ok_or_else(|| self.no_pack(lineage, pack))?
        };
        let want = self.want_table(lineage, entry, page_number)?;
        let at = (pack % PACK_TABLE_PAGE_PACKS) as usize;
        let info = match self.page(&page, want)? {
            Page::Table(table) => table.0.get(at).cloned(),
            Page::Taken(table) => table.0.get(at).cloned().flatten(),
            _ => return Err(wrong_page()),
        };
        // What the record does not list is not named and may be gone, whatever the table says.
        let is_named = self.objects(lineage)?.taken.as_ref().is_none_or(|taken| taken.contains(pack));
        info.filter(|_| is_named).ok_or_else(|| self.no_pack(lineage, pack))
    }

    /// The packs of a lineage entry that the point names.
    pub(crate) fn named_packs(&self, lineage: u16) -> Result<PackRanges, EngineError> {
        let packs = self.root.lineage.get(usize::from(lineage)).map_or(0, |entry| entry.packs);
        let taken = self.objects(lineage)?.taken.clone();
        Ok(taken.unwrap_or_else(|| PackRanges::first(packs)))
    }

    /// Whether a lineage entry is an incomplete run whose packs were reused: it has no map object.
    pub(crate) fn is_reused(&self, lineage: u16) -> Result<bool, EngineError> {
        Ok(self.objects(lineage)?.taken.is_some())
    }

    fn want_table(&self, lineage: u16, entry: &RootLineage, page: u32) -> Result<Want, EngineError> {
        let packs = PackTablePage::packs_on(entry.packs, page);
        Ok(match self.is_reused(lineage)? {
            true => Want::Taken { packs },
            false => Want::Table { packs },
        })
    }

    /// References of all pack table pages of a lineage entry, the index page among them.
    pub(crate) fn table_pages(&self, lineage: u16) -> Result<Vec<(Want, PageRef)>, EngineError> {
        let Some(entry) = self.root.lineage.get(usize::from(lineage)) else { return Ok(Vec::new()) };
        let Some(table) = &entry.table else { return Ok(Vec::new()) };
        if table.depth == 0 {
            return Ok(vec![(self.want_table(lineage, entry, 0)?, table.page)]);
        }
        let want = Want::Index { packs: entry.packs, lineage: table.page.lineage };
        let Page::Index(index) = self.page(&table.page, want)? else { return Err(wrong_page()) };
        let mut pages = vec![(want, table.page)];
        for (number, page) in (0..).zip(&index.0) {
            pages.push((self.want_table(lineage, entry, number)?, *page));
        }
        Ok(pages)
    }

    /// Reads and checks one page, through the cache.
    pub(crate) fn check_page(&self, want: Want, page: &PageRef) -> Result<(), EngineError> {
        self.read_page(page, want).map(drop)
    }

    fn page(&self, page: &PageRef, want: Want) -> Result<Page, EngineError> {
        self.pages.get_or_insert_with(&(page.lineage, page.offset), || self.read_page(page, want))
    }

    fn read_page(&self, page: &PageRef, want: Want) -> Result<Page, EngineError> {
        self.cancel.check()?;
        let object = self.objects(page.lineage)?;
        let is_own = usize::from(page.lineage) + 1 == self.objects.len();
        let reader = PageReader {
            store: self.store.as_ref(),
            rereads: &self.rereads,
            volume: &self.volume,
            object,
            tail: self.tail.as_ref().filter(|_| is_own),
        };
        let payload = reader.read(want.kind(), page.offset, page.len, &page.digest)?;
        let wrong = || EngineError::object(&object.map_key);
        let leaf_count = self.block_count.div_ceil(LEAF_BLOCKS);
        Ok(match want {
            Want::Leaf => Page::Leaf(Arc::new(Leaf::decode(&payload, self.block_count).map_err(wrong())?)),
            Want::Node => Page::Node(Arc::new(Node::decode(&payload, leaf_count).map_err(wrong())?)),
            Want::Table { packs } => {
                Page::Table(Arc::new(PackTablePage::decode(&payload, self.suite, packs).map_err(wrong())?))
            }
            Want::Taken { packs } => {
                Page::Taken(Arc::new(TakenPacksPage::decode(&payload, self.suite, packs).map_err(wrong())?))
            }
            Want::Index { packs, lineage } => {
                Page::Index(Arc::new(PackTableIndex::decode(&payload, packs, lineage).map_err(wrong())?))
            }
        })
    }

    pub(super) fn objects(&self, lineage: u16) -> Result<&LineageObjects, EngineError> {
        self.objects.get(usize::from(lineage)).ok_or_else(|| EngineError::Damaged {
            volume: self.volume.clone(),
            key: self.objects.last().map(|own| own.map_key.clone()).unwrap_or_default(),
            offset: 0,
            detail: format!("a page names lineage entry {lineage} of {}", self.objects.len()),
        })
    }

    fn damage(&self, page: &PageRef, detail: String) -> EngineError {
        let key = self
            .objects
            .get(usize::from(page.lineage))
            .map(|object| object.map_key.clone())
            .unwrap_or_default();
        EngineError::Damaged { volume: self.volume.clone(), key, offset: page.offset, detail }
    }

    fn no_pack(&self, lineage: u16, pack: u32) -> EngineError {
        let key = self.objects.get(usize::from(lineage)).map(|object| object_key::pack(&object.path, pack));
        EngineError::Damaged {
            volume: self.volume.clone(),
            key: key.unwrap_or_default(),
            offset: 0,
            detail: "the pack table does not describe this pack".into(),
        }
    }
}

/// The child at a position, where zero runs count for many; `None` where it is zero or beyond the end.
fn nth_child(children: &[Child], index: u32) -> Option<&PageRef> {
    let mut at = 0;
    for child in children {
        match child {
            Child::Zero(run) => at += run,
            Child::Page(page) if at == index => return Some(page),
            Child::Page(_) => at += 1,
        }
        if at > index {
            return None;
        }
    }
    None
}

fn wrong_page() -> EngineError {
    EngineError::Bug("a page of another kind came out of the cache".into())
}
