//! Every flipped bit of every sealed structure is noticed, in both suites.

use coffer_format::{
    Config, DamagedOrdinals, Document, FOOTER_LEN, Footer, FrameOpener, MAP_FOOTER_LEN, Manifest, MapFooter,
    PACK_HEADER_LEN, PackHeader, PageKind, Signed, Suite, decode_trailer_page, trailer_page_range,
};

use crate::samples::{self, SUITES};

/// Calls `opens` with each single-bit change of `bytes` and demands that it says no.
fn no_flip_passes(what: &str, bytes: &[u8], opens: impl Fn(&[u8]) -> bool) {
    assert!(opens(bytes), "{what}: opens as it is");
    let mut changed = bytes.to_vec();
    for bit in 0..8 * bytes.len() {
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&changed), "{what}: bit {bit} of {} changed unnoticed", 8 * bytes.len());
        changed[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Calls `opens` with `bytes` cut at every length and with bytes added.
fn no_other_length_passes(what: &str, bytes: &[u8], opens: impl Fn(&[u8]) -> bool) {
    for len in 0..bytes.len() {
        assert!(!opens(&bytes[..len]), "{what}: cut to {len} bytes");
    }
    for more in [1, 16, 56, 1_000] {
        let mut longer = bytes.to_vec();
        longer.resize(bytes.len() + more, 0);
        assert!(!opens(&longer), "{what}: {more} bytes more");
    }
}

fn check(what: &str, bytes: &[u8], opens: impl Fn(&[u8]) -> bool) {
    no_flip_passes(what, bytes, &opens);
    no_other_length_passes(what, bytes, &opens);
}

#[test]
fn pack_headers() {
    for suite in SUITES {
        let header = samples::pack_header(suite, 1).encode();
        check("pack header", &header, |bytes| PackHeader::decode(bytes).is_ok());
    }
}

#[test]
fn frames() {
    for suite in SUITES {
        let pack = samples::pack(suite, 1);
        let opener = FrameOpener::new(suite, &samples::fresh_key(suite, 1), &samples::pack_context(1));
        let elsewhere = FrameOpener::new(suite, &samples::fresh_key(suite, 1), &samples::pack_context(2));
        for (ordinal, (offset, len)) in (0..).zip(&pack.frames) {
            let start = usize::try_from(*offset).unwrap();
            let frame = &pack.bytes[start..start + len];
            check("frame in place", frame, |bytes| {
                opener.open_in_place(ordinal, &mut bytes.to_vec()).is_ok()
            });
            let mut out = vec![0; 100];
            check("frame into", frame, |bytes| opener.open_into(ordinal, bytes, &mut out.clone()).is_ok());
            assert!(elsewhere.open_into(ordinal, frame, &mut out).is_err(), "the frame in another pack");
        }
    }
}

#[test]
fn trailers_and_footers() {
    for suite in SUITES {
        let pack = samples::pack(suite, 1);
        let cipher = samples::pack_cipher(suite, 1);
        let object_len = pack.bytes.len() as u64;
        let (page, footer) = pack.trailer.bytes.split_at(pack.trailer.bytes.len() - FOOTER_LEN);
        let offset = pack.trailer.trailer_offset;
        assert_eq!(trailer_page_range(offset, 3, 0).1, page.len() as u64);
        check("trailer page", page, |bytes| decode_trailer_page(&cipher, offset, bytes).is_ok());
        let header = samples::pack_header(suite, 1).encode();
        check("footer", footer, |bytes| Footer::decode(&cipher, object_len, &header, bytes).is_ok());
        check("header under the footer's tag", &header, |bytes| {
            bytes.try_into().is_ok_and(|header| Footer::decode(&cipher, object_len, header, footer).is_ok())
        });
        let other = samples::pack_cipher(suite, 2);
        assert!(
            decode_trailer_page(&other, offset, page).is_err()
                && Footer::decode(&other, object_len, &header, footer).is_err()
        );
        assert!(decode_trailer_page(&cipher, offset + 1, page).is_err(), "the page at another offset");
        assert!(Footer::decode(&cipher, object_len + 1, &header, footer).is_err(), "a longer object");
    }
}

#[test]
fn map_footers() {
    for suite in SUITES {
        let (bytes, _) = samples::map_object(suite);
        let (cipher, len) = (samples::map_cipher(suite), bytes.len() as u64);
        let header = samples::map_header(suite).encode();
        let footer = &bytes[bytes.len() - MAP_FOOTER_LEN..];
        check("map footer", footer, |bytes| MapFooter::decode(&cipher, len, &header, bytes).is_ok());
        check("header under the map footer's tag", &header, |bytes| {
            bytes.try_into().is_ok_and(|header| MapFooter::decode(&cipher, len, header, footer).is_ok())
        });
        let other = samples::pack_cipher(suite, 1);
        assert!(MapFooter::decode(&other, len, &header, footer).is_err(), "of another object");
        assert!(MapFooter::decode(&cipher, len + 1, &header, footer).is_err(), "of a longer object");
    }
}

#[test]
fn map_pages() {
    for suite in SUITES {
        let (bytes, pages) = samples::map_object(suite);
        let cipher = samples::map_cipher(suite);
        let kinds: Vec<PageKind> = pages.iter().map(|(kind, _, _)| *kind).collect();
        for (kind, offset, len) in pages {
            let start = usize::try_from(offset).unwrap();
            let page = &bytes[start..start + len];
            check("page", page, |bytes| cipher.open_page(kind, offset, bytes).is_ok());
            assert!(cipher.open_page(kind, offset + 16, page).is_err(), "at another offset");
            let others = kinds.iter().chain(&[PageKind::Trailer]).filter(|other| **other != kind);
            assert!(
                others.into_iter().all(|other| cipher.open_page(*other, offset, page).is_err()),
                "as another kind"
            );
        }
    }
}

#[test]
fn manifests() {
    let manifest = samples::manifest(Suite::Aes256Gcm).encode();
    let verifier = samples::verifier(Suite::Aes256Gcm);
    let opens =
        |bytes: &[u8]| Signed::<Manifest>::decode(bytes).is_ok_and(|signed| verifier.verify(&signed).is_ok());
    no_flip_passes("manifest", &manifest, opens);
    for len in 0..manifest.len() {
        assert!(!opens(&manifest[..len]), "cut to {len} bytes");
    }
    let plain = samples::manifest(Suite::None).encode();
    no_flip_passes("manifest of suite 0", &plain, |bytes| {
        let verifier = samples::verifier(Suite::None);
        Signed::<Manifest>::decode(bytes).is_ok_and(|signed| verifier.verify(&signed).is_ok())
    });
}

#[test]
fn small_records() {
    let config = Config::new(samples::repository(), true).encode();
    check("coffer.json", &config, |bytes| Config::decode(bytes).is_ok());
    for suite in [Suite::None, Suite::Aes256Gcm] {
        record("ending", suite, &samples::ending());
        record("ended", suite, &samples::ended());
        record("pin", suite, &samples::pin());
        record("confirmed", suite, &samples::confirmed(suite));
        record("damaged", suite, &samples::damaged(DamagedOrdinals::Some(vec![0, 5])));
    }
}

fn record<T: Document>(what: &str, suite: Suite, record: &T) {
    let verifier = samples::verifier(suite);
    check(what, &samples::stored(suite, record), |bytes| {
        Signed::<T>::decode(bytes).is_ok_and(|signed| verifier.verify(&signed).is_ok())
    });
}

#[test]
fn a_header_of_one_suite_is_none_of_the_other() {
    let mut header = samples::pack_header(Suite::Aes256Gcm, 1);
    header.sealed_key = None;
    assert!(PackHeader::decode(&header.encode()).is_err());
    let mut header = samples::pack_header(Suite::None, 1);
    header.sealed_key = samples::sealed_key(Suite::Aes256Gcm, 1);
    assert!(PackHeader::decode(&header.encode()).is_err());
    assert_eq!(header.encode().len(), PACK_HEADER_LEN);
}
