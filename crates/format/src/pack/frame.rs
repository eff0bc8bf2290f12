//! Frames: one sealed block each. The sealer owns the ordinal, which is the nonce: it only counts up and nothing sets
//! it. A frame opens only at its place in its pack.

use super::{FRAME_HEADER_LEN, FRAME_OVERHEAD, PACK_BLOCKS_MAX, TAG_LEN, decode_word, encode_word};
use crate::block::BLOCK_SIZE_MAX;
use crate::crypto::Aead;
use crate::error::{check, check_range};
use crate::{Codec, FormatError, FreshPackKey, ObjectContext, PackKey, Suite};

const WHAT: &str = "frame";
const AAD_LEN: usize = 32 + FRAME_HEADER_LEN;

/// What a frame's first 8 bytes say. Untrusted until the frame has been opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Index of the block among those of its pack.
    pub ordinal: u32,
    /// How the block is compressed.
    pub codec: Codec,
    /// Bytes of the stored block.
    pub stored_len: u32,
}

impl FrameHeader {
    /// The header at the start of `bytes`, which may go on.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = crate::cursor::Cursor::new(WHAT, bytes);
        let ordinal = cursor.u32()?;
        check_range(WHAT, "ordinal", ordinal.into(), 0, u64::from(PACK_BLOCKS_MAX) - 1)?;
        let (codec, stored_len) = decode_word(WHAT, cursor.u32()?)?;
        Ok(Self { ordinal, codec, stored_len })
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        FRAME_OVERHEAD + self.stored_len as usize
    }

    /// Codec and stored length as the trailer keeps them.
    #[must_use]
    pub const fn word(&self) -> u32 {
        encode_word(self.codec, self.stored_len)
    }

    fn encode(&self) -> [u8; FRAME_HEADER_LEN] {
        let mut bytes = [0; FRAME_HEADER_LEN];
        let (ordinal, word) = bytes.split_at_mut(4);
        ordinal.copy_from_slice(&self.ordinal.to_le_bytes());
        word.copy_from_slice(&self.word().to_le_bytes());
        bytes
    }
}

/// What the trailer keeps of a sealed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedFrame {
    /// Index of the block among those of its pack.
    pub ordinal: u32,
    /// Codec and stored length, as in the frame's header.
    pub word: u32,
    /// The frame's tag.
    pub tag: [u8; TAG_LEN],
}

/// Seals the frames of one encoding of one pack, in order. It cannot be cloned and its counter cannot be set.
///
/// ```compile_fail,E0599
/// # use coffer_format::{FrameSealer, ObjectContext, PackKey, RepositoryId, Suite};
/// # let context = ObjectContext::new(&RepositoryId::from_bytes([0; 16]), "");
/// let sealer = FrameSealer::new(Suite::Aes256Gcm, PackKey::from_entropy([7; 32]), &context).expect("the suites match");
/// let second = sealer.clone();
/// ```
#[derive(Debug)]
pub struct FrameSealer {
    aead: Aead,
    context: ObjectContext,
    ordinal_next: u32,
}

impl FrameSealer {
    /// The sealer of the pack that `context` names. An error when the key was made for another suite.
    pub fn new(suite: Suite, key: FreshPackKey, context: &ObjectContext) -> Result<Self, FormatError> {
        check(key.suite() == suite, "pack key", "made for another suite")?;
        Ok(Self { aead: Aead::new(suite, key.secret()), context: *context, ordinal_next: 0 })
    }

    /// Number of frames sealed so far: the ordinal of the next one.
    #[must_use]
    pub const fn frames(&self) -> u32 {
        self.ordinal_next
    }

    /// Seals the block whose stored bytes stand in `frame` from byte 8 on; `frame` is exactly 8 bytes, those, and 16
    /// bytes for the tag.
    #[inline]
    pub fn seal_in_place(&mut self, codec: Codec, frame: &mut [u8]) -> Result<SealedFrame, FormatError> {
        let stored_len = frame.len().saturating_sub(FRAME_OVERHEAD);
        let header = self.next_header(codec, stored_len)?;
        let (head, payload, tail) = split(frame).ok_or_else(|| length(stored_len, frame_len(stored_len)))?;
        let bytes = header.encode();
        *head = bytes;
        *tail = self.aead.seal(nonce(header.ordinal), &aad(&self.context, &bytes), payload);
        Ok(SealedFrame { ordinal: header.ordinal, word: header.word(), tag: *tail })
    }

    /// Seals `stored`, the stored bytes of a block, into `frame`, which is exactly 24 bytes longer, without another
    /// copy.
    #[inline]
    pub fn seal_from(
        &mut self,
        codec: Codec,
        stored: &[u8],
        frame: &mut [u8],
    ) -> Result<SealedFrame, FormatError> {
        let actual = frame.len();
        let expected = frame_len(stored.len());
        let wrong = || FormatError::Length { what: WHAT, expected, actual };
        if actual != expected {
            return Err(wrong());
        }
        let header = self.next_header(codec, stored.len())?;
        let (head, payload, tail) = split(frame).ok_or_else(wrong)?;
        let bytes = header.encode();
        *head = bytes;
        *tail = self.aead.seal_into(nonce(header.ordinal), &aad(&self.context, &bytes), stored, payload);
        Ok(SealedFrame { ordinal: header.ordinal, word: header.word(), tag: *tail })
    }

    /// Takes the next ordinal: whatever happens after this, it is used up.
    fn next_header(&mut self, codec: Codec, stored_len: usize) -> Result<FrameHeader, FormatError> {
        let len = u32::try_from(stored_len).unwrap_or(u32::MAX);
        check_range(WHAT, "stored length", len.into(), 1, BLOCK_SIZE_MAX.into())?;
        let ordinal = self.ordinal_next;
        check_range(WHAT, "ordinal", ordinal.into(), 0, u64::from(PACK_BLOCKS_MAX) - 1)?;
        self.ordinal_next += 1;
        Ok(FrameHeader { ordinal, codec, stored_len: len })
    }
}

/// Opens the frames of one pack, in any order, from any thread.
#[derive(Debug)]
pub struct FrameOpener {
    aead: Aead,
    context: ObjectContext,
}

impl FrameOpener {
    /// The opener of the pack that `context` names.
    #[must_use]
    pub fn new(suite: Suite, key: &PackKey, context: &ObjectContext) -> Self {
        Self { aead: Aead::new(suite, key.secret()), context: *context }
    }

    /// What the frame at the start of `bytes` says it is, before it is opened.
    pub fn peek(&self, bytes: &[u8]) -> Result<FrameHeader, FormatError> {
        FrameHeader::decode(bytes)
    }

    /// Opens the whole frame `frame` where it is; returns the codec and the stored bytes. On an error the bytes are not
    /// to be used.
    #[inline]
    pub fn open_in_place<'f>(
        &self,
        expected_ordinal: u32,
        frame: &'f mut [u8],
    ) -> Result<(Codec, &'f mut [u8]), FormatError> {
        let header = expect(expected_ordinal, frame)?;
        let (head, payload, tag) = split(frame).ok_or_else(|| length(0, header.frame_len()))?;
        self.aead
            .open(nonce(header.ordinal), &aad(&self.context, head), payload, tag)
            .map_err(|_| mismatch(header.ordinal))?;
        Ok((header.codec, payload))
    }

    /// Opens the whole frame `frame` into the start of `out`, which must be at least as long as the stored bytes;
    /// returns the codec and the stored length. On an error `out` is not to be used.
    #[inline]
    pub fn open_into(
        &self,
        expected_ordinal: u32,
        frame: &[u8],
        out: &mut [u8],
    ) -> Result<(Codec, usize), FormatError> {
        let header = expect(expected_ordinal, frame)?;
        let stored_len = header.stored_len as usize;
        let actual = out.len();
        let (Some((head, rest)), Some(out)) = (frame.split_first_chunk(), out.get_mut(..stored_len)) else {
            return Err(FormatError::Length { what: "frame's output buffer", expected: stored_len, actual });
        };
        let (payload, tag) = rest.split_last_chunk().ok_or_else(|| length(0, header.frame_len()))?;
        self.aead
            .open_into(nonce(header.ordinal), &aad(&self.context, head), payload, tag, out)
            .map_err(|_| mismatch(header.ordinal))?;
        Ok((header.codec, stored_len))
    }
}

/// The header of `frame` if it is the one expected and `frame` has exactly its length.
fn expect(expected: u32, frame: &[u8]) -> Result<FrameHeader, FormatError> {
    let header = FrameHeader::decode(frame)?;
    if header.ordinal != expected {
        return Err(FormatError::Ordinal { expected, found: header.ordinal });
    }
    if frame.len() == header.frame_len() { Ok(header) } else { Err(length(frame.len(), header.frame_len())) }
}

type Parts<'f> = (&'f mut [u8; FRAME_HEADER_LEN], &'f mut [u8], &'f mut [u8; TAG_LEN]);

fn split(frame: &mut [u8]) -> Option<Parts<'_>> {
    let (head, rest) = frame.split_first_chunk_mut()?;
    let (payload, tag) = rest.split_last_chunk_mut()?;
    Some((head, payload, tag))
}

const fn frame_len(stored_len: usize) -> usize {
    stored_len.saturating_add(FRAME_OVERHEAD)
}

fn length(actual: usize, expected: usize) -> FormatError {
    FormatError::Length { what: WHAT, expected, actual }
}

fn mismatch(ordinal: u32) -> FormatError {
    FormatError::Authentication { what: WHAT, position: ordinal.into() }
}

fn nonce(ordinal: u32) -> [u8; 12] {
    let [a, b, c, d] = ordinal.to_le_bytes();
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]
}

fn aad(context: &ObjectContext, header: &[u8; FRAME_HEADER_LEN]) -> [u8; AAD_LEN] {
    let mut aad = [0; AAD_LEN];
    let (head, tail) = aad.split_at_mut(32);
    head.copy_from_slice(context.as_bytes());
    tail.copy_from_slice(header);
    aad
}
