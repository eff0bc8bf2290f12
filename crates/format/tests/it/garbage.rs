//! Decoders on random bytes and on valid bytes cut or grown: an error, never a panic, never another value.

use coffer_format::{Leaf, MapHeader, Node, PackTableIndex, PackTablePage, Root, Suite};
use proptest::prelude::*;

#[path = "../fuzz/bodies.rs"]
mod bodies;

use crate::samples::{self, SUITES};

proptest! {
    #[test]
    fn random_bytes_do_no_harm(data in prop::collection::vec(any::<u8>(), 0..600)) {
        for (_, body) in bodies::ALL {
            body(&data);
        }
    }
}

/// Every proper prefix and every extension of `payload` is refused.
fn check(what: &str, payload: &[u8], decodes: impl Fn(&[u8]) -> bool) {
    assert!(decodes(payload), "{what}");
    for len in 0..payload.len() {
        assert!(!decodes(&payload[..len]), "{what} cut to {len} bytes");
    }
    for byte in [0, 1, 2, 255] {
        let longer = [payload, &[byte]].concat();
        assert!(!decodes(&longer), "{what} and a byte {byte}");
    }
}

#[test]
fn map_payloads_cut_or_grown_are_refused() {
    let leaf = samples::leaf().encode(samples::BLOCKS).unwrap();
    check("leaf", &leaf, |bytes| Leaf::decode(bytes, samples::BLOCKS).is_ok());
    let node = samples::node().encode(samples::NODE_LEAF_COUNT).unwrap();
    check("node", &node, |bytes| Node::decode(bytes, samples::NODE_LEAF_COUNT).is_ok());
    check("root", &samples::root_payload(), |bytes| Root::decode(bytes).is_ok());
    for suite in SUITES {
        let table = samples::pack_table(suite).encode(suite).unwrap();
        check("pack table", &table, |bytes| PackTablePage::decode(bytes, suite, 2).is_ok());
        check("map header", &samples::map_header(suite).encode(), |bytes| MapHeader::decode(bytes).is_ok());
    }
    let index = samples::pack_table_index().encode().unwrap();
    check("pack table index", &index, |bytes| PackTableIndex::decode(bytes, 600, 1).is_ok());
}

#[test]
fn a_leaf_of_another_size_is_refused() {
    let payload = samples::leaf().encode(samples::BLOCKS).unwrap();
    for blocks in [0, 1, samples::BLOCKS - 1, samples::BLOCKS + 1, 4_096, u32::MAX] {
        assert!(Leaf::decode(&payload, blocks).is_err(), "{blocks}");
    }
    let payload = samples::node().encode(samples::NODE_LEAF_COUNT).unwrap();
    for leaves in [0, 1, 256, samples::NODE_LEAF_COUNT + 1, 1 << 20] {
        assert!(Node::decode(&payload, leaves).is_err(), "{leaves}");
    }
    let table = samples::pack_table(Suite::None).encode(Suite::None).unwrap();
    assert!(PackTablePage::decode(&table, Suite::Aes256Gcm, 2).is_err());
}
