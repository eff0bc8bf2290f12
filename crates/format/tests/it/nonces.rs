//! No nonce is used twice: the sealer counts, the metadata cipher only goes forward. That a sealer or a key cannot be
//! cloned or used twice is shown by `compile_fail` examples in the crate's documentation.

use std::collections::HashSet;

use coffer_format::{Codec, FormatError, FrameSealer, PACK_BLOCKS_MAX, PackKey, PageKind, Suite};

use crate::samples;

#[test]
fn a_sealer_counts_up_and_ends_with_the_pack() {
    let context = samples::pack_context(0);
    let mut sealer = FrameSealer::new(Suite::Aes256Gcm, PackKey::from_entropy([1; 32]), &context).unwrap();
    let mut tags = HashSet::new();
    let mut frame = [0; 25];
    for expected in 0..PACK_BLOCKS_MAX {
        let sealed = sealer.seal_from(Codec::Raw, b"x", &mut frame).unwrap();
        assert_eq!(sealed.ordinal, expected);
        assert!(tags.insert(sealed.tag), "one block under one key twice gives two tags");
    }
    let error = sealer.seal_from(Codec::Raw, b"x", &mut frame);
    assert!(matches!(error, Err(FormatError::Range { field: "ordinal", .. })));
}

#[test]
fn a_pack_key_of_suite_0_does_not_encrypt() {
    let context = samples::pack_context(0);
    assert!(FrameSealer::new(Suite::Aes256Gcm, PackKey::unencrypted(&context), &context).is_err());
    assert!(FrameSealer::new(Suite::None, PackKey::from_entropy([1; 32]), &context).is_err());
}

#[test]
#[should_panic(expected = "two pages sealed at one offset")]
fn a_metadata_cipher_does_not_seal_at_one_offset_twice() {
    let cipher = samples::map_cipher(Suite::Aes256Gcm);
    let _ = cipher.seal_page(PageKind::Leaf, 64, b"one");
    let _ = cipher.seal_page(PageKind::Node, 64, b"two");
}

#[test]
#[should_panic(expected = "two pages sealed at one offset")]
fn a_metadata_cipher_does_not_go_back_into_a_page() {
    let cipher = samples::map_cipher(Suite::Aes256Gcm);
    let page = cipher.seal_page(PageKind::Leaf, 64, b"one");
    let _ = cipher.seal_page(PageKind::Leaf, 64 + page.len() as u64 - 1, b"two");
}

#[test]
fn equal_pages_at_two_offsets_differ_entirely() {
    let cipher = samples::map_cipher(Suite::Aes256Gcm);
    let first = cipher.seal_page(PageKind::Leaf, 64, &[0; 64]);
    let second = cipher.seal_page(PageKind::Leaf, 64 + first.len() as u64, &[0; 64]);
    let equal = first.iter().zip(&second).filter(|(a, b)| a == b).count();
    assert!(equal < 8, "{equal} of 80 bytes are equal");
}
