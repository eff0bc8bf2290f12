//! Packs (`docs/format.md` section 4): header, frames, trailer, footer. Nothing here knows where a pack's bytes lie.

mod footer;
mod frame;
mod header;
mod trailer;

pub use footer::Footer;
pub use frame::{FrameHeader, FrameOpener, FrameSealer, SealedFrame};
pub use header::PackHeader;
pub(crate) use header::check_sealed_key;
pub use trailer::{Trailer, TrailerBuilder, TrailerEntry, decode_trailer_page, trailer_page_range};

use crate::FormatError;
use crate::block::BLOCK_SIZE_MAX;
use crate::codec::Codec;
use crate::error::check_range;

/// Bytes of a pack's header.
pub const PACK_HEADER_LEN: usize = 192;
/// Bytes of a frame's header.
pub const FRAME_HEADER_LEN: usize = 8;
/// Bytes of a tag.
pub const TAG_LEN: usize = crate::crypto::AEAD_TAG_LEN;
/// Bytes of a frame beyond the stored bytes of its block.
pub const FRAME_OVERHEAD: usize = FRAME_HEADER_LEN + TAG_LEN;
/// Bytes of a trailer entry.
pub const TRAILER_ENTRY_LEN: usize = 56;
/// Entries of a trailer page but the last.
pub const TRAILER_PAGE_ENTRIES: usize = 1024;
/// Bytes of a pack's footer.
pub const FOOTER_LEN: usize = 64;
/// A pack is closed when its next frame would pass this many bytes.
pub const PACK_BYTES_MAX: u64 = 128 << 20;
/// Most blocks of a pack.
pub const PACK_BLOCKS_MAX: u32 = 32_768;

/// Largest offset at which the frames of a pack can end.
pub(crate) const FRAMES_END_MAX: u64 = PACK_BYTES_MAX + FRAME_LEN_MAX;
/// Bytes of the smallest frame: one stored byte.
pub(crate) const FRAME_LEN_MIN: u64 = FRAME_OVERHEAD as u64 + 1;
/// Bytes of the largest frame: a block of 1 MiB stored raw.
pub(crate) const FRAME_LEN_MAX: u64 = FRAME_OVERHEAD as u64 + BLOCK_SIZE_MAX as u64;

const STORED_LEN_BITS: u32 = 24;
const STORED_LEN_MASK: u32 = (1 << STORED_LEN_BITS) - 1;

/// Codec and stored length as one word: bits 0-23 the length, bits 24-31 the codec.
pub(crate) const fn encode_word(codec: Codec, stored_len: u32) -> u32 {
    (codec as u32) << STORED_LEN_BITS | stored_len
}

/// Codec and stored length of `word`.
pub(crate) fn decode_word(what: &'static str, word: u32) -> Result<(Codec, u32), FormatError> {
    let stored_len = word & STORED_LEN_MASK;
    check_range(what, "stored length", stored_len.into(), 1, BLOCK_SIZE_MAX.into())?;
    Ok((Codec::decode(what, word >> STORED_LEN_BITS)?, stored_len))
}

/// Number of trailer pages of a pack with `frames` frames.
pub(crate) const fn trailer_pages(frames: u32) -> u32 {
    frames.div_ceil(TRAILER_PAGE_ENTRIES as u32)
}

/// Bytes of all trailer pages of a pack with `frames` frames.
pub(crate) fn trailer_len(frames: u32) -> u64 {
    u64::from(frames) * TRAILER_ENTRY_LEN as u64 + u64::from(trailer_pages(frames)) * TAG_LEN as u64
}

/// Checks that a pack's numbers agree: `frames` frames end at `trailer_offset` and `object_len` follows from both.
pub(crate) fn check_layout(
    what: &'static str,
    frames: u32,
    trailer_offset: u64,
    object_len: u64,
) -> Result<(), FormatError> {
    check_range(what, "number of frames", frames.into(), 1, PACK_BLOCKS_MAX.into())?;
    let count = u64::from(frames);
    let first = PACK_HEADER_LEN as u64;
    let last = (first + count * FRAME_LEN_MAX).min(FRAMES_END_MAX);
    check_range(what, "offset of the trailer", trailer_offset, first + count * FRAME_LEN_MIN, last)?;
    let expected = trailer_offset + trailer_len(frames) + FOOTER_LEN as u64;
    check_range(what, "length of the pack", object_len, expected, expected)?;
    Ok(())
}
