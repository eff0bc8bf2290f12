//! Compression: every block comes back, nothing else does.

use coffer_format::{Codec, Compression, Compressor, FormatError, compress_bound, decompress, is_zero};
use proptest::prelude::*;

/// Blocks that compress, blocks that do not, and everything between.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 1..5_000);
    let runs = prop::collection::vec((any::<u8>(), 1..400_usize), 1..40)
        .prop_map(|runs| runs.into_iter().flat_map(|(byte, len)| vec![byte; len]).collect());
    let text = prop::collection::vec(0..4_u8, 1..20_000);
    prop_oneof![noise, runs, text]
}

fn check(compression: Compression, block: &[u8]) {
    let mut compressor = Compressor::new(compression).unwrap();
    let mut out = vec![0; compress_bound(block.len())];
    for _ in 0..2 {
        let Some((codec, len)) = compressor.compress(block, &mut out) else { continue };
        assert!(len < block.len(), "compressed blocks are shorter");
        let stored = out.get(..len).unwrap();
        let mut plain = vec![0xaa; block.len()];
        decompress(codec, stored, &mut plain).unwrap();
        assert_eq!(plain, block);
        for wrong in [block.len() - 1, block.len() + 1] {
            assert!(decompress(codec, stored, &mut vec![0; wrong]).is_err(), "another plain length");
        }
        assert!(decompress(codec, stored.split_last().unwrap().1, &mut plain).is_err(), "truncated");
    }
}

proptest! {
    #[test]
    fn blocks_come_back(block in block()) {
        for compression in [Compression::Lz4, Compression::Zstd(3), Compression::Zstd(-5), Compression::None] {
            check(compression, &block);
        }
    }

    #[test]
    fn zero_is_found_and_nothing_else_is(len in 0..70_000_usize, at in any::<prop::sample::Index>(), byte in 1..=255_u8) {
        let mut block = vec![0; len];
        prop_assert!(is_zero(&block));
        if len > 0 {
            block[at.index(len)] = byte;
            prop_assert!(!is_zero(&block));
        }
    }
}

#[test]
fn a_block_of_text_shrinks_and_noise_is_stored_raw() {
    let text = b"the quick brown fox ".repeat(3_000);
    let noise = noise_of(65_536);
    for compression in [Compression::Lz4, Compression::Zstd(1)] {
        let mut compressor = Compressor::new(compression).unwrap();
        let mut out = vec![0; compress_bound(65_536)];
        let (_, len) = compressor.compress(&text, &mut out).unwrap();
        assert!(len < text.len() / 50);
        assert_eq!(compressor.compress(&noise, &mut out), None);
    }
}

/// Bytes that no codec shrinks, without a random source: the little-endian squares of a weak generator's states.
fn noise_of(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(len);
    out
}

#[test]
fn raw_has_exactly_the_plain_length_and_codecs_must_shrink() {
    let mut out = [0; 4];
    decompress(Codec::Raw, b"abcd", &mut out).unwrap();
    assert_eq!(&out, b"abcd");
    for wrong in [&b"abc"[..], b"abcde", b""] {
        assert!(matches!(decompress(Codec::Raw, wrong, &mut out), Err(FormatError::Decompress { .. })));
    }
    // A valid LZ4 block of four literals is five bytes: the encoder would have stored it raw.
    assert!(decompress(Codec::Lz4, b"\x40abcd", &mut out).is_err());
    assert!(Compressor::new(Compression::Zstd(1_000)).is_err());
}
