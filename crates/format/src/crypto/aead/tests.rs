//! Holds sealing to a second implementation of AES-256-GCM, and its forms to each other.

use aws_lc_rs::aead as other;
use proptest::prelude::*;

use super::*;

/// Ciphertext and tag by aws-lc.
fn seal_by_aws_lc(key: [u8; 32], nonce: [u8; NONCE_LEN], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let key = other::LessSafeKey::new(other::UnboundKey::new(&other::AES_256_GCM, &key).unwrap());
    let mut bytes = plain.to_vec();
    let nonce = other::Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, other::Aad::from(aad), &mut bytes).unwrap();
    bytes
}

fn check(suite: Suite, key: [u8; 32], nonce: [u8; NONCE_LEN], aad: &[u8], plain: &[u8]) {
    let aead = Aead::new(suite, &Secret32::new(key));
    let mut sealed = plain.to_vec();
    let tag = aead.seal(nonce, aad, &mut sealed);
    match suite {
        Suite::Aes256Gcm => assert_eq!([&sealed[..], &tag].concat(), seal_by_aws_lc(key, nonce, aad, plain)),
        Suite::None => assert_eq!(sealed, plain),
    }
    let mut into = vec![0xaa; plain.len()];
    assert_eq!(aead.seal_into(nonce, aad, plain, &mut into), tag);
    assert_eq!(into, sealed);

    let mut opened = vec![0xaa; plain.len()];
    aead.open_into(nonce, aad, &sealed, &tag, &mut opened).unwrap();
    assert_eq!(opened, plain);
    aead.open(nonce, aad, &mut opened.clone(), &[tag[0] ^ 1; TAG_LEN]).unwrap_err();
    let mut other_aad = aad.to_vec();
    other_aad.push(0);
    aead.open_into(nonce, &other_aad, &sealed, &tag, &mut opened).unwrap_err();
    if let Some(first) = sealed.first_mut() {
        *first ^= 0x80;
        aead.open(nonce, aad, &mut sealed, &tag).unwrap_err();
    }
}

proptest! {
    #[test]
    fn both_libraries_seal_alike_and_only_what_was_sealed_opens(
        key: [u8; 32],
        nonce: [u8; NONCE_LEN],
        aad in prop::collection::vec(any::<u8>(), 0..100),
        plain in prop::collection::vec(any::<u8>(), 0..5_000),
    ) {
        check(Suite::Aes256Gcm, key, nonce, &aad, &plain);
        check(Suite::None, key, nonce, &aad, &plain);
    }
}
