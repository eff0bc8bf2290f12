//! Maps: pages come back, have one form, and cover their blocks exactly.

use coffer_format::map::{leaf_count, node_count};
use coffer_format::{
    BlockSize, Child, Digest, EXTENT_BYTES_MAX, Extent, Id, LEAF_BLOCKS, Leaf, MAP_HEADER_LEN, MapHeader,
    NODE_LEAVES, Node, PackTableIndex, PackTablePage, PackTableRef, PageRef, Place, Root, RootLineage, Suite,
    TakenPacksPage, push_extent,
};
use proptest::prelude::*;

use crate::samples::{self, SUITES};

/// Per step: zeroes or data, number of blocks, which pack, ordinals and bytes skipped, stored length of each block.
type Step = (bool, u32, usize, u32, u64, u32);

fn arbitrary_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<bool>(), 1..60_u32, 0..4_usize, 0..3_u32, 0..2_000_u64, 1..200_000_u32);
    prop::collection::vec(step, 1..120)
}

/// Pushes single blocks as a writer does, until the leaf is covered.
fn leaf_of(index: u32, block_count: u32, steps: &[Step]) -> Leaf {
    let packs = [(0, 3), (0, 4), (5, 0), (255, (1 << 24) - 1)];
    let mut next = [(0_u32, 192_u64); 4];
    let first = index * LEAF_BLOCKS;
    let end = (first + LEAF_BLOCKS).min(block_count);
    let mut extents = Vec::new();
    let mut block = first;
    for (data, count, slot, ordinals_skipped, bytes_skipped, stored_len) in steps.iter().cycle() {
        let (ordinal, offset) = &mut next[*slot];
        *ordinal += ordinals_skipped;
        *offset += bytes_skipped + u64::from(*ordinals_skipped) * 25;
        for _ in 0..*count {
            if block == end {
                return Leaf { index, extents };
            }
            let len = 24 + stored_len;
            let full = *ordinal >= 32_768 || *offset + u64::from(len) > 128 << 20;
            let place = if !*data || full {
                Place::Zero
            } else {
                let (lineage, pack) = packs[*slot];
                let place = Place::Data { lineage, pack, ordinal: *ordinal, offset: *offset, len };
                *ordinal += 1;
                *offset += u64::from(len);
                place
            };
            push_extent(&mut extents, Extent { first: block, count: 1, place });
            block += 1;
        }
    }
    unreachable!("the steps repeat until the leaf is covered")
}

fn arbitrary_page() -> impl Strategy<Value = PageRef> {
    (0..256_u16, 64..1_u64 << 40, 17..=4_u32 << 20, any::<[u8; 32]>()).prop_map(
        |(lineage, offset, len, digest)| PageRef { lineage, offset, len, digest: Digest::from_bytes(digest) },
    )
}

/// Children that cover `covered` and hold at least one page, from runs that are joined.
fn children_of(covered: u32, runs: &[(u32, PageRef)]) -> Vec<Child> {
    let mut children = Vec::new();
    let mut left = covered;
    for (run, page) in runs.iter().cycle() {
        let run = (*run).min(left.saturating_sub(1));
        if run > 0 {
            children.push(Child::Zero(run));
        }
        children.push(Child::Page(*page));
        left -= run + 1;
        if left == 0 {
            break;
        }
    }
    children
}

proptest! {
    #[test]
    fn leaves_come_back(index in 0..3_u32, last in 1..=LEAF_BLOCKS, steps in arbitrary_steps()) {
        let block_count = 2 * LEAF_BLOCKS + last;
        let leaf = leaf_of(index, block_count, &steps);
        match leaf.encode(block_count) {
            Ok(payload) => prop_assert_eq!(Leaf::decode(&payload, block_count).unwrap(), leaf),
            Err(error) => prop_assert!(leaf.is_zero(), "{}", error),
        }
    }

    #[test]
    fn nodes_and_roots_come_back(
        leaves in 1..3 * NODE_LEAVES,
        runs in prop::collection::vec((0..200_u32, arbitrary_page()), 1..30),
        packs in prop::collection::vec(0..1_000_u32, 1..20),
    ) {
        let index = (leaves - 1) / NODE_LEAVES;
        let node = Node { index, children: children_of(leaves - index * NODE_LEAVES, &runs) };
        let payload = node.encode(leaves).unwrap();
        prop_assert_eq!(Node::decode(&payload, leaves).unwrap(), node);

        let own = |run: &(u32, PageRef)| (run.0, PageRef { lineage: run.1.lineage % packs.len() as u16, ..run.1 });
        let runs: Vec<_> = runs.iter().map(own).collect();
        let lineage = packs.iter().enumerate().map(|(at, packs)| RootLineage {
            point: Id::from_bytes([at as u8; 16]),
            packs: *packs,
            table: (*packs > 0).then(|| PackTableRef::new(*packs, PageRef { lineage: at as u16, ..runs[0].1 })),
        });
        let block_size = BlockSize::new(16_384).unwrap();
        let volume_size = u64::from(leaves) * u64::from(NODE_LEAVES) * u64::from(LEAF_BLOCKS) * 16_384 - 5;
        let root = Root { volume_size, block_size, lineage: lineage.collect(), nodes: children_of(leaves, &runs) };
        let payload = root.encode().unwrap();
        prop_assert_eq!(Root::decode(&payload).unwrap(), root);
    }

    #[test]
    fn pack_tables_come_back(count in 1..257_u32, pages in prop::collection::vec(arbitrary_page(), 2..40)) {
        let infos = (0..count).map(|number| samples::pack_info(Suite::None, number % 3)).collect();
        let page = PackTablePage(infos);
        let payload = page.encode(Suite::None).unwrap();
        prop_assert_eq!(PackTablePage::decode(&payload, Suite::None, count).unwrap(), page);
        prop_assert!(PackTablePage::decode(&payload, Suite::None, count - 1).is_err());
        let index = PackTableIndex(pages.into_iter().map(|page| PageRef { lineage: 7, ..page }).collect());
        let packs = index.0.len() as u32 * 256;
        let payload = index.encode().unwrap();
        prop_assert_eq!(PackTableIndex::decode(&payload, packs, 7).unwrap(), index);
        prop_assert!(PackTableIndex::decode(&payload, packs + 1, 7).is_err());
        prop_assert!(PackTableIndex::decode(&payload, packs, 6).is_err());
    }
}

#[test]
fn the_samples_come_back() {
    for suite in SUITES {
        let header = samples::map_header(suite);
        let bytes = header.encode();
        assert_eq!(bytes.len(), MAP_HEADER_LEN);
        assert_eq!(MapHeader::decode(&bytes).unwrap(), header);
        let table = samples::pack_table(suite);
        let payload = table.encode(suite).unwrap();
        assert_eq!(PackTablePage::decode(&payload, suite, 2).unwrap(), table);
        let other = if suite == Suite::None { Suite::Aes256Gcm } else { Suite::None };
        assert!(table.encode(other).is_err(), "sealed keys and suite disagree");
    }
    assert_eq!(Root::decode(&samples::root_payload()).unwrap(), samples::root());
}

#[test]
fn an_empty_volume_has_a_root_without_nodes() {
    let lineage = vec![RootLineage { point: samples::id(1), packs: 0, table: None }];
    let root = Root { volume_size: 0, block_size: BlockSize::default_for(0), lineage, nodes: Vec::new() };
    assert_eq!(Root::decode(&root.encode().unwrap()).unwrap(), root);
}

#[test]
fn the_largest_volume_has_1_048_576_leaves() {
    assert_eq!((leaf_count(u32::MAX), node_count(leaf_count(u32::MAX))), (1 << 20, 1 << 12));
    let index = (1 << 20) - 1;
    let data = Place::Data { lineage: 0, pack: 0, ordinal: 0, offset: 192, len: 4095 * 25 };
    let leaf = Leaf { index, extents: vec![Extent { first: index * LEAF_BLOCKS, count: 4095, place: data }] };
    let payload = leaf.encode(u32::MAX).unwrap();
    assert_eq!(Leaf::decode(&payload, u32::MAX).unwrap(), leaf);
}

fn data(first: u32, count: u32, ordinal: u32, offset: u64, len: u32) -> Extent {
    Extent { first, count, place: Place::Data { lineage: 0, pack: 0, ordinal, offset, len } }
}

fn zero(first: u32, count: u32) -> Extent {
    Extent { first, count, place: Place::Zero }
}

#[test]
fn leaves_in_another_form_are_refused() {
    let cases: [(&str, Vec<Extent>); 12] = [
        ("nothing", vec![]),
        ("zeroes only", vec![zero(0, 10)]),
        ("too few blocks", vec![data(0, 9, 0, 192, 900)]),
        ("too many blocks", vec![data(0, 11, 0, 192, 900)]),
        ("a gap", vec![data(0, 4, 0, 192, 400), data(5, 5, 4, 592, 500)]),
        ("zeroes not joined", vec![zero(0, 1), zero(1, 1), data(2, 8, 0, 192, 900)]),
        ("data not joined", vec![data(0, 5, 0, 192, 400), data(5, 5, 5, 592, 500)]),
        ("ordinals go backwards", vec![data(0, 5, 7, 4_000, 400), data(5, 5, 3, 8_592, 500)]),
        ("offsets go backwards", vec![data(0, 5, 7, 4_000, 400), data(5, 5, 20, 3_592, 500)]),
        ("an extent of no blocks", vec![data(0, 0, 0, 192, 0), data(0, 10, 0, 192, 900)]),
        ("frames of no length", vec![data(0, 10, 0, 192, 249)]),
        ("an ordinal past the pack", vec![data(0, 10, 32_759, 900_000, 900)]),
    ];
    for (name, extents) in cases {
        assert!(Leaf { index: 0, extents }.encode(10).is_err(), "{name}");
    }
    assert!(
        Leaf { index: 1, extents: vec![data(4096, 10, 0, 192, 900)] }.encode(10).is_err(),
        "past the end"
    );
    let long = vec![data(0, 10, 0, 192, EXTENT_BYTES_MAX + 1)];
    assert!(Leaf { index: 0, extents: long }.encode(10).is_err(), "an extent beyond 8 MiB");
    let before_header = vec![data(0, 10, 0, 191, 900)];
    assert!(Leaf { index: 0, extents: before_header }.encode(10).is_err(), "a frame in the header");
}

#[test]
fn extents_join_up_to_8_mib() {
    let mut extents = Vec::new();
    let frame = (1 << 20) + 24;
    for block in 0..20_u32 {
        push_extent(&mut extents, data(block, 1, block, 192 + u64::from(block * frame), frame));
    }
    let counts: Vec<u32> = extents.iter().map(|extent| extent.count).collect();
    assert_eq!(counts, [7, 7, 6], "eight frames of 1 MiB pass the limit");
    assert!(Leaf { index: 0, extents }.encode(20).is_ok());
}

#[test]
fn nodes_and_roots_in_another_form_are_refused() {
    let page = Child::Page(samples::page_ref(0, 64));
    let node = |children| Node { index: 0, children }.encode(3);
    assert!(node(vec![Child::Zero(2), page]).is_ok());
    for (name, children) in [
        ("zeroes only", vec![Child::Zero(3)]),
        ("runs not joined", vec![Child::Zero(1), Child::Zero(1), page]),
        ("a run of nothing", vec![Child::Zero(0), page, page, page]),
        ("too few", vec![page, page]),
        ("too many", vec![page, page, page, page]),
        ("a run past the end", vec![page, Child::Zero(u32::MAX)]),
        ("a page in the header", vec![Child::Zero(2), Child::Page(samples::page_ref(0, 63))]),
        ("a lineage of 257", vec![Child::Zero(2), Child::Page(samples::page_ref(256, 64))]),
    ] {
        assert!(node(children).is_err(), "{name}");
    }
    assert!(Node { index: 1, children: vec![page] }.encode(256).is_err(), "past the end");

    let change = |change: fn(&mut Root)| {
        let mut root = samples::root();
        change(&mut root);
        root.encode()
    };
    assert!(change(|_| ()).is_ok());
    assert!(change(|root| root.lineage.clear()).is_err(), "no lineage");
    assert!(change(|root| root.lineage[1].point = root.lineage[0].point).is_err(), "a point twice");
    assert!(change(|root| root.lineage[0].packs = 0).is_err(), "a table of no packs");
    assert!(change(|root| root.lineage[0].packs = 256).is_err(), "depth 1 for one page");
    assert!(change(|root| root.lineage[0].table = None).is_err(), "packs without a table");
    assert!(
        change(|root| root.lineage[2].table = root.lineage[0].table).is_err(),
        "an earlier point's table"
    );
    assert!(
        change(|root| root.lineage[2].table = Some(PackTableRef::new(2, samples::page_ref(3, 64)))).is_err(),
        "a table past the lineage"
    );
    assert!(change(|root| root.nodes.clear()).is_err(), "no nodes");
    assert!(change(|root| root.volume_size = u64::MAX).is_err(), "too many blocks");
    assert!(
        change(|root| root.nodes = vec![Child::Page(samples::page_ref(3, 64))]).is_err(),
        "past the lineage"
    );
}

#[test]
fn the_root_knows_the_packs_and_pages_of_its_lineage() {
    let root = samples::root();
    assert!(root.check_leaf(&samples::leaf()).is_err(), "point 1 of the lineage wrote no packs");
    let place = Place::Data { lineage: 2, pack: 1, ordinal: 0, offset: 192, len: 300 };
    let mut leaf = Leaf { index: 0, extents: vec![Extent { first: 0, count: 10, place }] };
    root.check_leaf(&leaf).unwrap();
    leaf.extents[0].place = Place::Data { lineage: 2, pack: 2, ordinal: 0, offset: 192, len: 300 };
    assert!(root.check_leaf(&leaf).is_err(), "the point wrote two packs");
    root.check_node(&samples::node()).unwrap();
    let node = Node { index: 0, children: vec![Child::Page(samples::page_ref(3, 64))] };
    assert!(root.check_node(&node).is_err());
}

#[test]
fn packs_taken_over_are_described_in_the_map_of_who_took_them() {
    let root = samples::resumed_root();
    assert_eq!(Root::decode(&root.encode().unwrap()).unwrap(), root);
    let taken: Vec<bool> = (0..).zip(&root.lineage).map(|(index, entry)| entry.is_reused(index)).collect();
    assert_eq!(taken, [false, true, false, false]);
    for suite in SUITES {
        let page = samples::taken_packs(suite);
        let payload = page.encode(suite).unwrap();
        assert_eq!(TakenPacksPage::decode(&payload, suite, 4).unwrap(), page);
        assert!(
            TakenPacksPage::decode(&payload, suite, 3).is_err()
                && TakenPacksPage::decode(&payload, suite, 5).is_err()
        );
        assert!(PackTablePage::decode(&payload, suite, 4).is_err(), "a point's table has no gaps");
        let own = samples::pack_table(suite);
        let same = TakenPacksPage::decode(&own.encode(suite).unwrap(), suite, 2).unwrap();
        assert_eq!(same.0, own.0.into_iter().map(Some).collect::<Vec<_>>());
    }
}

#[test]
fn pack_tables_hold_only_what_can_be() {
    let change = |change: fn(&mut coffer_format::PackInfo)| {
        let mut info = samples::pack_info(Suite::Aes256Gcm, 0);
        change(&mut info);
        PackTablePage(vec![info]).encode(Suite::Aes256Gcm)
    };
    assert!(change(|_| ()).is_ok());
    assert!(change(|info| info.object_len += 1).is_err(), "length");
    assert!(change(|info| info.trailer_offset += 1).is_err(), "trailer");
    assert!(change(|info| info.frames = 0).is_err(), "no frames");
    assert!(change(|info| info.last_block = info.first_block + 1).is_err(), "three frames in two blocks");
    assert!(change(|info| info.page_digests.clear()).is_err(), "no digests");
    assert!(change(|info| info.sealed_key = None).is_err(), "no key");
    assert!(PackTablePage(Vec::new()).encode(Suite::None).is_err());
    assert!(PackTableIndex(vec![samples::page_ref(1, 64)]).encode().is_err(), "an index of one page");
    assert_eq!([0, 1, 2].map(|page| PackTablePage::packs_on(300, page)), [256, 44, 0]);
}
