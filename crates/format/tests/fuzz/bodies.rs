//! Bodies of the fuzz targets: one per family of decoders. A body takes any bytes, must never panic but by its own
//! assertions, and demands that whatever decodes encodes to the same bytes again. It returns whether anything decoded.
//!
//! The cargo-fuzz targets, the seeded smoke test and a property test share this file; it uses the public API only.
#![allow(dead_code, reason = "a fuzz target uses one body")]

use coffer_format::map::{leaf_count, node_count};
use coffer_format::{
    ChainKeyDocument, Codec, Compression, Compressor, Config, Confirmed, Damaged, Digest, Document, Effort,
    Ended, Ending, Footer, FrameHeader, FrameOpener, KeyFile, Leaf, MAP_HEADER_LEN, Manifest, MapFooter,
    MapHeader, MetadataCipher, Node, ObjectContext, PACK_HEADER_LEN, PackHeader, PackKey, PackTableIndex,
    PackTablePage, PageKind, Pin, RepositoryId, Root, RotationPoints, Signed, Suite, Summary, TakenPacksPage,
    TeamSecrets, TeamStatement, Verifier, VolumeName, VolumeRecord, compress_bound, decode_trailer_page,
    decompress, decompress_within, object_key,
};

/// A body and the name of its target.
pub(crate) type Body = (&'static str, fn(&[u8]) -> bool);

/// All bodies.
pub(crate) const ALL: [Body; 12] = [
    ("pack_header_frame", pack_header_frame),
    ("trailer", trailer),
    ("leaf", leaf),
    ("node_root", node_root),
    ("pack_table", pack_table),
    ("summary", summary),
    ("manifest", manifest),
    ("documents", documents),
    ("key_file", key_file),
    ("object_keys", object_keys),
    ("decompress", decompress_body),
    ("lz4_libraries", lz4_libraries),
];

fn context() -> ObjectContext {
    ObjectContext::new(&RepositoryId::from_bytes([3; 16]), "fuzz")
}

fn cipher(suite: Suite) -> MetadataCipher {
    MetadataCipher::new(suite, &TeamSecrets::unencrypted(&RepositoryId::from_bytes([3; 16])), &context())
}

const SUITES: [Suite; 2] = [Suite::None, Suite::Aes256Gcm];

/// A number from the first four bytes, and the rest.
fn number(data: &[u8]) -> (u32, &[u8]) {
    match data.split_first_chunk() {
        Some((head, rest)) => (u32::from_le_bytes(*head), rest),
        None => (0, data),
    }
}

/// Headers of packs and maps; frames, opened as they are and with a tag that fits.
pub(crate) fn pack_header_frame(data: &[u8]) -> bool {
    let mut any = false;
    if let Ok(header) = PackHeader::decode(data) {
        any = true;
        assert_eq!(header.encode().as_slice(), data);
    }
    if let Ok(header) = MapHeader::decode(data) {
        any = true;
        assert_eq!(header.encode().as_slice(), data);
    }
    let Ok(header) = FrameHeader::decode(data) else { return any };
    let context = context();
    for suite in SUITES {
        let key: PackKey = PackKey::from_entropy([1; 32]).into();
        let opener = FrameOpener::new(suite, &key, &context);
        assert_eq!(opener.peek(data).ok(), Some(header));
        let mut out = vec![0; data.len()];
        let out = out.get_mut(..header.stored_len as usize).unwrap_or_default();
        let into = opener.open_into(header.ordinal, data, out).is_ok();
        assert_eq!(into, opener.open_in_place(header.ordinal, &mut data.to_vec()).is_ok());
        assert!(!into, "{} bytes forge a tag", data.len());
    }
    true
}

/// Trailer pages with any entries, sealed rightly; footers.
pub(crate) fn trailer(data: &[u8]) -> bool {
    let mut any = false;
    for suite in SUITES {
        let stored = cipher(suite).seal_page(PageKind::Trailer, 1_000, data);
        if let Ok(entries) = decode_trailer_page(&cipher(suite), 1_000, &stored) {
            any = true;
            let again: Vec<u8> = entries
                .iter()
                .flat_map(|entry| {
                    [&entry.block.to_le_bytes()[..], &entry.word.to_le_bytes(), &entry.hash, &entry.tag]
                        .concat()
                })
                .collect();
            assert_eq!(again, data);
            assert!(entries.iter().all(|entry| entry.stored().is_ok() && entry.frame_len() > 24));
        }
        assert!(decode_trailer_page(&cipher(suite), 1_000, data).is_err());
        let (len, rest) = number(data);
        assert!(Footer::decode(&cipher(suite), len.into(), &[0; PACK_HEADER_LEN], rest).is_err());
        assert!(MapFooter::decode(&cipher(suite), len.into(), &[0; MAP_HEADER_LEN], rest).is_err());
    }
    any
}

/// Leaves of a map with any number of blocks.
pub(crate) fn leaf(data: &[u8]) -> bool {
    let mut any = false;
    let (block_count, payload) = number(data);
    if let Ok(leaf) = Leaf::decode(payload, block_count) {
        any = true;
        assert_eq!(leaf.encode(block_count).expect("what decodes encodes"), payload);
        let covered: u64 = leaf.extents.iter().map(|extent| u64::from(extent.count)).sum();
        assert!(covered <= 4_096 && leaf.index < leaf_count(block_count));
    }
    any
}

/// Nodes of a map with any number of leaves; roots.
pub(crate) fn node_root(data: &[u8]) -> bool {
    let mut any = false;
    let (leaves, payload) = number(data);
    if let Ok(node) = Node::decode(payload, leaves) {
        any = true;
        assert_eq!(node.encode(leaves).expect("what decodes encodes"), payload);
        assert!(node.index < node_count(leaves));
    }
    if let Ok(root) = Root::decode(data) {
        any = true;
        assert_eq!(root.encode().expect("what decodes encodes"), data);
    }
    any
}

/// Pages and indexes of pack tables.
pub(crate) fn pack_table(data: &[u8]) -> bool {
    let mut any = false;
    let (packs, payload) = number(data);
    for suite in SUITES {
        if let Ok(page) = PackTablePage::decode(payload, suite, packs) {
            any = true;
            assert_eq!(page.encode(suite).expect("what decodes encodes"), payload);
        }
        if let Ok(page) = TakenPacksPage::decode(payload, suite, packs) {
            any = true;
            assert_eq!(page.encode(suite).expect("what decodes encodes"), payload);
        }
    }
    let lineage = (packs >> 24) as u16;
    if let Ok(index) = PackTableIndex::decode(payload, packs & 0x00ff_ffff, lineage) {
        any = true;
        assert_eq!(index.encode().expect("what decodes encodes"), payload);
    }
    any
}

/// Summaries: as text, and as bytes behind the text.
pub(crate) fn summary(data: &[u8]) -> bool {
    let check = |text: &str| {
        let summary = Summary::decode(text);
        summary.map(|summary| assert_eq!(summary.encode(), text)).is_ok()
    };
    let text = std::str::from_utf8(data).is_ok_and(check);
    check(&base64url(data)) || text
}

/// base64url without padding, written for this purpose so that the target needs no other crate.
fn base64url(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in data.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

/// Manifests: as they come, and with a seal that fits the payload.
pub(crate) fn manifest(data: &[u8]) -> bool {
    let mut any = false;
    for signed in signed::<Manifest>(data) {
        any = true;
        let manifest = &signed.payload;
        manifest.check_key(&manifest.key()).expect("a manifest belongs under its own key");
        let names = manifest.names();
        assert!(names.chains().count() == 1);
        for group in names.iter() {
            for key in group.keys().take(3) {
                assert!(names.contains_key(&key).expect("a named key parses"));
            }
        }
        let text = manifest.summary().encode();
        assert_eq!(Summary::decode(&text).expect("a manifest's summary decodes").encode(), text);
        let _ = manifest.volume_records().filter_map(VolumeRecord::root_page).count();
    }
    any
}

/// What `data` decodes to as a signed document: as it is, and with its first line sealed anew.
fn signed<T: Document>(data: &[u8]) -> Vec<Signed<T>> {
    let line = first_line(data);
    let seal = format!("\n{{\"digest\":\"{}\",\"certificate\":null,\"signature\":null}}\n", Digest::of(line));
    let resealed = [line, seal.as_bytes()].concat();
    let mut out = Vec::new();
    for bytes in [data, &resealed] {
        if let Ok(signed) = Signed::<T>::decode(bytes) {
            assert_eq!(signed.encode(), bytes);
            Verifier::digest_only().verify(&signed).expect("decoding checked the digests");
            out.push(signed);
        }
    }
    out
}

/// All other documents.
pub(crate) fn documents(data: &[u8]) -> bool {
    let statements = signed::<TeamStatement>(data).len();
    let lists = signed::<RotationPoints>(data).len();
    let volumes = signed::<VolumeRecord>(data).len();
    let mut any = statements + lists + signed::<ChainKeyDocument>(data).len() + volumes > 0;
    any |= config(data) | records(data);
    // Once more with a digest that fits, so that mutations get past it.
    let line = first_line(data);
    config(&[line, format!("\n{{\"digest\":\"{}\"}}\n", Digest::of(line)).as_bytes()].concat()) || any
}

fn first_line(data: &[u8]) -> &[u8] {
    data.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

fn config(data: &[u8]) -> bool {
    let config = Config::decode(data);
    config.is_ok_and(|config| config.encode() == data)
}

fn records(data: &[u8]) -> bool {
    let ended = signed::<Ended>(data);
    for Signed { payload: ended, .. } in &ended {
        assert!(ended.data_objects().take(9).all(|object| ended.contains(&ended.chain, &object)));
    }
    at_their_keys(&ended, Ended::key)
        | at_their_keys(&signed::<Ending>(data), Ending::key)
        | at_their_keys(&signed::<Pin>(data), Pin::key)
        | at_their_keys(&signed::<Damaged>(data), Damaged::key)
        | at_their_keys(&signed::<Confirmed>(data), Confirmed::key)
}

fn at_their_keys<T: Document>(found: &[Signed<T>], key: fn(&T) -> String) -> bool {
    for signed in found {
        signed.payload.check_key(&key(&signed.payload)).expect("its own key");
    }
    !found.is_empty()
}

/// Key files: as they come, and with a check that fits.
pub(crate) fn key_file(data: &[u8]) -> bool {
    let mut any = false;
    let Ok(text) = std::str::from_utf8(data) else { return any };
    let start = text.rfind("\"check\":\"").map(|start| start + "\"check\":\"".len());
    let head = start.and_then(|start| text.get(..start)).unwrap_or(text);
    let check = Digest::of(format!("{head}\"}}").as_bytes()).to_string();
    let mended = format!("{head}{}\"}}\n", check.get(..16).unwrap_or_default());
    for text in [text, &mended] {
        if let Ok(key) = KeyFile::decode(text) {
            any = true;
            assert_eq!(key.encode().trim_ascii_end(), text.trim_ascii_end());
        }
    }
    any
}

/// Keys of objects and encoded names.
pub(crate) fn object_keys(data: &[u8]) -> bool {
    let mut any = false;
    let Ok(key) = std::str::from_utf8(data) else { return any };
    if let Ok((plan, chain, object)) = object_key::parse_data(key) {
        any = true;
        assert_eq!(object.key(&plan, &chain), key);
        assert_eq!(object_key::parse_data_chain(key), Some((plan, chain)));
    }
    if let Ok((plan, point)) = object_key::parse_manifest(key) {
        any = true;
        assert_eq!(object_key::manifest(&plan, &point), key);
    }
    if let Ok((plan, point, summary)) = object_key::parse_confirmed(key) {
        any = true;
        assert_eq!(object_key::confirmed(&plan, &point, &summary), key);
    }
    if let Ok((team, generation)) = object_key::parse_team(key) {
        any = true;
        assert_eq!(object_key::team(&team, generation), key);
    }
    if let Ok((team, generation)) = object_key::parse_team_points(key) {
        any = true;
        assert_eq!(object_key::team_points(&team, generation), key);
    }
    if let Ok((team, point)) = object_key::parse_ending(key) {
        any = true;
        assert_eq!(object_key::ending(&team, &point), key);
    }
    if let Ok((team, chain, point, run)) = object_key::parse_ended(key) {
        any = true;
        assert_eq!(object_key::ended(&team, &chain, &point, &run), key);
    }
    if let Ok((team, point, run)) = object_key::parse_pin(key) {
        any = true;
        assert_eq!(object_key::pin(&team, &point, &run), key);
    }
    if let Ok((team, point, run)) = object_key::parse_artefacts(key) {
        any = true;
        assert_eq!(object_key::artefacts(&team, &point, &run), key);
    }
    if let Ok((team, point, volume, number, run)) = object_key::parse_damaged(key) {
        any = true;
        assert_eq!(object_key::damaged(&team, &point, &volume, number, &run), key);
    }
    if let Ok(name) = VolumeName::decode(key) {
        any = true;
        assert_eq!(name.encoded(), key);
    }
    any
}

/// Decompression of any bytes into a buffer of any length.
pub(crate) fn decompress_body(data: &[u8]) -> bool {
    let mut any = false;
    let (head, stored) = number(data);
    let len = head as usize & 0x1_ffff;
    let mut out = vec![0; len];
    for codec in [Codec::Raw, Codec::Lz4, Codec::Zstd] {
        let done = decompress(codec, stored, &mut out).is_ok();
        assert!(!done || codec == Codec::Raw || stored.len() < len, "compressed blocks are shorter");
        any |= done;
    }
    any
}

/// LZ4 of the library in use beside `lz4_flex`: each reads what the other writes, and of strange bytes both make the same or one refuses.
pub(crate) fn lz4_libraries(data: &[u8]) -> bool {
    let mut compressor = Compressor::new(Compression::Lz4).unwrap();
    let mut out = vec![0; compress_bound(data.len())];
    for effort in [Effort::Full, Effort::Quick] {
        if let Some((_, len)) = compressor.compress(effort, data, &mut out) {
            let mut plain = vec![0; data.len()];
            assert_eq!(lz4_flex::block::decompress_into(&out[..len], &mut plain).ok(), Some(data.len()));
            assert_eq!(plain, data, "lz4_flex reads ours");
        }
    }
    if !data.is_empty() {
        let mut plain = vec![0; data.len()];
        let theirs = lz4_flex::block::compress(data);
        assert_eq!(decompress_within(Codec::Lz4, &theirs, &mut plain).ok(), Some(data.len()));
        assert_eq!(plain, data, "ours reads lz4_flex");
    }
    let (mut ours, mut theirs) = (vec![0; 4096], vec![0; 4096]);
    let by_us = decompress_within(Codec::Lz4, data, &mut ours);
    let by_them = lz4_flex::block::decompress_into(data, &mut theirs);
    if let (Ok(by_us), Ok(by_them)) = (&by_us, &by_them) {
        assert_eq!((by_us, &ours[..*by_us]), (by_them, &theirs[..*by_them]), "both read the same");
    }
    by_us.is_ok()
}
