//! LZ4 blocks: by the C library, or by `lz4_flex` with the feature `lz4-flex`. Both write the block format, and each reads what the other wrote
//! (docs/rfcs/0005-lz4-libraries.md).

#[cfg(not(feature = "lz4-flex"))]
pub(super) use self::c::{Encoder, compress_bound, decompress};
#[cfg(feature = "lz4-flex")]
pub(super) use self::flex::{Encoder, compress_bound, decompress};

#[cfg(not(feature = "lz4-flex"))]
mod c {
    use lz4::block::CompressionMode;

    use crate::codec::effort::Effort;

    /// The C library's table is 16 KiB on the stack.
    pub(crate) struct Encoder;

    impl Encoder {
        pub(crate) fn new() -> Encoder {
            Encoder
        }

        /// Length of what stands at the start of `out`; `None` if there is no room for it.
        pub(crate) fn compress(&mut self, effort: Effort, block: &[u8], out: &mut [u8]) -> Option<usize> {
            let mode = CompressionMode::FAST(acceleration(effort));
            lz4::block::compress_to_buffer(block, Some(mode), false, out).ok()
        }
    }

    /// LZ4's `acceleration`. Measured on 8 KiB pages of a database with random keys, one core: 0.41 GiB/s and 0.735 of the size
    /// with 1, 0.68 and 0.774 with 4, 0.87 and 0.796 with 6, 1.07 and 0.812 with 8.
    const fn acceleration(effort: Effort) -> i32 {
        match effort {
            Effort::Full => 1,
            Effort::Quick => 6,
        }
    }

    pub(crate) fn compress_bound(len: usize) -> usize {
        // An error: too long for LZ4, which then leaves it as it is.
        lz4::block::compress_bound(len).unwrap_or(len)
    }

    /// Length of the block, which stands at the start of `out`; `None` if `stored` is no LZ4 block or has no room.
    pub(crate) fn decompress(stored: &[u8], out: &mut [u8]) -> Option<usize> {
        let room = i32::try_from(out.len()).ok()?;
        // The library takes the length as an i32, too.
        i32::try_from(stored.len()).ok()?;
        lz4::block::decompress_to_buffer(stored, Some(room), out).ok()
    }
}

#[cfg(feature = "lz4-flex")]
mod flex {
    use lz4_flex::block::{
        CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
    };

    use crate::codec::effort::Effort;

    /// Holds the table of one thread.
    pub(crate) struct Encoder(CompressTable);

    impl Encoder {
        pub(crate) fn new() -> Encoder {
            Encoder(CompressTable::default())
        }

        /// Length of what stands at the start of `out`; `None` if there is no room for it. The library knows one effort only.
        pub(crate) fn compress(&mut self, _effort: Effort, block: &[u8], out: &mut [u8]) -> Option<usize> {
            compress_into_with_table(block, out, &mut self.0).ok()
        }
    }

    pub(crate) fn compress_bound(len: usize) -> usize {
        get_maximum_output_size(len)
    }

    /// Length of the block, which stands at the start of `out`; `None` if `stored` is no LZ4 block or has no room.
    pub(crate) fn decompress(stored: &[u8], out: &mut [u8]) -> Option<usize> {
        decompress_into(stored, out).ok()
    }
}
