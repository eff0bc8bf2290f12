//! The worked example of `docs/format.md` section 10 is what this program writes. With `COFFER_WRITE_EXAMPLE` set the
//! section is written anew; without it the text must be the same.

mod documents;
mod pieces;

use std::fmt::Write as _;
use std::path::PathBuf;

use coffer_format::{
    BlockHasher, BlockSize, Child, Codec, Digest, Extent, FRAME_OVERHEAD, FrameSealer, Id, Leaf, MapFooter,
    MapHeader, MetadataCipher, Node, ObjectContext, PackHeader, PackInfo, PackKey, PackTablePage,
    PackTableRef, PageKind, PageRef, Place, PlanId, RepositoryId, Root, RootLineage, RootRef, Secret32,
    Suite, TeamSecrets, TrailerBuilder, TrailerEntry, VolumeName, VolumePath, generate_chain_pair,
    object_key, seal_pack_key,
};

use self::documents::Stored;

const TITLE: &str = "## 10. A worked example\n";

const SUITE: Suite = Suite::Aes256Gcm;

fn repository() -> RepositoryId {
    RepositoryId::from_bytes(std::array::from_fn(|index| index as u8))
}

fn secrets() -> TeamSecrets {
    TeamSecrets { metadata: Secret32::new([0x11; 32]), hash: Secret32::new([0x22; 32]) }
}

fn point() -> Id {
    Id::from_parts(1_795_251_600_000, [0x55; 10])
}

fn block_size() -> BlockSize {
    BlockSize::new(16_384).unwrap()
}

fn path() -> VolumePath {
    let plan: PlanId = "acme/berlin/shop/nightly".parse().unwrap();
    let volume: VolumeName = "db".parse().unwrap();
    VolumePath { plan, chain: point(), point: point(), volume }
}

/// The pack, and what the pack table says of it.
fn pack(out: &mut String) -> (PackInfo, u32) {
    let key = object_key::pack(&path(), 0);
    let context = ObjectContext::new(&repository(), &key);
    let (_, chain) = generate_chain_pair([0x44; 32]);
    let pack_key = PackKey::from_entropy([0x33; 32]);
    let sealed_key = seal_pack_key(&pack_key, &chain, &context, [0x66; 32]).unwrap();
    let block_size = block_size();
    let header = PackHeader {
        suite: SUITE,
        block_size,
        number: 0,
        origin: repository(),
        context,
        sealed_key: Some(sealed_key),
    };
    let mut frame = [0; FRAME_OVERHEAD + 3];
    let mut sealer = FrameSealer::new(SUITE, pack_key, &context).unwrap();
    let sealed = sealer.seal_from(Codec::Raw, b"abc", &mut frame).unwrap();
    let hash = BlockHasher::new(&secrets(), &repository()).hash(b"abc");
    let mut builder = TrailerBuilder::new();
    builder.push(TrailerEntry::new(1, hash, &sealed)).unwrap();
    let cipher = MetadataCipher::new(SUITE, &secrets(), &context);
    let trailer = builder.finish(&cipher, &header.encode(), 192 + frame.len() as u64).unwrap();
    let bytes = [header.encode().as_slice(), &frame, &trailer.bytes].concat();
    let _ = writeln!(out, "pack\n  key       {key}\n  C(key)    {context}");
    let _ = writeln!(out, "  block hash of \"abc\"  {}", Digest::from_bytes(hash));
    let _ = writeln!(out, "  header at 0, frame at 192, trailer page at 219, footer at 291\n");
    dump(out, &bytes);
    (trailer.info(Some(sealed_key)), frame.len() as u32)
}

/// The map of the pack that `info` describes.
fn map(out: &mut String, info: &PackInfo, frame_len: u32) -> Stored {
    let key = object_key::map(&path());
    let context = ObjectContext::new(&repository(), &key);
    let cipher = MetadataCipher::new(SUITE, &secrets(), &context);
    let block_size = block_size();
    let header = MapHeader { suite: SUITE, block_size, origin: repository(), context }.encode();
    let mut bytes = header.to_vec();
    let mut pages = String::new();
    let mut add = |kind: PageKind, payload: &[u8]| {
        let offset = bytes.len() as u64;
        let stored = cipher.seal_page(kind, offset, payload);
        let _ = writeln!(pages, "  {kind:?} at {offset}, {} bytes stored, payload:\n", stored.len());
        dump(&mut pages, payload);
        bytes.extend_from_slice(&stored);
        PageRef::of(0, offset, &stored)
    };
    let place = Place::Data { lineage: 0, pack: 0, ordinal: 0, offset: 192, len: frame_len };
    let extents =
        vec![Extent { first: 0, count: 1, place: Place::Zero }, Extent { first: 1, count: 1, place }];
    let leaf = add(PageKind::Leaf, &Leaf { index: 0, extents }.encode(2).unwrap());
    let node = add(PageKind::Node, &Node { index: 0, children: vec![Child::Page(leaf)] }.encode(1).unwrap());
    let table = add(PageKind::PackTable, &PackTablePage(vec![info.clone()]).encode(SUITE).unwrap());
    let lineage = vec![RootLineage { point: point(), packs: 1, table: Some(PackTableRef::new(1, table)) }];
    let root = Root { volume_size: 16_387, block_size, lineage, nodes: vec![Child::Page(node)] };
    let root = add(PageKind::Root, &root.encode().unwrap());
    let footer = MapFooter { root_offset: root.offset, root_len: root.len, root_digest: root.digest };
    let _ = writeln!(pages, "  footer at {}\n", bytes.len());
    bytes.extend_from_slice(&footer.encode(&cipher, &header));
    let _ = writeln!(out, "map\n  key       {key}\n  C(key)    {context}");
    out.push_str(&pages);
    let _ = writeln!(out, "  object:\n");
    dump(out, &bytes);
    let map_len = bytes.len() as u64;
    Stored {
        root: RootRef { offset: root.offset, length: root.len, digest: root.digest },
        pack_len: info.object_len,
        map_len,
        metadata: map_len + info.object_len - info.trailer_offset,
    }
}

fn dump(out: &mut String, bytes: &[u8]) {
    for (line, chunk) in bytes.chunks(32).enumerate() {
        let hex: Vec<String> =
            chunk.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
        let _ = writeln!(out, "    {:5}  {}", 32 * line, hex.join(" "));
    }
    out.push('\n');
}

fn text() -> String {
    let mut body = String::new();
    let (info, frame_len) = pack(&mut body);
    let stored = map(&mut body, &info, frame_len);
    documents::documents(&mut body, &stored);
    let mut more = String::new();
    pieces::pieces(&mut more, info);
    format!(
        "{TITLE}\nA volume `db` of 16,387 bytes in blocks of 16 KiB: block 0 is zero, block 1 is the three bytes `abc`, stored \
         raw. Suite 1.\nRepository id 000102…0f, M is 32 times 11, H 32 times 22, the pack key 32 times 33 (all \
         hexadecimal). The chain's X25519 key is\nDeriveKeyPair (RFC 9180) of 32 times 44; the pack key is sealed \
         to it with the ephemeral key DeriveKeyPair of 32 times 66. The point\nopens its chain, so both have one \
         id. The recovery key's X25519 key is DeriveKeyPair of 32 times 77, its Ed25519 seed 32 times 88; the chain's key is sealed to\nit \
         with the ephemeral key DeriveKeyPair of 32 times bb. The Ed25519 seed of the writer key is 32 times dd. What follows is a whole \
         repository.\nA text is one line; where it is longer than {} characters it goes on two columns further right. The crate's tests \
         write this section and\ncompare it, and the reader in `tests/reader` reads the volume from it.\n\n```\n{}\n```\n\n\
         Pieces that this repository does not need:\n\n```\n{}\n```\n",
        documents::WIDTH,
        body.trim_end(),
        more.trim_end()
    )
}

#[test]
#[cfg_attr(feature = "lz4-flex", ignore = "its compressed frame is one of the C library")]
fn the_specification_shows_what_is_written() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/format.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, section) = page.split_once(TITLE).unwrap_or((&page, ""));
    let end = section.find("\n## ").map_or(section.len(), |end| end + 1);
    if std::env::var_os("COFFER_WRITE_EXAMPLE").is_some() {
        let after = &section[end..];
        std::fs::write(&path, format!("{}\n\n{}{after}", before.trim_end(), text())).unwrap();
        return;
    }
    let section = &section[..end];
    assert!(
        format!("{TITLE}{section}").trim_end() == text().trim_end(),
        "docs/format.md section 10 differs:\n{}",
        text()
    );
}
