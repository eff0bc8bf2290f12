//! Packs: headers, frames and trailers come back, and only at their place.

use coffer_format::{
    BlockSize, Codec, FOOTER_LEN, FRAME_OVERHEAD, Footer, FormatError, FrameHeader, FrameOpener, FrameSealer,
    PACK_BLOCKS_MAX, PackHeader, PackKey, SealedFrame, Suite, TRAILER_PAGE_ENTRIES, TrailerBuilder,
    TrailerEntry, decode_trailer_page, trailer_page_range,
};
use proptest::prelude::*;

use crate::samples::{self, SUITES};

fn arbitrary_codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::Raw), Just(Codec::Lz4), Just(Codec::Zstd)]
}

proptest! {
    #[test]
    fn headers_come_back(exponent in 14..=20_u32, number in 0..1_u32 << 24, bytes in any::<[u8; 32]>()) {
        for suite in SUITES {
            let sample = samples::pack_header(suite, 0);
            let block_size = BlockSize::new(1 << exponent).unwrap();
            let context = coffer_format::ObjectContext::from_bytes(bytes);
            let header = PackHeader { block_size, number, context, ..sample };
            prop_assert_eq!(PackHeader::decode(&header.encode()).unwrap(), header);
        }
    }

    #[test]
    fn frames_come_back_by_either_way(blocks in prop::collection::vec((arbitrary_codec(), prop::collection::vec(any::<u8>(), 1..300)), 1..20)) {
        for suite in SUITES {
            frames_come_back(suite, &blocks);
        }
    }

    #[test]
    fn trailers_come_back(first in 0..1_000_u32, steps in prop::collection::vec((1..9_u32, 1..70_000_u32, any::<[u8; 16]>()), 0..2_500)) {
        trailer_comes_back(Suite::Aes256Gcm, first, &steps);
    }
}

fn frames_come_back(suite: Suite, blocks: &[(Codec, Vec<u8>)]) {
    let context = samples::pack_context(0);
    let opener = FrameOpener::new(suite, &samples::fresh_key(suite, 0), &context);
    let mut in_place = FrameSealer::new(suite, samples::fresh_key(suite, 0), &context).unwrap();
    let mut from = FrameSealer::new(suite, samples::fresh_key(suite, 0), &context).unwrap();
    for (ordinal, (codec, stored)) in blocks.iter().enumerate() {
        let ordinal = u32::try_from(ordinal).unwrap();
        let mut frame = vec![0; stored.len() + FRAME_OVERHEAD];
        frame[8..8 + stored.len()].copy_from_slice(stored);
        let sealed = in_place.seal_in_place(*codec, &mut frame).unwrap();
        let mut second = vec![0; frame.len()];
        assert_eq!(from.seal_from(*codec, stored, &mut second).unwrap(), sealed);
        assert_eq!(second, frame, "both ways write the same bytes");
        assert_eq!(sealed.ordinal, ordinal);
        assert_eq!(sealed.tag.as_slice(), &frame[frame.len() - 16..]);
        let header = opener.peek(&frame).unwrap();
        assert_eq!((header.ordinal, header.codec, header.frame_len()), (ordinal, *codec, frame.len()));
        assert_eq!(header.word(), sealed.word);
        let mut out = vec![0; stored.len()];
        let opened = opener.open_into(ordinal, &frame, &mut out).unwrap();
        assert_eq!(opened, (*codec, stored.len()));
        assert_eq!(&out, stored);
        let (codec2, plain) = opener.open_in_place(ordinal, &mut frame).unwrap();
        assert_eq!((codec2, &*plain), (*codec, stored.as_slice()));
        let wrong = opener.open_in_place(ordinal + 1, &mut second);
        assert!(matches!(wrong, Err(FormatError::Ordinal { .. })));
    }
}

fn entry(block: u32, stored_len: u32, tag: [u8; 16]) -> TrailerEntry {
    let frame = SealedFrame { ordinal: 0, word: 1 << 24 | stored_len, tag };
    TrailerEntry::new(block, [tag[0]; 32], &frame)
}

fn trailer_comes_back(suite: Suite, first: u32, steps: &[(u32, u32, [u8; 16])]) {
    let (cipher, header) = (samples::pack_cipher(suite, 0), samples::pack_header(suite, 0).encode());
    let mut builder = TrailerBuilder::new();
    let mut entries = Vec::new();
    let mut block = first;
    let mut offset = 192;
    for (step, stored_len, tag) in steps {
        entries.push(entry(block, *stored_len, *tag));
        builder.push(*entries.last().unwrap()).unwrap();
        offset += u64::from(entries.last().unwrap().frame_len());
        block += step;
    }
    let expected_len = builder.encoded_len();
    let trailer = match builder.finish(&cipher, &header, offset) {
        Ok(trailer) => trailer,
        Err(error) => return assert!(entries.is_empty() || offset > 129 << 20, "{error}"),
    };
    assert_eq!(trailer.bytes.len() as u64, expected_len);
    let object_len = offset + expected_len;
    let footer_at = trailer.bytes.len() - FOOTER_LEN;
    let footer = Footer::decode(&cipher, object_len, &header, &trailer.bytes[footer_at..]).unwrap();
    assert_eq!((footer.frames as usize, footer.trailer_offset), (entries.len(), offset));
    assert_eq!(footer.pages() as usize, trailer.page_digests.len());
    let mut read = Vec::new();
    for page in 0..footer.pages() {
        let (at, len) = trailer_page_range(offset, footer.frames, page);
        let start = usize::try_from(at - offset).unwrap();
        let stored = &trailer.bytes[start..start + usize::try_from(len).unwrap()];
        assert_eq!(coffer_format::Digest::of(stored), trailer.page_digests[page as usize]);
        read.extend(decode_trailer_page(&cipher, at, stored).unwrap());
    }
    assert_eq!(read, entries);
    assert_eq!(trailer_page_range(offset, footer.frames, footer.pages()).1, 0);
}

#[test]
fn a_full_page_and_one_entry_more_come_back() {
    let page = TRAILER_PAGE_ENTRIES;
    for count in [1, page - 1, page, page + 1, 2 * page] {
        for suite in SUITES {
            trailer_comes_back(suite, 5, &vec![(1, 100, [3; 16]); count]);
        }
    }
}

#[test]
fn a_trailer_refuses_what_it_could_not_read() {
    let mut builder = TrailerBuilder::new();
    builder.push(entry(5, 1, [0; 16])).unwrap();
    assert!(builder.push(entry(5, 1, [0; 16])).is_err(), "the same block");
    assert!(builder.push(entry(4, 1, [0; 16])).is_err(), "an earlier block");
    assert!(builder.push(entry(6, 0, [0; 16])).is_err(), "nothing stored");
    assert!(
        builder.push(TrailerEntry { word: 3 << 24 | 1, ..entry(6, 1, [0; 16]) }).is_err(),
        "unknown codec"
    );
    let (cipher, header) =
        (samples::pack_cipher(Suite::None, 0), samples::pack_header(Suite::None, 0).encode());
    assert!(builder.finish(&cipher, &header, 192).is_err(), "frames of no length");
    assert!(TrailerBuilder::new().finish(&cipher, &header, 192).is_err(), "no frames");
    let mut full = TrailerBuilder::new();
    for block in 0..PACK_BLOCKS_MAX {
        full.push(entry(block, 1, [0; 16])).unwrap();
    }
    assert!(full.push(entry(PACK_BLOCKS_MAX, 1, [0; 16])).is_err(), "one block too many");
}

#[test]
fn a_whole_pack_reads_from_its_parts() {
    for suite in SUITES {
        let pack = samples::pack(suite, 1);
        let (cipher, header) = (samples::pack_cipher(suite, 1), samples::pack_header(suite, 1).encode());
        let len = pack.bytes.len();
        let footer = Footer::decode(&cipher, len as u64, &header, &pack.bytes[len - FOOTER_LEN..]).unwrap();
        let (at, page_len) = trailer_page_range(footer.trailer_offset, footer.frames, 0);
        let at = usize::try_from(at).unwrap();
        let page = &pack.bytes[at..at + usize::try_from(page_len).unwrap()];
        let entries = decode_trailer_page(&cipher, footer.trailer_offset, page).unwrap();
        let key: PackKey = samples::fresh_key(suite, 1).into();
        let opener = FrameOpener::new(suite, &key, &samples::pack_context(1));
        for (ordinal, ((offset, frame_len), (block, codec, stored))) in
            pack.frames.iter().zip(samples::blocks()).enumerate()
        {
            let start = usize::try_from(*offset).unwrap();
            let mut frame = pack.bytes[start..start + frame_len].to_vec();
            assert_eq!(entries[ordinal].block, block);
            assert_eq!(entries[ordinal].frame_len() as usize, *frame_len);
            assert_eq!(entries[ordinal].tag.as_slice(), &frame[frame_len - 16..]);
            let (opened, plain) = opener.open_in_place(u32::try_from(ordinal).unwrap(), &mut frame).unwrap();
            assert_eq!((opened, plain.to_vec()), (codec, stored));
        }
    }
}

#[test]
fn frames_of_impossible_lengths_are_refused() {
    let context = samples::pack_context(0);
    let mut sealer =
        FrameSealer::new(Suite::Aes256Gcm, samples::fresh_key(Suite::Aes256Gcm, 0), &context).unwrap();
    for len in [0, 7, 8, 24, FRAME_OVERHEAD + (1 << 20) + 1] {
        assert!(sealer.seal_in_place(Codec::Raw, &mut vec![0; len]).is_err(), "{len}");
    }
    assert!(sealer.seal_from(Codec::Raw, b"abc", &mut [0; 26]).is_err(), "no room for the frame");
    assert!(sealer.seal_from(Codec::Raw, b"", &mut [0; 24]).is_err(), "nothing to store");
    assert_eq!(sealer.frames(), 0);
    assert!(FrameHeader::decode(&[0, 0, 0, 0, 1, 0, 0]).is_err());
    assert!(FrameHeader::decode(&[0, 0, 0, 0, 0, 0, 0, 0]).is_err(), "nothing stored");
    assert!(FrameHeader::decode(&[0, 128, 0, 0, 1, 0, 0, 0]).is_err(), "ordinal 32,768");
    assert!(FrameHeader::decode(&[0, 0, 0, 0, 1, 0, 0, 3]).is_err(), "codec 3");
    assert!(FrameHeader::decode(&[0, 0, 0, 0, 1, 0, 16, 0]).is_err(), "1 MiB and a byte");
}
