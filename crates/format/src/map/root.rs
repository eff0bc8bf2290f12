//! The root of a map: size, lineage, pack tables and nodes. Every reference of a map is checked against it.

use std::collections::HashSet;

use super::leaf::Leaf;
use super::node::Node;
use super::pack_table::PACK_TABLE_PAGE_PACKS;
use super::page::{Child, PageRef, put_children, read_children};
use super::{LINEAGE_MAX, Place, leaf_count, node_count};
use crate::cursor::{Cursor, put_varint};
use crate::error::{check, check_range};
use crate::object_key::PACKS_MAX;
use crate::{BlockSize, FormatError, Id};

const WHAT: &str = "root";

/// The root of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Bytes of the volume.
    pub volume_size: u64,
    /// Its block size.
    pub block_size: BlockSize,
    /// The points and incomplete runs whose packs the map uses, in the order of the volume record, the own point last; 1 to 256.
    pub lineage: Vec<RootLineage>,
    /// The nodes in order.
    pub nodes: Vec<Child>,
}

/// A point of a volume's lineage, or an incomplete run whose packs a point reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootLineage {
    /// The point.
    pub point: Id,
    /// Number of packs that it wrote for the volume; of an incomplete run one more than the largest number reused.
    pub packs: u32,
    /// Where they are described; present if there are any.
    pub table: Option<PackTableRef>,
}

/// Where the pack table of a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackTableRef {
    /// 0: `page` is the only page of the table, of at most 256 packs. 1: `page` is the table's index.
    pub depth: u8,
    /// The page, in the map object of the point that wrote the packs, or of the later point that reused them.
    pub page: PageRef,
}

impl RootLineage {
    /// Whether, as entry `index`, it is an incomplete run whose packs were reused: a point's table lies in its own map,
    /// that of an incomplete run in the map of the point that reused its packs.
    #[must_use]
    pub fn is_reused(&self, index: usize) -> bool {
        self.table.is_some_and(|table| usize::from(table.page.lineage) > index)
    }
}

impl PackTableRef {
    /// The reference for a table of `packs` packs.
    #[must_use]
    pub const fn new(packs: u32, page: PageRef) -> Self {
        Self { depth: depth(packs), page }
    }
}

const fn depth(packs: u32) -> u8 {
    if packs > PACK_TABLE_PAGE_PACKS { 1 } else { 0 }
}

impl Root {
    /// Number of blocks of the volume.
    pub fn block_count(&self) -> Result<u32, FormatError> {
        self.block_size.block_count(self.volume_size)
    }

    /// The payload of the root's page. An error when it is not consistent in itself.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check()?;
        let mut out = Vec::new();
        put_varint(&mut out, self.volume_size);
        put_varint(&mut out, self.block_size.bytes().into());
        put_varint(&mut out, self.lineage.len() as u64);
        for entry in &self.lineage {
            out.extend_from_slice(entry.point.as_bytes());
            put_varint(&mut out, entry.packs.into());
            if let Some(table) = &entry.table {
                put_varint(&mut out, table.depth.into());
                table.page.put(&mut out);
            }
        }
        put_children(WHAT, &mut out, &self.nodes, node_count(leaf_count(self.block_count()?)))?;
        Ok(out)
    }

    /// The root whose page has the payload `payload`.
    pub fn decode(payload: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, payload);
        let volume_size = cursor.varint()?;
        let block_size = BlockSize::new(cursor.varint_u32("block size", 0, u32::MAX)?)?;
        let blocks = block_size.block_count(volume_size)?;
        let count = cursor.varint_in("points in the lineage", 1, LINEAGE_MAX as u64)?;
        let lineage = (0..count).map(|_| read_lineage(&mut cursor)).collect::<Result<Vec<_>, _>>()?;
        let nodes = read_children(WHAT, &mut cursor, node_count(leaf_count(blocks)))?;
        cursor.finish()?;
        let root = Self { volume_size, block_size, lineage, nodes };
        root.check()?;
        Ok(root)
    }

    fn check(&self) -> Result<(), FormatError> {
        check_range(WHAT, "points in the lineage", self.lineage.len() as u64, 1, LINEAGE_MAX as u64)?;
        let points: HashSet<Id> = self.lineage.iter().map(|entry| entry.point).collect();
        check(points.len() == self.lineage.len(), WHAT, "a point is twice in the lineage")?;
        for (index, entry) in self.lineage.iter().enumerate() {
            check_range(WHAT, "number of packs", entry.packs.into(), 0, PACKS_MAX.into())?;
            check(
                entry.table.is_some() == (entry.packs > 0),
                WHAT,
                "pack table and number of packs disagree",
            )?;
            if let Some(table) = &entry.table {
                table.page.validate(WHAT)?;
                let holder = usize::from(table.page.lineage);
                check(
                    (index..self.lineage.len()).contains(&holder),
                    WHAT,
                    "a pack table lies in the map of an earlier point or of none",
                )?;
                check(
                    table.depth == depth(entry.packs),
                    WHAT,
                    "depth of a pack table and number of packs disagree",
                )?;
            }
        }
        self.check_children(&self.nodes)
    }

    /// An error unless the pages that `node` names lie in points of the lineage.
    pub fn check_node(&self, node: &Node) -> Result<(), FormatError> {
        self.check_children(&node.children)
    }

    fn check_children(&self, children: &[Child]) -> Result<(), FormatError> {
        let known = |child: &Child| match child {
            Child::Zero(_) => true,
            Child::Page(page) => usize::from(page.lineage) < self.lineage.len(),
        };
        check(children.iter().all(known), WHAT, "a page lies past the end of the lineage")
    }

    /// An error unless the packs that `leaf` names are packs of points of the lineage.
    pub fn check_leaf(&self, leaf: &Leaf) -> Result<(), FormatError> {
        let known = |place: Place| match place {
            Place::Zero => true,
            Place::Data { lineage, pack, .. } => {
                self.lineage.get(usize::from(lineage)).is_some_and(|entry| pack < entry.packs)
            }
        };
        let known = leaf.extents.iter().all(|extent| known(extent.place));
        check(known, "leaf", "a pack is not one of the lineage's")
    }
}

fn read_lineage(cursor: &mut Cursor<'_>) -> Result<RootLineage, FormatError> {
    let point = Id::from_bytes(cursor.array()?);
    let packs = cursor.varint_u32("number of packs", 0, PACKS_MAX)?;
    let table = if packs == 0 {
        None
    } else {
        let depth = cursor.varint_u32("depth of a pack table", 0, 1)?;
        let depth = u8::try_from(depth).expect("checked to be 0 or 1");
        Some(PackTableRef { depth, page: PageRef::read(WHAT, cursor)? })
    };
    Ok(RootLineage { point, packs, table })
}
