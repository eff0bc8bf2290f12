//! Valid inputs of each fuzz target, from the samples.

use coffer_format::object_key;
use coffer_format::{Compression, Compressor, Config, DamagedOrdinals, Effort, compress_bound};

use crate::samples::{self, SUITES};

/// The seeds of the target `name`.
pub(crate) fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "pack_header_frame" => pack_header_frame(),
        "trailer" => trailer(),
        "leaf" => vec![with(samples::BLOCKS, &samples::leaf().encode(samples::BLOCKS).unwrap())],
        "node_root" => vec![
            with(samples::NODE_LEAF_COUNT, &samples::node().encode(samples::NODE_LEAF_COUNT).unwrap()),
            samples::root_payload(),
        ],
        "pack_table" => pack_table(),
        "summary" => vec![samples::summary().encode().into_bytes()],
        "manifest" => SUITES.map(|suite| samples::manifest(suite).encode()).to_vec(),
        "documents" => documents(),
        "key_file" => [samples::recovery_key(), samples::writer_key()]
            .map(|key| key.encode().as_bytes().to_vec())
            .to_vec(),
        "object_keys" => object_keys(),
        "decompress" => compressed(),
        "lz4_libraries" => lz4_blocks(),
        _ => panic!("no target {name}"),
    }
}

fn with(number: u32, payload: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes(), payload].concat()
}

fn pack_header_frame() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for suite in SUITES {
        let pack = samples::pack(suite, 1);
        out.push(samples::map_header(suite).encode().to_vec());
        out.push(samples::pack_header(suite, 1).encode().to_vec());
        for (offset, len) in pack.frames {
            let start = usize::try_from(offset).unwrap();
            out.push(pack.bytes[start..start + len].to_vec());
        }
    }
    out
}

fn trailer() -> Vec<Vec<u8>> {
    let pack = samples::pack(coffer_format::Suite::None, 1);
    let (entries, footer) = pack.trailer.bytes.split_at(3 * 56);
    let len = u32::try_from(pack.bytes.len()).unwrap();
    let (map, _) = samples::map_object(coffer_format::Suite::None);
    let map_footer = &map[map.len() - coffer_format::MAP_FOOTER_LEN..];
    let map_len = u32::try_from(map.len()).unwrap();
    vec![entries.to_vec(), with(len, &footer[16..]), with(map_len, map_footer)]
}

fn pack_table() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> =
        SUITES.map(|suite| with(2, &samples::pack_table(suite).encode(suite).unwrap())).to_vec();
    out.extend(SUITES.map(|suite| with(4, &samples::taken_packs(suite).encode(suite).unwrap())));
    out.push(with(1 << 24 | 600, &samples::pack_table_index().encode().unwrap()));
    out
}

fn documents() -> Vec<Vec<u8>> {
    let suite = coffer_format::Suite::Aes256Gcm;
    vec![
        samples::team_statement().encode(),
        samples::rotation_points().encode(),
        samples::chain_key_document(suite).encode(),
        samples::signer(suite).sign(&samples::record()).encode(),
        samples::signer(suite).sign(&samples::failed_record()).encode(),
        Config::new(samples::repository(), true).encode(),
        samples::stored(suite, &samples::ending()),
        samples::stored(suite, &samples::ended()),
        samples::stored(suite, &samples::pin()),
        samples::stored(suite, &samples::confirmed(suite)),
        samples::stored(suite, &samples::damaged(DamagedOrdinals::All)),
        samples::stored(suite, &samples::damaged(DamagedOrdinals::Some(vec![1, 7]))),
    ]
}

fn object_keys() -> Vec<Vec<u8>> {
    let (plan, point, run) = (samples::plan(), samples::id(2), samples::id(8));
    let team = plan.team.clone();
    let keys = [
        object_key::manifest(&plan, &point),
        object_key::confirmed(&plan, &point, &samples::summary()),
        object_key::team(&team, 1),
        object_key::team(&team, 2),
        object_key::team_points(&team, 2),
        object_key::chain_key(&plan, &samples::id(1), 1),
        object_key::map(&samples::path(2)),
        object_key::pack(&samples::path(2), 12),
        object_key::ending(&team, &point),
        object_key::ended(&team, &samples::id(1), &point, &run),
        object_key::pin(&team, &point, &run),
        object_key::damaged(&team, &point, &samples::volume(), 3, &run),
        samples::volume().encoded(),
    ];
    keys.map(String::into_bytes).to_vec()
}

fn compressed() -> Vec<Vec<u8>> {
    let block = b"a block of a volume, a block of a file; ".repeat(200);
    let mut out = vec![0; compress_bound(block.len())];
    let mut seeds = vec![with(5, b"abcde")];
    for compression in [Compression::Lz4, Compression::Zstd(3)] {
        let (_, len) =
            Compressor::new(compression).unwrap().compress(Effort::Full, &block, &mut out).unwrap();
        seeds.push(with(u32::try_from(block.len()).unwrap(), &out[..len]));
    }
    seeds
}

/// What shrinks, and LZ4 blocks of it.
fn lz4_blocks() -> Vec<Vec<u8>> {
    let plain = [b"the quick brown fox ".repeat(30), vec![0; 300], (0..=255).collect()].concat();
    vec![lz4_flex::block::compress(&plain), lz4_flex::block::compress(b"abcabcabcabcabcabcabcabcabc"), plain]
}
