//! Compression of blocks. A block that does not shrink by a sixteenth is stored raw, so that no frame is more than a
//! 64th larger than its block. Decompression takes untrusted bytes: it fills exactly the buffer it is given or fails.

use std::cell::RefCell;
use std::fmt;

use crate::FormatError;
mod effort;

pub use effort::Effort;

mod lz4;

/// How a stored block is compressed. The number is the one stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    Raw = 0,
    /// LZ4 block format.
    Lz4 = 1,
    /// One zstd frame.
    Zstd = 2,
}

impl Codec {
    pub(crate) fn decode(what: &'static str, number: u32) -> Result<Self, FormatError> {
        match number {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Lz4),
            2 => Ok(Self::Zstd),
            _ => Err(FormatError::Unknown { what, field: "codec", found: number.into() }),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Lz4 => "LZ4",
            Self::Zstd => "zstd",
        }
    }
}

/// What a writer compresses with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Blocks are stored raw.
    None,
    /// LZ4.
    Lz4,
    /// zstd at this level.
    Zstd(i32),
}

/// Compresses blocks, with tables that are reused: one per thread.
pub struct Compressor(Tables);

enum Tables {
    None,
    Lz4(lz4::Encoder),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    /// A compressor. An error when zstd knows no such level.
    pub fn new(compression: Compression) -> Result<Self, FormatError> {
        Ok(Self(match compression {
            Compression::None => Tables::None,
            Compression::Lz4 => Tables::Lz4(lz4::Encoder::new()),
            Compression::Zstd(level) => Tables::Zstd(zstd_compressor(level)?),
        }))
    }

    /// Compresses `block` into the start of `out`, at least `compress_bound(block.len())` bytes long; returns codec and
    /// length. `None`: store it raw, since compression gains less than a sixteenth. `out` is then not to be used.
    #[inline]
    pub fn compress(&mut self, effort: Effort, block: &[u8], out: &mut [u8]) -> Option<(Codec, usize)> {
        let (codec, len) = match &mut self.0 {
            Tables::None => return None,
            Tables::Lz4(encoder) => (Codec::Lz4, encoder.compress(effort, block, out)?),
            Tables::Zstd(zstd) => (Codec::Zstd, zstd.compress_to_buffer(block, out).ok()?),
        };
        (len < block.len() - block.len() / 16).then_some((codec, len))
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Tables::None => "Compressor(None)",
            Tables::Lz4(_) => "Compressor(Lz4)",
            Tables::Zstd(_) => "Compressor(Zstd)",
        })
    }
}

fn zstd_compressor(level: i32) -> Result<zstd::bulk::Compressor<'static>, FormatError> {
    let range = zstd::compression_level_range();
    let unknown = || FormatError::Unknown {
        what: "compression",
        field: "zstd level",
        found: u64::from(level.unsigned_abs()),
    };
    if !range.contains(&level) {
        return Err(unknown());
    }
    zstd::bulk::Compressor::new(level).map_err(|_| unknown())
}

/// Bytes of output buffer that `Compressor::compress` wants for a block of `len` bytes.
#[must_use]
pub fn compress_bound(len: usize) -> usize {
    lz4::compress_bound(len).max(zstd::zstd_safe::compress_bound(len))
}

thread_local! {
    /// zstd's decompression tables are 150 KiB: one per thread that meets a zstd block.
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Decompresses `stored` into `out`, whose length is the block's plain length. On an error `out` is not to be used.
pub fn decompress(codec: Codec, stored: &[u8], out: &mut [u8]) -> Result<(), FormatError> {
    let expected = out.len();
    let len = match codec {
        Codec::Raw => copy(stored, out),
        _ if stored.len() >= expected => None,
        Codec::Lz4 => lz4::decompress(stored, out),
        Codec::Zstd => decompress_zstd(stored, out),
    };
    if len == Some(expected) {
        Ok(())
    } else {
        Err(FormatError::Decompress { codec: codec.name(), expected })
    }
}

/// As [`decompress`], where only the most that the block can have is known: returns the length of the block, which
/// stands at the start of `out`.
pub fn decompress_within(codec: Codec, stored: &[u8], out: &mut [u8]) -> Result<usize, FormatError> {
    let expected = out.len();
    let len = match codec {
        Codec::Raw => out.get_mut(..stored.len()).and_then(|out| copy(stored, out)),
        Codec::Lz4 => lz4::decompress(stored, out),
        Codec::Zstd => decompress_zstd(stored, out),
    };
    len.filter(|len| *len > 0).ok_or(FormatError::Decompress { codec: codec.name(), expected })
}

fn copy(stored: &[u8], out: &mut [u8]) -> Option<usize> {
    if stored.len() != out.len() {
        return None;
    }
    out.copy_from_slice(stored);
    Some(out.len())
}

fn decompress_zstd(stored: &[u8], out: &mut [u8]) -> Option<usize> {
    ZSTD.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        slot.as_mut()?.decompress_to_buffer(stored, out).ok()
    })
}

/// Whether all bytes are zero.
#[inline]
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    const WORDS: usize = 16;
    const STEP: usize = WORDS * 8;
    let (steps, rest) = bytes.as_chunks::<STEP>();
    steps.iter().all(step_is_zero) && rest.iter().all(|byte| *byte == 0)
}

#[inline]
fn step_is_zero(step: &[u8; 128]) -> bool {
    let (words, _) = step.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum | u64::from_le_bytes(*word)) == 0
}
