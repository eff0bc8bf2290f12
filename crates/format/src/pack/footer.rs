//! The last 64 bytes of a pack: where its trailer starts. Its tag, which covers the header too, is checked before a number of
//! it is used.
//!
//! So whoever holds the metadata key can tell that header, trailer and length belong together and are what the writer made, without
//! opening a block: that is what a run that reuses packs goes by.

use super::{FOOTER_LEN, PACK_HEADER_LEN, TAG_LEN, check_layout, trailer_len, trailer_pages};
use crate::cursor::Cursor;
use crate::{FormatError, MetadataCipher};

const WHAT: &str = "pack footer";
const MAGIC: &[u8; 8] = b"COFPEND1";
const BODY_LEN: usize = FOOTER_LEN - TAG_LEN;

/// Footer of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Number of frames.
    pub frames: u32,
    /// Offset of the first trailer page in the pack.
    pub trailer_offset: u64,
}

impl Footer {
    /// Number of trailer pages.
    #[must_use]
    pub const fn pages(&self) -> u32 {
        trailer_pages(self.frames)
    }

    /// Offset of the footer in the pack.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.trailer_offset + trailer_len(self.frames)
    }

    pub(super) fn encode(&self, cipher: &MetadataCipher, header: &[u8; PACK_HEADER_LEN]) -> [u8; FOOTER_LEN] {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.frames.to_le_bytes());
        out.extend_from_slice(&self.pages().to_le_bytes());
        out.extend_from_slice(&self.trailer_offset.to_le_bytes());
        out.extend_from_slice(&[0; 24]);
        let body = out.first_chunk::<BODY_LEN>().expect("the fields add up to 48 bytes");
        let tag = cipher.seal_footer(self.offset(), header, body);
        out.extend_from_slice(&tag);
        out.try_into().expect("48 bytes and a tag")
    }

    /// The footer in exactly the last 64 bytes of a pack of `object_len` bytes, its tag checked. `header` are the pack's
    /// first 192 bytes as they were stored: the tag covers them.
    pub fn decode(
        cipher: &MetadataCipher,
        object_len: u64,
        header: &[u8; PACK_HEADER_LEN],
        bytes: &[u8],
    ) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        cursor.magic(MAGIC)?;
        let frames = cursor.u32()?;
        let pages = cursor.u32()?;
        let trailer_offset = cursor.u64()?;
        cursor.reserved::<24>()?;
        let tag = cursor.array::<TAG_LEN>()?;
        cursor.finish()?;
        check_layout(WHAT, frames, trailer_offset, object_len)?;
        crate::error::check(pages == trailer_pages(frames), WHAT, "numbers of pages and of frames disagree")?;
        let footer = Self { frames, trailer_offset };
        let body = bytes.first_chunk::<BODY_LEN>().ok_or(FormatError::Magic { what: WHAT })?;
        cipher.open_footer(footer.offset(), header, body, &tag)?;
        Ok(footer)
    }
}
