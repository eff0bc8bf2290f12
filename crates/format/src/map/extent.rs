//! Extents: runs of blocks that lie one after the other in a pack, or are zero.

/// Most bytes of frames in one extent.
pub const EXTENT_BYTES_MAX: u32 = 8 << 20;

/// A run of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Index of its first block in the volume.
    pub first: u32,
    /// Number of blocks, at least 1.
    pub count: u32,
    /// Where they are.
    pub place: Place,
}

/// Where the blocks of an extent are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Nowhere: they are zero.
    Zero,
    /// In a pack, one frame after the other.
    Data {
        /// Index into the volume's lineage: the point that wrote the pack.
        lineage: u16,
        /// Number of the pack.
        pack: u32,
        /// Ordinal of the first frame.
        ordinal: u32,
        /// Offset of the first frame in the pack, in bytes.
        offset: u64,
        /// Bytes of all frames.
        len: u32,
    },
}

impl Extent {
    /// The block after the last one.
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }

    /// This extent and `next`, which follows it, as one; `None` if they cannot be one.
    #[must_use]
    pub fn joined(&self, next: &Self) -> Option<Self> {
        if self.end() != u64::from(next.first) {
            return None;
        }
        let count = self.count.checked_add(next.count)?;
        Some(Self { first: self.first, count, place: self.place.joined(&next.place, self.count)? })
    }
}

impl Place {
    fn joined(&self, next: &Self, count: u32) -> Option<Self> {
        match (*self, *next) {
            (Self::Zero, Self::Zero) => Some(Self::Zero),
            (
                Self::Data { lineage, pack, ordinal, offset, len },
                Self::Data { lineage: lineage2, pack: pack2, ordinal: ordinal2, offset: offset2, len: len2 },
            ) => {
                let follows = (lineage, pack) == (lineage2, pack2)
                    && ordinal.checked_add(count) == Some(ordinal2)
                    && offset.checked_add(len.into()) == Some(offset2);
                let len = len.checked_add(len2).filter(|len| follows && *len <= EXTENT_BYTES_MAX)?;
                Some(Self::Data { lineage, pack, ordinal, offset, len })
            }
            _ => None,
        }
    }
}

/// Appends `extent` to `extents`, as part of the last one if they can be one. Extents of a leaf that are all appended
/// this way are in canonical form. One extent must not reach over the end of a leaf.
pub fn push_extent(extents: &mut Vec<Extent>, extent: Extent) {
    match extents.last_mut() {
        Some(last) => match last.joined(&extent) {
            Some(joined) => *last = joined,
            None => extents.push(extent),
        },
        None => extents.push(extent),
    }
}
