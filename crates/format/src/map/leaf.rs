//! Leaves: the extents of 4,096 blocks. A leaf covers its blocks exactly and has one encoding.

use std::collections::HashMap;

use super::extent::{EXTENT_BYTES_MAX, Extent, Place};
use super::{LEAF_BLOCKS, LINEAGE_MAX, leaf_count};
use crate::FormatError;
use crate::cursor::{Cursor, put_varint};
use crate::error::{check, check_range};
use crate::object_key::PACKS_MAX;
use crate::pack::{FRAME_LEN_MAX, FRAME_LEN_MIN, FRAMES_END_MAX, PACK_BLOCKS_MAX, PACK_HEADER_LEN};

const WHAT: &str = "leaf";
const DATA: u64 = 1;

/// A leaf of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Number of the leaf: it covers blocks 4,096 n to 4,096 n + 4,095, or to the volume's last.
    pub index: u32,
    /// Its extents in block order.
    pub extents: Vec<Extent>,
}

/// Lineage index and number of a pack.
type Pack = (u16, u32);

/// A pack that a leaf has used, and what its next extent has at least.
struct Expected {
    pack: Pack,
    ordinal: u32,
    offset: u64,
}

impl Expected {
    const fn first(pack: Pack) -> Self {
        Self { pack, ordinal: 0, offset: PACK_HEADER_LEN as u64 }
    }
}

impl Leaf {
    /// Whether it holds zeroes only: such a leaf is never stored, its node counts it in a run.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.extents.iter().all(|extent| extent.place == Place::Zero)
    }

    /// The payload of the leaf's page in a map of `block_count` blocks. An error when the extents do not cover the leaf
    /// exactly, are not joined, go backwards in a pack or hold zeroes only.
    pub fn encode(&self, block_count: u32) -> Result<Vec<u8>, FormatError> {
        let mut cover = Cover::new(self.index, block_count)?;
        let mut packs: Vec<Expected> = Vec::new();
        let mut slots: HashMap<Pack, usize> = HashMap::new();
        let mut body = Vec::new();
        for extent in &self.extents {
            cover.add(extent)?;
            let Place::Data { lineage, pack, ordinal, offset, len } = extent.place else {
                put_varint(&mut body, u64::from(extent.count) << 1);
                continue;
            };
            let slot = *slots.entry((lineage, pack)).or_insert(packs.len());
            if slot == packs.len() {
                packs.push(Expected::first((lineage, pack)));
            }
            let expected = packs.get_mut(slot).expect("the slot was taken or made above");
            let backwards =
                || FormatError::Inconsistent { what: WHAT, detail: "extents go backwards in a pack" };
            let ordinals_skipped = ordinal.checked_sub(expected.ordinal).ok_or_else(backwards)?;
            let bytes_skipped = offset.checked_sub(expected.offset).ok_or_else(backwards)?;
            expected.ordinal = ordinal.saturating_add(extent.count);
            expected.offset = offset.saturating_add(len.into());
            let numbers = [
                u64::from(extent.count) << 1 | DATA,
                slot as u64,
                ordinals_skipped.into(),
                bytes_skipped,
                len.into(),
            ];
            numbers.into_iter().for_each(|number| put_varint(&mut body, number));
        }
        cover.finish()?;
        Ok(self.join(&packs, &body))
    }

    fn join(&self, packs: &[Expected], body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len() + 8 * packs.len() + 8);
        put_varint(&mut out, self.index.into());
        put_varint(&mut out, packs.len() as u64);
        for Expected { pack: (lineage, pack), .. } in packs {
            put_varint(&mut out, (*lineage).into());
            put_varint(&mut out, (*pack).into());
        }
        out.extend_from_slice(body);
        out
    }

    /// The leaf of a map of `block_count` blocks whose page has the payload `payload`.
    pub fn decode(payload: &[u8], block_count: u32) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, payload);
        let index = cursor.varint_u32("index", 0, u32::MAX)?;
        let mut cover = Cover::new(index, block_count)?;
        let mut packs = read_packs(&mut cursor)?;
        let mut used = 0;
        let mut extents = Vec::new();
        while cover.left() > 0 {
            let head = cursor.varint_in("extent's blocks", 2, u64::from(LEAF_BLOCKS) << 1 | DATA)?;
            let count = u32::try_from(head >> 1).expect("checked to be at most 4,096");
            let place = if head & DATA == 0 {
                Place::Zero
            } else {
                read_place(&mut cursor, &mut packs, &mut used, count)?
            };
            let extent = Extent { first: cover.next, count, place };
            cover.add(&extent)?;
            extents.push(extent);
        }
        check(used == packs.len(), WHAT, "names a pack that no extent uses")?;
        cursor.finish()?;
        cover.finish()?;
        Ok(Self { index, extents })
    }
}

fn read_packs(cursor: &mut Cursor<'_>) -> Result<Vec<Expected>, FormatError> {
    let count = cursor.varint_in("number of packs", 0, LEAF_BLOCKS.into())?;
    let mut seen = std::collections::HashSet::new();
    let mut packs = Vec::new();
    for _ in 0..count {
        let lineage = cursor.varint_u32("lineage index", 0, LINEAGE_MAX as u32 - 1)?;
        let pack = cursor.varint_u32("pack number", 0, PACKS_MAX - 1)?;
        let pack = (u16::try_from(lineage).expect("checked to be below 256"), pack);
        if !seen.insert(pack) {
            return Err(cursor.not_canonical("names a pack twice"));
        }
        packs.push(Expected::first(pack));
    }
    Ok(packs)
}

fn read_place(
    cursor: &mut Cursor<'_>,
    packs: &mut [Expected],
    used: &mut usize,
    count: u32,
) -> Result<Place, FormatError> {
    let slot = usize::try_from(cursor.varint_in("index of a pack", 0, *used as u64)?).expect("at most 4,096");
    let ordinals_skipped = cursor.varint_u32("ordinal", 0, PACK_BLOCKS_MAX)?;
    let bytes_skipped = cursor.varint_in("offset", 0, FRAMES_END_MAX)?;
    let len = cursor.varint_u32("bytes of frames", 0, EXTENT_BYTES_MAX)?;
    let Some(expected) = packs.get_mut(slot) else {
        return Err(FormatError::Inconsistent {
            what: WHAT,
            detail: "an extent uses a pack that is not named",
        });
    };
    *used = (*used).max(slot + 1);
    let ordinal = expected.ordinal + ordinals_skipped;
    let offset = expected.offset + bytes_skipped;
    expected.ordinal = ordinal.saturating_add(count);
    expected.offset = offset + u64::from(len);
    let (lineage, pack) = expected.pack;
    Ok(Place::Data { lineage, pack, ordinal, offset, len })
}

/// Holds the extents of a leaf to their order, limits and canonical form.
struct Cover {
    next: u32,
    end: u64,
    last: Option<Extent>,
    has_data: bool,
}

impl Cover {
    fn new(index: u32, block_count: u32) -> Result<Self, FormatError> {
        let leaves = leaf_count(block_count);
        check(index < leaves, WHAT, "lies past the end of the volume")?;
        let next = index * LEAF_BLOCKS;
        let end = (u64::from(next) + u64::from(LEAF_BLOCKS)).min(block_count.into());
        Ok(Self { next, end, last: None, has_data: false })
    }

    fn left(&self) -> u64 {
        self.end.saturating_sub(self.next.into())
    }

    fn add(&mut self, extent: &Extent) -> Result<(), FormatError> {
        check(extent.first == self.next, WHAT, "extents do not follow each other")?;
        check_range(WHAT, "blocks of an extent", extent.count.into(), 1, self.left())?;
        if let Place::Data { lineage, pack, ordinal, offset, len } = extent.place {
            self.has_data = true;
            let count = u64::from(extent.count);
            check_range(WHAT, "lineage index", lineage.into(), 0, LINEAGE_MAX as u64 - 1)?;
            check_range(WHAT, "pack number", pack.into(), 0, u64::from(PACKS_MAX) - 1)?;
            let most = u64::from(EXTENT_BYTES_MAX).min(count * FRAME_LEN_MAX);
            check_range(WHAT, "bytes of frames", len.into(), count * FRAME_LEN_MIN, most)?;
            check_range(WHAT, "last ordinal", u64::from(ordinal) + count, 1, PACK_BLOCKS_MAX.into())?;
            check_range(WHAT, "end of frames", offset.saturating_add(len.into()), 1, FRAMES_END_MAX)?;
            let least = PACK_HEADER_LEN as u64 + u64::from(ordinal) * FRAME_LEN_MIN;
            check_range(WHAT, "offset", offset, least, FRAMES_END_MAX)?;
        }
        let joined = self.last.and_then(|last| last.joined(extent));
        if joined.is_some() {
            return Err(FormatError::NotCanonical {
                what: WHAT,
                detail: "extents that could be one are two",
            });
        }
        self.last = Some(*extent);
        // The last leaf of the largest volume ends at 2^32 - 1, so that this cannot overflow.
        self.next += extent.count;
        Ok(())
    }

    fn finish(&self) -> Result<(), FormatError> {
        check(self.left() == 0, WHAT, "extents do not cover the leaf")?;
        check(self.has_data, WHAT, "holds zeroes only")
    }
}
