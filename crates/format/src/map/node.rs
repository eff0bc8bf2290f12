//! Nodes: the leaves of a range of 1,048,576 blocks.

use super::page::{Child, put_children, read_children};
use super::{NODE_LEAVES, node_count};
use crate::FormatError;
use crate::cursor::{Cursor, put_varint};
use crate::error::check;

const WHAT: &str = "node";

/// A node of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Number of the node: it covers leaves 256 n to 256 n + 255, or to the last.
    pub index: u32,
    /// Its leaves in order.
    pub children: Vec<Child>,
}

impl Node {
    /// Whether it holds zeroes only: such a node is never stored, the root counts it in a run.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.children.iter().all(|child| matches!(child, Child::Zero(_)))
    }

    /// The payload of the node's page in a map of `leaf_count` leaves. An error when the children do not cover the node
    /// exactly, runs are not joined or all are zero.
    pub fn encode(&self, leaf_count: u32) -> Result<Vec<u8>, FormatError> {
        let covered = covered(self.index, leaf_count)?;
        let mut out = Vec::new();
        put_varint(&mut out, self.index.into());
        put_children(WHAT, &mut out, &self.children, covered)?;
        check(!self.is_zero(), WHAT, "holds zeroes only")?;
        Ok(out)
    }

    /// The node of a map of `leaf_count` leaves whose page has the payload `payload`.
    pub fn decode(payload: &[u8], leaf_count: u32) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, payload);
        let index = cursor.varint_u32("index", 0, u32::MAX)?;
        let children = read_children(WHAT, &mut cursor, covered(index, leaf_count)?)?;
        cursor.finish()?;
        let node = Self { index, children };
        check(!node.is_zero(), WHAT, "holds zeroes only")?;
        Ok(node)
    }
}

fn covered(index: u32, leaf_count: u32) -> Result<u32, FormatError> {
    check(index < node_count(leaf_count), WHAT, "lies past the end of the volume")?;
    Ok((leaf_count - index * NODE_LEAVES).min(NODE_LEAVES))
}
