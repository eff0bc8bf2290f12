//! Holds the sealing of secrets to RFC 9180: by a vector of the RFC, and by a second implementation of the suite.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{agreement, hmac};
use data_encoding::HEXLOWER;
use hpke::aead::AesGcm128;

use super::*;
use crate::RepositoryId;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

#[test]
fn entropy_is_the_key_material_of_rfc_9180_a_1_1() {
    let (private, public) =
        generate_pair(hex("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037"));
    let mut clamped = hex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
    (clamped[0], clamped[31]) = (clamped[0] & 0xf8, clamped[31] & 0x7f | 0x40);
    assert_eq!(*private.expose(), clamped, "kept as RFC 7748 uses it");
    assert_eq!(public, hex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"));
    let recipient = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&public).unwrap();
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<AesGcm128, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &recipient,
            &hex::<20>("4f6465206f6e2061204772656369616e2055726e"),
            &hex::<29>("4265617574792069732074727574682c20747275746820626561757479"),
            b"Count-0",
            &mut Entropy::new(hex("7268600d403fce431561aef583ee1613527cff655c1343f29812e66706df3234")),
        )
        .unwrap();
    let expected_key = "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431";
    assert_eq!(HEXLOWER.encode(&encapsulated.to_bytes()), expected_key);
    let expected =
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a";
    assert_eq!(HEXLOWER.encode(&ciphertext), expected);
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], material: &[u8]) -> Vec<u8> {
    let salt = if salt.is_empty() { &[0; 32] } else { salt };
    hmac_sha256(salt, &[b"HPKE-v1", suite, label, material].concat())
}

/// One block of HKDF-Expand: enough for 32 bytes.
fn labeled_expand(suite: &[u8], secret: &[u8], label: &[u8], info: &[u8], len: u8) -> Vec<u8> {
    let mut out = hmac_sha256(secret, &[&[0, len], b"HPKE-v1".as_slice(), suite, label, info, &[1]].concat());
    out.truncate(len.into());
    out
}

/// RFC 9180 base mode with KEM 0x0020, KDF 0x0001, AEAD 0x0002, written from the RFC.
fn open_by_the_rfc(private: &[u8; 32], public: &[u8; 32], sealed: &SealedSecret, info: &[u8]) -> Vec<u8> {
    let (encapsulated, ciphertext) = sealed.as_bytes().split_at(32);
    let key = agreement::PrivateKey::from_private_key(&agreement::X25519, private).unwrap();
    let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, encapsulated);
    let shared = agreement::agree(&key, peer, (), |shared| Ok(shared.to_vec())).unwrap();
    let kem: &[u8] = b"KEM\x00\x20";
    let kem_context = [encapsulated, public].concat();
    let extracted = labeled_extract(kem, b"", b"eae_prk", &shared);
    let shared = labeled_expand(kem, &extracted, b"shared_secret", &kem_context, 32);
    let suite: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x02";
    let psk_id = labeled_extract(suite, b"", b"psk_id_hash", b"");
    let info = labeled_extract(suite, b"", b"info_hash", info);
    let context = [&[0_u8], psk_id.as_slice(), &info].concat();
    let secret = labeled_extract(suite, &shared, b"secret", b"");
    let key = labeled_expand(suite, &secret, b"key", &context, 32);
    let nonce = labeled_expand(suite, &secret, b"base_nonce", &context, 12);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let mut bytes = ciphertext.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
    key.open_in_place(nonce, Aad::empty(), &mut bytes).unwrap().to_vec()
}

#[test]
fn a_second_implementation_of_the_suite_opens_what_is_sealed() {
    let context = ObjectContext::new(&RepositoryId::from_bytes([1; 16]), "some/key");
    let (chain_private, chain_public) = generate_chain_pair([2; 32]);
    let (recovery_private, recovery_public) = generate_recovery_pair([3; 32]);

    let key = PackKey::from_entropy([4; 32]);
    let sealed = seal_pack_key(&key, &chain_public, &context, [5; 32]).unwrap();
    let info = [b"coffer v1 pack key".as_slice(), context.as_bytes()].concat();
    assert_eq!(open_by_the_rfc(chain_private.0.expose(), chain_public.as_bytes(), &sealed, &info), [4; 32]);

    let sealed = seal_chain_key(&chain_private, &recovery_public, &context, [6; 32]).unwrap();
    let info = [b"coffer v1 chain key".as_slice(), context.as_bytes()].concat();
    let opened = open_by_the_rfc(recovery_private.0.expose(), recovery_public.as_bytes(), &sealed, &info);
    assert_eq!(opened, chain_private.0.expose());
}

#[test]
fn a_sealed_secret_opens_only_for_its_key_object_and_purpose() {
    let origin = RepositoryId::from_bytes([1; 16]);
    let (context, other) = (ObjectContext::new(&origin, "a"), ObjectContext::new(&origin, "b"));
    let (chain, chain_public) = generate_chain_pair([2; 32]);
    let (recovery, recovery_public) = generate_recovery_pair([2; 32]);
    let key = PackKey::from_entropy([4; 32]);
    let sealed = seal_pack_key(&key, &chain_public, &context, [5; 32]).unwrap();
    assert_eq!(open_pack_key(&chain, &sealed, &context).unwrap().0.expose(), &[4; 32]);
    assert!(open_pack_key(&chain, &sealed, &other).is_err(), "another object");
    assert!(open_pack_key(&generate_chain_pair([7; 32]).0, &sealed, &context).is_err(), "another key");
    assert!(open_chain_key(&recovery, &sealed, &context).is_err(), "another purpose, same key");
    let sealed = seal_chain_key(&chain, &recovery_public, &context, [6; 32]).unwrap();
    assert_eq!(open_chain_key(&recovery, &sealed, &context).unwrap().public(), chain_public);
    for bit in 0..8 * 80 {
        let mut bytes = *sealed.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let opened = open_chain_key(&recovery, &SealedSecret::from_bytes(bytes), &context);
        // X25519 ignores the highest bit of a public key, but the KEM context does not.
        assert!(opened.is_err(), "bit {bit}");
    }
}

#[test]
fn a_public_key_of_low_order_is_refused() {
    let context = ObjectContext::new(&RepositoryId::from_bytes([1; 16]), "a");
    let key = PackKey::from_entropy([4; 32]);
    let zero = ChainPublicKey::from_bytes([0; 32]);
    assert!(matches!(seal_pack_key(&key, &zero, &context, [5; 32]), Err(FormatError::PublicKey { .. })));
}
