//! What the example's repository has no use for: a compressed frame, a tag of suite 0, a table of packs taken over.

use std::fmt::Write as _;

use coffer_format::{
    Codec, Compression, Compressor, Effort, FRAME_OVERHEAD, FrameOpener, FrameSealer, ObjectContext,
    PackInfo, PackKey, Suite, TakenPacksPage, compress_bound, decompress, object_key,
};

use super::{dump, path, repository};

/// The frame of a block of 16 KiB of the letter `a`, as a second one of the example's pack would be.
fn compressed_frame(out: &mut String) {
    let block = [b'a'; 16_384];
    let mut stored = vec![0; compress_bound(block.len())];
    let mut compressor = Compressor::new(Compression::Lz4).unwrap();
    let (codec, len) = compressor.compress(Effort::Full, &block, &mut stored).unwrap();
    stored.truncate(len);
    let mut back = vec![0; block.len()];
    decompress(Codec::Lz4, &stored, &mut back).unwrap();
    assert_eq!((codec, back.as_slice()), (Codec::Lz4, block.as_slice()));
    let context = ObjectContext::new(&repository(), &object_key::pack(&path(), 0));
    let mut frame = vec![0; FRAME_OVERHEAD + len];
    let mut sealer = FrameSealer::new(Suite::Aes256Gcm, PackKey::from_entropy([0x33; 32]), &context).unwrap();
    sealer.seal_from(Codec::Raw, b"abc", &mut [0; FRAME_OVERHEAD + 3]).unwrap();
    sealer.seal_from(codec, &stored, &mut frame).unwrap();
    let _ = writeln!(
        out,
        "a compressed frame: 16,384 times the letter a, LZ4, as frame 1 of the pack above; the LZ4 block:\n"
    );
    dump(out, &stored);
    let _ = writeln!(out, "  frame:\n");
    dump(out, &frame);
}

/// The example's frame in a repository without encryption.
fn frame_of_suite_0(out: &mut String) {
    let context = ObjectContext::new(&repository(), &object_key::pack(&path(), 0));
    let mut frame = [0; FRAME_OVERHEAD + 3];
    let mut sealer = FrameSealer::new(Suite::None, PackKey::unencrypted(&context), &context).unwrap();
    let sealed = sealer.seal_from(Codec::Raw, b"abc", &mut frame).unwrap();
    assert!(frame.ends_with(&sealed.tag));
    let mut copy = frame;
    FrameOpener::new(Suite::None, &PackKey::unencrypted(&context).into(), &context)
        .open_in_place(0, &mut copy)
        .unwrap();
    let _ = writeln!(
        out,
        "frame 0 of the pack above in suite 0; the tag is over nonce, length of the AAD, AAD and abc\n"
    );
    dump(out, &frame);
}

/// The pack above as number 1 of an unfinished run of which nothing else was taken over: `"packs":2,"taken":[[1,1]]`.
fn taken_table(out: &mut String, info: PackInfo) {
    let page = TakenPacksPage(vec![None, Some(info)]).encode(Suite::Aes256Gcm).unwrap();
    let _ = writeln!(
        out,
        "pack table of an incomplete run, packs 0 and 1, of which only pack 1 was reused, payload:\n"
    );
    dump(out, &page);
}

pub(super) fn pieces(out: &mut String, info: PackInfo) {
    compressed_frame(out);
    frame_of_suite_0(out);
    taken_table(out, info);
}
