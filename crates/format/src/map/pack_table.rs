//! Pack tables: what a point's packs of one volume are, with their keys. A pack's frames open only with the key from
//! here, so that nobody but the writer of the signed point can have made them.

use super::page::PageRef;
use crate::cursor::{Cursor, put_varint};
use crate::error::{check, check_range};
use crate::pack::{PACK_BLOCKS_MAX, check_layout, check_sealed_key, trailer_pages};
use crate::{Digest, FormatError, SealedSecret, Suite};

const PAGE: &str = "pack table page";
const INDEX: &str = "pack table index";
/// Packs that a page of a pack table describes.
pub const PACK_TABLE_PAGE_PACKS: u32 = 256;
/// The length of a pack that was not reused.
const ABSENT: u64 = 0;

/// What the pack table says of one pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackInfo {
    /// Bytes of the object.
    pub object_len: u64,
    /// Number of frames.
    pub frames: u32,
    /// Index of the first block in the volume.
    pub first_block: u32,
    /// Index of the last block in the volume.
    pub last_block: u32,
    /// Offset of the trailer in the pack.
    pub trailer_offset: u64,
    /// BLAKE3 of each stored trailer page.
    pub page_digests: Vec<Digest>,
    /// The pack's key, sealed to the chain: present in suite 1 and only there.
    pub sealed_key: Option<SealedSecret>,
}

impl PackInfo {
    fn check(&self, suite: Suite) -> Result<(), FormatError> {
        check_layout(PAGE, self.frames, self.trailer_offset, self.object_len)?;
        let pages = trailer_pages(self.frames) as usize;
        check(self.page_digests.len() == pages, PAGE, "number of page digests and of frames disagree")?;
        let least = u64::from(self.first_block) + u64::from(self.frames) - 1;
        check_range(PAGE, "last block", self.last_block.into(), least, u32::MAX.into())?;
        let one = self.frames > 1 || self.first_block == self.last_block;
        check(one, PAGE, "one frame is two blocks")?;
        check_sealed_key(PAGE, suite, self.sealed_key.as_ref())
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.object_len);
        put_varint(out, self.frames.into());
        put_varint(out, self.first_block.into());
        put_varint(out, self.last_block.into());
        put_varint(out, self.trailer_offset);
        self.page_digests.iter().for_each(|digest| out.extend_from_slice(digest.as_bytes()));
        if let Some(sealed) = &self.sealed_key {
            out.extend_from_slice(sealed.as_bytes());
        }
    }

    fn read(cursor: &mut Cursor<'_>, object_len: u64, suite: Suite) -> Result<Self, FormatError> {
        let frames = cursor.varint_u32("number of frames", 1, PACK_BLOCKS_MAX)?;
        let first_block = cursor.varint_u32("first block", 0, u32::MAX)?;
        let last_block = cursor.varint_u32("last block", 0, u32::MAX)?;
        let trailer_offset = cursor.varint()?;
        let digest = |_| cursor.array().map(Digest::from_bytes);
        let page_digests = (0..trailer_pages(frames)).map(digest).collect::<Result<Vec<_>, _>>()?;
        let sealed_key = match suite {
            Suite::None => None,
            Suite::Aes256Gcm => Some(SealedSecret::from_bytes(cursor.array()?)),
        };
        let info =
            Self { object_len, frames, first_block, last_block, trailer_offset, page_digests, sealed_key };
        info.check(suite)?;
        Ok(info)
    }
}

/// A page of the table of packs reused from an incomplete run: packs 256 n to 256 n + 255, or to the last; `None` for those that
/// were not reused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenPacksPage(pub Vec<Option<PackInfo>>);

impl TakenPacksPage {
    /// The page's payload.
    pub fn encode(&self, suite: Suite) -> Result<Vec<u8>, FormatError> {
        check_range(PAGE, "number of packs", self.0.len() as u64, 1, PACK_TABLE_PAGE_PACKS.into())?;
        let mut out = Vec::new();
        for info in &self.0 {
            match info {
                None => put_varint(&mut out, ABSENT),
                Some(info) => {
                    info.check(suite)?;
                    info.put(&mut out);
                }
            }
        }
        Ok(out)
    }

    /// The page with the payload `payload`, of `packs` packs as [`PackTablePage::packs_on`] counts them.
    pub fn decode(payload: &[u8], suite: Suite, packs: u32) -> Result<Self, FormatError> {
        check_range(PAGE, "number of packs", packs.into(), 1, PACK_TABLE_PAGE_PACKS.into())?;
        let mut cursor = Cursor::new(PAGE, payload);
        let read = |_| match cursor.varint()? {
            ABSENT => Ok(None),
            object_len => PackInfo::read(&mut cursor, object_len, suite).map(Some),
        };
        let infos = (0..packs).map(read).collect::<Result<Vec<_>, _>>()?;
        cursor.finish()?;
        Ok(Self(infos))
    }
}

/// Packs 256 n to 256 n + 255 of a point, or to its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackTablePage(pub Vec<PackInfo>);

impl PackTablePage {
    /// Number of packs on page `page` of the table of `packs` packs; 0 past the last page.
    #[must_use]
    pub const fn packs_on(packs: u32, page: u32) -> u32 {
        let left = packs.saturating_sub(page.saturating_mul(PACK_TABLE_PAGE_PACKS));
        if left < PACK_TABLE_PAGE_PACKS { left } else { PACK_TABLE_PAGE_PACKS }
    }

    /// The page's payload.
    pub fn encode(&self, suite: Suite) -> Result<Vec<u8>, FormatError> {
        check_range(PAGE, "number of packs", self.0.len() as u64, 1, PACK_TABLE_PAGE_PACKS.into())?;
        let mut out = Vec::new();
        for info in &self.0 {
            info.check(suite)?;
            info.put(&mut out);
        }
        Ok(out)
    }

    /// The page with the payload `payload`, of `packs` packs as `packs_on` counts them.
    pub fn decode(payload: &[u8], suite: Suite, packs: u32) -> Result<Self, FormatError> {
        check_range(PAGE, "number of packs", packs.into(), 1, PACK_TABLE_PAGE_PACKS.into())?;
        let mut cursor = Cursor::new(PAGE, payload);
        let read = |_| {
            let object_len = cursor.varint()?;
            PackInfo::read(&mut cursor, object_len, suite)
        };
        let infos = (0..packs).map(read).collect::<Result<Vec<_>, _>>()?;
        cursor.finish()?;
        Ok(Self(infos))
    }
}

/// The pages of a pack table of more than 256 packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackTableIndex(pub Vec<PageRef>);

impl PackTableIndex {
    /// The index's payload.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check()?;
        let mut out = Vec::new();
        put_varint(&mut out, self.0.len() as u64);
        self.0.iter().for_each(|page| page.put(&mut out));
        Ok(out)
    }

    /// The index with the payload `payload` of the table of `packs` packs that lineage entry `lineage` wrote.
    pub fn decode(payload: &[u8], packs: u32, lineage: u16) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(INDEX, payload);
        let pages = u64::from(packs.div_ceil(PACK_TABLE_PAGE_PACKS));
        let count = cursor.varint_in("number of pages", pages, pages)?;
        let pages = (0..count).map(|_| PageRef::read(INDEX, &mut cursor)).collect::<Result<Vec<_>, _>>()?;
        cursor.finish()?;
        let index = Self(pages);
        index.check()?;
        check(index.0.iter().all(|page| page.lineage == lineage), INDEX, "lies in another point's map")?;
        Ok(index)
    }

    fn check(&self) -> Result<(), FormatError> {
        let pages_max = u64::from(crate::object_key::PACKS_MAX / PACK_TABLE_PAGE_PACKS);
        check_range(INDEX, "number of pages", self.0.len() as u64, 2, pages_max)?;
        self.0.iter().try_for_each(|page| page.validate(INDEX))?;
        let own = self.0.first().map(|page| page.lineage);
        check(self.0.iter().all(|page| Some(page.lineage) == own), INDEX, "pages lie in more than one map")
    }
}
