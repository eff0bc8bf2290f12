//! Golden bytes: what version 1 wrote once, it writes and reads for ever. A missing file is written when
//! `COFFER_WRITE_GOLDEN` is set; a file that is there is never replaced.

use std::path::PathBuf;

use coffer_format::{
    Config, DamagedOrdinals, Document, KeyFile, Leaf, MAP_FOOTER_LEN, Manifest, MapFooter, MapHeader, Node,
    PackHeader, PackTableIndex, PackTablePage, Root, RotationPoints, Signed, Suite, Summary, TakenPacksPage,
    TeamStatement,
};

use crate::samples;

fn check(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if !path.exists() && std::env::var_os("COFFER_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    assert!(golden == bytes, "{name}: bytes differ from those that version 1 wrote");
    golden
}

fn in_both_suites(each: impl Fn(Suite, &str)) {
    each(Suite::None, "suite0");
    each(Suite::Aes256Gcm, "suite1");
}

#[test]
fn packs_are_what_they_were() {
    in_both_suites(|suite, dir| {
        let pack = samples::pack(suite, 1);
        let golden = check(&format!("{dir}/pack.bin"), &pack.bytes);
        let header = PackHeader::decode(golden.get(..192).unwrap()).unwrap();
        assert_eq!(header, samples::pack_header(suite, 1));
    });
}

#[test]
fn maps_are_what_they_were() {
    in_both_suites(|suite, dir| {
        let (bytes, pages) = samples::map_object(suite);
        let golden = check(&format!("{dir}/map.bin"), &bytes);
        assert_eq!(MapHeader::decode(golden.get(..64).unwrap()).unwrap(), samples::map_header(suite));
        let cipher = samples::map_cipher(suite);
        let payloads: Vec<Vec<u8>> = pages
            .iter()
            .map(|(kind, offset, len)| {
                let start = usize::try_from(*offset).unwrap();
                cipher.open_page(*kind, *offset, golden.get(start..start + len).unwrap()).unwrap()
            })
            .collect();
        let [leaf, node, table, index, root] = &payloads[..] else { panic!("five pages") };
        assert_eq!(Leaf::decode(leaf, samples::BLOCKS).unwrap(), samples::leaf());
        assert_eq!(Node::decode(node, samples::NODE_LEAF_COUNT).unwrap(), samples::node());
        assert_eq!(PackTablePage::decode(table, suite, 2).unwrap(), samples::pack_table(suite));
        assert_eq!(PackTableIndex::decode(index, 600, 1).unwrap(), samples::pack_table_index());
        assert_eq!(Root::decode(root).unwrap(), samples::root());
        let footer = MapFooter::decode(
            &samples::map_cipher(suite),
            golden.len() as u64,
            golden.first_chunk().unwrap(),
            golden.get(golden.len() - MAP_FOOTER_LEN..).unwrap(),
        );
        assert_eq!(footer.unwrap(), samples::map_footer(&golden, &pages));
        let page = samples::taken_packs(suite);
        let golden = check(&format!("{dir}/taken_packs.bin"), &page.encode(suite).unwrap());
        assert_eq!(TakenPacksPage::decode(&golden, suite, 4).unwrap(), page);
    });
}

#[test]
fn signed_documents_are_what_they_were() {
    in_both_suites(|suite, dir| {
        let manifest = samples::manifest(suite);
        let resumed = samples::signer(suite).sign(&samples::resumed_record());
        let golden = check(&format!("{dir}/resumed_record.json"), &resumed.encode());
        assert_eq!(Signed::decode(&golden).unwrap(), resumed);
        let golden = check(&format!("{dir}/manifest.json"), &manifest.encode());
        let decoded = Signed::<Manifest>::decode(&golden).unwrap();
        assert_eq!(decoded, manifest);
        samples::verifier(suite).verify(&decoded).unwrap();
        let chain_key = samples::chain_key_document(suite);
        let golden = check(&format!("{dir}/chain_key.json"), &chain_key.encode());
        assert_eq!(Signed::decode(&golden).unwrap(), chain_key);
    });
    let statement = samples::team_statement();
    let golden = check("team.json", &statement.encode());
    assert_eq!(Signed::<TeamStatement>::decode(&golden).unwrap(), statement);
    let (_, statement) = samples::rotated_key();
    let golden = check("team_3.json", &statement.encode());
    assert_eq!(Signed::<TeamStatement>::decode(&golden).unwrap(), statement);
    let points = samples::rotation_points();
    let golden = check("team_3_points.json", &points.encode());
    assert_eq!(Signed::<RotationPoints>::decode(&golden).unwrap(), points);
}

#[test]
fn small_records_are_what_they_were() {
    let config = Config { format: 1, repository: samples::repository(), encrypted: true };
    assert_eq!(Config::decode(&check("coffer.json", &config.encode())).unwrap(), config);
    in_both_suites(|suite, dir| {
        same(suite, dir, "ending.json", &samples::ending());
        same(suite, dir, "ended.json", &samples::ended());
        same(suite, dir, "pin.json", &samples::pin());
        same(suite, dir, "confirmed.json", &samples::confirmed(suite));
        same(suite, dir, "damaged.json", &samples::damaged(DamagedOrdinals::Some(vec![0, 5])));
        same(suite, dir, "damaged_all.json", &samples::damaged(DamagedOrdinals::All));
    });
}

fn same<T: Document + PartialEq + std::fmt::Debug>(suite: Suite, dir: &str, name: &str, record: &T) {
    let golden = check(&format!("{dir}/{name}"), &samples::stored(suite, record));
    let signed = Signed::<T>::decode(&golden).unwrap();
    samples::verifier(suite).verify(&signed).unwrap();
    assert_eq!(&signed.payload, record);
}

#[test]
fn summaries_and_key_files_are_what_they_were() {
    let summary = samples::summary();
    let golden = check("summary.txt", summary.encode().as_bytes());
    assert_eq!(Summary::decode(std::str::from_utf8(&golden).unwrap()).unwrap(), summary);
    for (name, key) in [
        ("recovery_key.json", samples::recovery_key()),
        ("writer_key.json", samples::writer_key()),
        ("rotated_key.json", samples::rotated_key().0),
    ] {
        let golden = check(name, key.encode().as_bytes());
        let decoded = KeyFile::decode(std::str::from_utf8(&golden).unwrap()).unwrap();
        assert_eq!(*decoded.encode(), *key.encode());
    }
}
