//! Compression: every block comes back, nothing else does.

use coffer_format::{
    BlockSize, Codec, Compression, Compressor, Effort, FRAME_HEADER_LEN, FRAME_OVERHEAD, FormatError,
    FrameHeader, FrameSealer, PackKey, Suite, TRAILER_ENTRY_LEN, compress_bound, decompress, is_zero,
};
use proptest::prelude::*;

use crate::samples;

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
    for effort in [Effort::Full, Effort::Quick, Effort::Full] {
        let Some((codec, len)) = compressor.compress(effort, block, &mut out) else { continue };
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
        let (_, len) = compressor.compress(Effort::Full, &text, &mut out).unwrap();
        assert!(len < text.len() / 50);
        assert_eq!(compressor.compress(Effort::Full, &noise, &mut out), None);
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

/// The frame of a block as a pack writer makes it: compressed where that is accepted, raw where not.
fn frame_of(compression: Compression, block: &[u8]) -> Vec<u8> {
    let mut room = vec![0; compress_bound(block.len()).max(block.len()) + FRAME_OVERHEAD];
    let mut compressor = Compressor::new(compression).unwrap();
    let compressed = compressor.compress(Effort::Full, block, &mut room[FRAME_HEADER_LEN..]);
    let context = samples::pack_context(0);
    let mut sealer = FrameSealer::new(Suite::Aes256Gcm, PackKey::from_entropy([1; 32]), &context).unwrap();
    match compressed {
        Some((codec, len)) => {
            room.truncate(len + FRAME_OVERHEAD);
            sealer.seal_in_place(codec, &mut room).unwrap();
        }
        None => {
            room.truncate(block.len() + FRAME_OVERHEAD);
            sealer.seal_from(Codec::Raw, block, &mut room).unwrap();
        }
    }
    room
}

/// Noise, text, and noise of which a growing share is zero, past the point from which compression is accepted.
#[test]
fn no_block_of_any_size_grows_by_more_than_a_64th_trailer_included() {
    for bytes in [16_u32, 32, 64, 128, 256, 512, 1024].map(|kib| kib << 10) {
        let len = BlockSize::new(bytes).unwrap().bytes() as usize;
        let mut blocks = vec![b"the quick brown fox ".repeat(len / 20 + 1)[..len].to_vec()];
        for zeroes in (0..12).map(|percent| len * percent / 100) {
            let mut block = noise_of(len);
            block[..zeroes].fill(0);
            blocks.push(block);
        }
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd(1), Compression::Zstd(19)]
        {
            for block in &blocks {
                let frame = frame_of(compression, block);
                assert_eq!(FrameHeader::decode(&frame).unwrap().frame_len(), frame.len());
                assert!(frame.len() + TRAILER_ENTRY_LEN <= len + len / 64, "{compression:?}, {len}");
            }
        }
    }
    // A volume's last block may be short: what is added to it is the same.
    for len in [1, 511, 512, 16_383] {
        assert!(frame_of(Compression::Lz4, &noise_of(len)).len() <= len + FRAME_OVERHEAD);
    }
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
