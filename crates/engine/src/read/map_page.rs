//! Pages of a map object: read, checked against the digest of whoever refers to them, decoded, weighed.

use std::sync::Arc;

use coffer_format::{
    Digest, Leaf, MetadataCipher, Node, PackRanges, PackTableIndex, PackTablePage, PageKind, TakenPacksPage,
    VolumePath,
};
use coffer_store::{ObjectStore, StoreError};
use quick_cache::Weighter;

use super::reread::Rereads;
use crate::EngineError;
use crate::repository::store_key;

/// Where the objects of one lineage entry lie.
pub(crate) struct LineageObjects {
    pub(crate) path: VolumePath,
    pub(crate) map_key: String,
    pub(crate) map_cipher: MetadataCipher,
    /// Of an incomplete run the packs that were reused; it has no map object.
    pub(crate) taken: Option<PackRanges>,
}

/// A decoded page.
#[derive(Clone)]
pub(crate) enum Page {
    Leaf(Arc<Leaf>),
    Node(Arc<Node>),
    Table(Arc<PackTablePage>),
    Taken(Arc<TakenPacksPage>),
    Index(Arc<PackTableIndex>),
}

/// Which page is wanted, with what its decoder has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Leaf,
    Node,
    Table {
        packs: u32,
    },
    /// A page of the table of packs reused from an incomplete run.
    Taken {
        packs: u32,
    },
    Index {
        packs: u32,
        lineage: u16,
    },
}

impl Want {
    pub(crate) fn kind(self) -> PageKind {
        match self {
            Want::Leaf => PageKind::Leaf,
            Want::Node => PageKind::Node,
            Want::Table { .. } | Want::Taken { .. } => PageKind::PackTable,
            Want::Index { .. } => PageKind::PackTableIndex,
        }
    }
}

/// What a page takes in the cache, bytes.
#[derive(Clone)]
pub(crate) struct PageWeight;

impl Weighter<(u16, u64), Page> for PageWeight {
    fn weight(&self, _key: &(u16, u64), page: &Page) -> u64 {
        let bytes = match page {
            Page::Leaf(leaf) => leaf.extents.len() * 40,
            Page::Node(node) => node.children.len() * 64,
            Page::Table(table) => table.0.len() * 400,
            Page::Taken(table) => table.0.len() * 400,
            Page::Index(index) => index.0.len() * 64,
        };
        bytes as u64 + 64
    }
}

/// The end of a map object, read at once: a small map takes one request, and not one for each page.
pub(crate) struct MapTail {
    offset: u64,
    stored: Vec<u8>,
}

/// Length of a tail, bytes: the map of a full backup of about 100 GiB.
const TAIL_LEN_MAX: u64 = 256 << 10;

impl MapTail {
    /// What ends at `end`, where the last page does. Nothing is checked here: each page is, when it is taken out.
    pub(crate) fn read(
        store: &dyn ObjectStore,
        volume: &str,
        key: &str,
        end: u64,
    ) -> Result<MapTail, EngineError> {
        let len = end.min(TAIL_LEN_MAX);
        let mut stored = vec![0; usize::try_from(len).unwrap_or_default()];
        get_range(store, volume, key, end - len, &mut stored)?;
        Ok(MapTail { offset: end - len, stored })
    }

    /// A page's bytes, if all of them are here.
    fn page(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.stored.get(from..from.checked_add(len)?)
    }
}

/// Reads pages of one map object.
pub(crate) struct PageReader<'a> {
    pub(crate) store: &'a dyn ObjectStore,
    pub(crate) rereads: &'a Rereads,
    pub(crate) volume: &'a str,
    pub(crate) object: &'a LineageObjects,
    /// What was read of the object already.
    pub(crate) tail: Option<&'a MapTail>,
}

impl PageReader<'_> {
    /// The payload of a page, checked.
    pub(crate) fn read(
        &self,
        kind: PageKind,
        offset: u64,
        len: u32,
        digest: &Digest,
    ) -> Result<Vec<u8>, EngineError> {
        let key = &self.object.map_key;
        let damaged = |detail: String| EngineError::Damaged {
            volume: self.volume.to_owned(),
            key: key.clone(),
            offset,
            detail,
        };
        if len > coffer_format::PAGE_LEN_MAX {
            return Err(damaged(format!("a page of {len} bytes is larger than any page may be")));
        }
        let mut stored = vec![0; len as usize];
        let mut known = self.tail.and_then(|tail| tail.page(offset, len as usize));
        self.rereads.reread_damage(|| {
            match known.take() {
                Some(known) => stored.copy_from_slice(known),
                None => get_range(self.store, self.volume, key, offset, &mut stored)?,
            }
            if Digest::of(&stored) != *digest {
                return Err(damaged("a page is not what its reference says".into()));
            }
            self.object.map_cipher.open_page(kind, offset, &stored).map_err(EngineError::object(key))
        })
    }
}

/// What is said of an object that is not there.
pub(crate) const MISSING: &str = "the object is missing";

/// Reads a range of an object that a signed object says exists: absence and shortness are damage.
pub(crate) fn get_range(
    store: &dyn ObjectStore,
    volume: &str,
    key: &str,
    offset: u64,
    out: &mut [u8],
) -> Result<(), EngineError> {
    let damaged = |detail: &str| EngineError::Damaged {
        volume: volume.to_owned(),
        key: key.to_owned(),
        offset,
        detail: detail.to_owned(),
    };
    match store.get_range(&store_key(key)?, offset, out) {
        Ok(()) => Ok(()),
        Err(StoreError::NotFound { .. }) => Err(damaged(MISSING)),
        Err(StoreError::Short { .. }) => Err(damaged("the object is shorter than what is said of it")),
        Err(error) => Err(error.into()),
    }
}
