//! The last 72 bytes of a map object: where its root page lies and what it must be. Whoever has the manifest reads the root by the
//! volume record; who lost it finds the volume by this. The tag, which covers the header too, is checked before a number is used.

use super::header::MAP_HEADER_LEN;
use crate::cursor::Cursor;
use crate::error::check_range;
use crate::pack::TAG_LEN;
use crate::{Digest, FormatError, MetadataCipher, PAGE_LEN_MAX};

const WHAT: &str = "map footer";
const MAGIC: &[u8; 8] = b"COFMAPE1";
/// Bytes of a map's footer.
pub const MAP_FOOTER_LEN: usize = 72;
const BODY_LEN: usize = MAP_FOOTER_LEN - TAG_LEN;

/// Footer of a map object. It follows the root page, which it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFooter {
    /// Offset of the root page in the object, in bytes.
    pub root_offset: u64,
    /// Stored length of the root page in bytes, tag included.
    pub root_len: u32,
    /// BLAKE3 of the root page's stored bytes.
    pub root_digest: Digest,
}

impl MapFooter {
    /// Offset of the footer in the object: where the root page ends.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.root_offset.saturating_add(self.root_len.into())
    }

    /// The footer's bytes. `header` are the first 64 bytes of the object: the tag covers them.
    #[must_use]
    pub fn encode(&self, cipher: &MetadataCipher, header: &[u8; MAP_HEADER_LEN]) -> [u8; MAP_FOOTER_LEN] {
        let mut out = Vec::with_capacity(MAP_FOOTER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.root_offset.to_le_bytes());
        out.extend_from_slice(&self.root_len.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(self.root_digest.as_bytes());
        let body = out.first_chunk::<BODY_LEN>().expect("the fields add up to 56 bytes");
        let tag = cipher.seal_map_footer(self.offset(), header, body);
        out.extend_from_slice(&tag);
        out.try_into().expect("56 bytes and a tag")
    }

    /// The footer in exactly the last 72 bytes of a map object of `object_len` bytes, its tag checked. `header` are the object's
    /// first 64 bytes as they were stored.
    pub fn decode(
        cipher: &MetadataCipher,
        object_len: u64,
        header: &[u8; MAP_HEADER_LEN],
        bytes: &[u8],
    ) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        cursor.magic(MAGIC)?;
        let root_offset = cursor.u64()?;
        let root_len = cursor.u32()?;
        cursor.reserved::<4>()?;
        let root_digest = Digest::from_bytes(cursor.array()?);
        let tag = cursor.array::<TAG_LEN>()?;
        cursor.finish()?;
        check_range(WHAT, "offset of the root", root_offset, MAP_HEADER_LEN as u64, i64::MAX as u64)?;
        check_range(WHAT, "length of the root", root_len.into(), TAG_LEN as u64 + 1, PAGE_LEN_MAX.into())?;
        let footer = Self { root_offset, root_len, root_digest };
        let ends_there = footer.offset().checked_add(MAP_FOOTER_LEN as u64) == Some(object_len);
        crate::error::check(ends_there, WHAT, "the root does not end where the footer begins")?;
        let body = bytes.first_chunk::<BODY_LEN>().ok_or(FormatError::Magic { what: WHAT })?;
        cipher.open_map_footer(footer.offset(), header, body, &tag)?;
        Ok(footer)
    }
}
