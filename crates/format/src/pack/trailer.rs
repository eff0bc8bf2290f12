//! The trailer of a pack: per block its index, hash and tag, in sealed pages. It serves compare, verify and rebuild; a
//! restore never needs it.

use super::footer::Footer;
use super::{
    FOOTER_LEN, PACK_BLOCKS_MAX, PACK_HEADER_LEN, TAG_LEN, TRAILER_ENTRY_LEN, TRAILER_PAGE_ENTRIES,
    decode_word, trailer_len,
};
use crate::cursor::Cursor;
use crate::error::check_range;
use crate::{Codec, Digest, FormatError, MetadataCipher, PackInfo, PageKind, SealedFrame, SealedSecret};

const WHAT: &str = "trailer page";
const PAGE_BYTES: u64 = (TRAILER_PAGE_ENTRIES * TRAILER_ENTRY_LEN + TAG_LEN) as u64;

/// What the trailer says of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrailerEntry {
    /// Index of the block in its volume.
    pub block: u32,
    /// Codec and stored length, as in the frame's header.
    pub word: u32,
    /// Keyed hash of the block's content.
    pub hash: [u8; 32],
    /// The frame's tag.
    pub tag: [u8; TAG_LEN],
}

impl TrailerEntry {
    /// The entry of block `block` with `hash` that was sealed as `frame`.
    #[must_use]
    pub const fn new(block: u32, hash: [u8; 32], frame: &SealedFrame) -> Self {
        Self { block, word: frame.word, hash, tag: frame.tag }
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub const fn frame_len(&self) -> u32 {
        (self.word & super::STORED_LEN_MASK) + super::FRAME_OVERHEAD as u32
    }

    /// Codec and stored length in bytes.
    pub fn stored(&self) -> Result<(Codec, u32), FormatError> {
        decode_word(WHAT, self.word)
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let entry =
            Self { block: cursor.u32()?, word: cursor.u32()?, hash: cursor.array()?, tag: cursor.array()? };
        cursor.finish()?;
        entry.stored()?;
        Ok(entry)
    }
}

/// Collects the entries of one pack in order of their ordinals.
#[derive(Debug, Default)]
pub struct TrailerBuilder {
    entries: Vec<u8>,
    frames: u32,
    blocks: Option<(u32, u32)>,
}

impl TrailerBuilder {
    /// A builder without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries so far.
    #[must_use]
    pub const fn frames(&self) -> u32 {
        self.frames
    }

    /// Bytes that trailer and footer will have, as things stand.
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        trailer_len(self.frames) + FOOTER_LEN as u64
    }

    /// Adds the next frame's entry. Block indexes must ascend.
    pub fn push(&mut self, entry: TrailerEntry) -> Result<(), FormatError> {
        entry.stored()?;
        check_range(WHAT, "number of frames", u64::from(self.frames) + 1, 1, PACK_BLOCKS_MAX.into())?;
        let first = match self.blocks {
            None => entry.block,
            Some((first, last)) if entry.block > last => first,
            Some(_) => return Err(not_ascending()),
        };
        self.blocks = Some((first, entry.block));
        self.frames += 1;
        self.entries.extend_from_slice(&entry.block.to_le_bytes());
        self.entries.extend_from_slice(&entry.word.to_le_bytes());
        self.entries.extend_from_slice(&entry.hash);
        self.entries.extend_from_slice(&entry.tag);
        Ok(())
    }

    /// Seals the trailer, which will start at `trailer_offset` of the pack, where the frames end; the footer's tag covers
    /// the pack's `header` too. A pack without blocks or with impossible offsets is an error.
    pub fn finish(
        self,
        cipher: &MetadataCipher,
        header: &[u8; PACK_HEADER_LEN],
        trailer_offset: u64,
    ) -> Result<Trailer, FormatError> {
        let (first_block, last_block) = self.blocks.unwrap_or_default();
        let object_len = trailer_offset.saturating_add(self.encoded_len());
        super::check_layout("pack", self.frames, trailer_offset, object_len)?;
        let mut bytes = Vec::with_capacity(usize::try_from(self.encoded_len()).unwrap_or_default());
        let mut page_digests = Vec::new();
        let mut offset = trailer_offset;
        for entries in self.entries.chunks(TRAILER_PAGE_ENTRIES * TRAILER_ENTRY_LEN) {
            let page = cipher.seal_page(PageKind::Trailer, offset, entries);
            page_digests.push(Digest::of(&page));
            offset += page.len() as u64;
            bytes.extend_from_slice(&page);
        }
        bytes.extend_from_slice(&Footer { frames: self.frames, trailer_offset }.encode(cipher, header));
        let frames = self.frames;
        Ok(Trailer { bytes, page_digests, frames, first_block, last_block, trailer_offset })
    }
}

/// A sealed trailer with its footer: the end of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Pages and footer, as they are appended to the frames.
    pub bytes: Vec<u8>,
    /// Digest of each stored page.
    pub page_digests: Vec<Digest>,
    /// Number of frames.
    pub frames: u32,
    /// Index of the first block.
    pub first_block: u32,
    /// Index of the last block.
    pub last_block: u32,
    /// Offset of the first page in the pack.
    pub trailer_offset: u64,
}

impl Trailer {
    /// What the pack table says of this pack.
    #[must_use]
    pub fn info(&self, sealed_key: Option<SealedSecret>) -> PackInfo {
        PackInfo {
            object_len: self.trailer_offset + self.bytes.len() as u64,
            frames: self.frames,
            first_block: self.first_block,
            last_block: self.last_block,
            trailer_offset: self.trailer_offset,
            page_digests: self.page_digests.clone(),
            sealed_key,
        }
    }
}

/// The entries of the trailer page `stored` at `offset` of the pack.
pub fn decode_trailer_page(
    cipher: &MetadataCipher,
    offset: u64,
    stored: &[u8],
) -> Result<Vec<TrailerEntry>, FormatError> {
    let payload = cipher.open_page(PageKind::Trailer, offset, stored)?;
    decode_entries(&payload)
}

fn decode_entries(payload: &[u8]) -> Result<Vec<TrailerEntry>, FormatError> {
    let count = (payload.len() / TRAILER_ENTRY_LEN) as u64;
    check_range(WHAT, "number of entries", count, 1, TRAILER_PAGE_ENTRIES as u64)?;
    let entries =
        payload.chunks(TRAILER_ENTRY_LEN).map(TrailerEntry::decode).collect::<Result<Vec<_>, _>>()?;
    if entries.is_sorted_by(|before, after| before.block < after.block) {
        Ok(entries)
    } else {
        Err(not_ascending())
    }
}

/// Offset and stored length of trailer page `page` of a pack with `frames` frames; length 0 past the last page.
#[must_use]
pub fn trailer_page_range(trailer_offset: u64, frames: u32, page: u32) -> (u64, u64) {
    let offset = trailer_offset.saturating_add(u64::from(page) * PAGE_BYTES);
    let before = page.saturating_mul(TRAILER_PAGE_ENTRIES as u32);
    match frames.saturating_sub(before).min(TRAILER_PAGE_ENTRIES as u32) {
        0 => (offset, 0),
        entries => (offset, u64::from(entries) * TRAILER_ENTRY_LEN as u64 + TAG_LEN as u64),
    }
}

fn not_ascending() -> FormatError {
    FormatError::NotCanonical { what: WHAT, detail: "block indexes do not ascend" }
}
