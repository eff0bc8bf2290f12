//! Maps (`docs/format.md` section 5): where every block of a volume lies. All encoders check what they write, so that
//! nothing is ever stored that the decoder refuses. Pages are payloads here; sealing is `MetadataCipher`'s.

mod extent;
mod footer;
mod header;
mod leaf;
mod node;
mod pack_table;
mod page;
mod root;

pub use extent::{EXTENT_BYTES_MAX, Extent, Place, push_extent};
pub use footer::{MAP_FOOTER_LEN, MapFooter};
pub use header::{MAP_HEADER_LEN, MapHeader};
pub use leaf::Leaf;
pub use node::Node;
pub use pack_table::{PACK_TABLE_PAGE_PACKS, PackInfo, PackTableIndex, PackTablePage, TakenPacksPage};
pub use page::{Child, PageRef};
pub use root::{PackTableRef, Root, RootLineage};

/// Blocks that a leaf covers.
pub const LEAF_BLOCKS: u32 = 4096;
/// Leaves that a node covers.
pub const NODE_LEAVES: u32 = 256;
/// Most points of a lineage.
pub const LINEAGE_MAX: usize = 256;

/// Number of leaves of a volume of `block_count` blocks.
#[must_use]
pub const fn leaf_count(block_count: u32) -> u32 {
    block_count.div_ceil(LEAF_BLOCKS)
}

/// Number of nodes of a volume with `leaf_count` leaves.
#[must_use]
pub const fn node_count(leaf_count: u32) -> u32 {
    leaf_count.div_ceil(NODE_LEAVES)
}
