//! Valid structures made from fixed entropy, shared by the tests, the golden bytes and the fuzz targets' seeds.
#![allow(dead_code, reason = "each test crate that includes this file uses a part of it")]

use std::collections::BTreeMap;

use coffer_format::object_key;
use coffer_format::{
    BlockHasher, BlockSize, ChainKeyDocument, ChainPrivateKey, ChainPublicKey, ChangeSource, Child, Codec,
    Confirmed, Damaged, DamagedOrdinals, Digest, Document, Ended, EndedObjects, EndedVolume, Ending, Extent,
    FRAME_OVERHEAD, FrameSealer, FreshPackKey, Id, KeyFile, Leaf, LineageEntry, Manifest, MapFooter,
    MapHeader, MetadataCipher, Node, ObjectContext, PACK_HEADER_LEN, PackHeader, PackInfo, PackKey,
    PackRanges, PackTableIndex, PackTablePage, PackTableRef, PageKind, PageRef, Pin, PinKind, Place, PlanId,
    PointState, PointType, Reason, Recipient, RepositoryId, Root, RootLineage, RootRef, RotationPoints,
    SealedSecret, SecretsWish, Signed, Signer, StandingPoint, Suite, Summary, TakenPacksPage, TeamSecrets,
    TeamStatement, Timestamp, Trailer, TrailerBuilder, TrailerEntry, VolumeKind, VolumeName, VolumePath,
    VolumeRecord, VolumeState, generate_chain_pair, seal_chain_key, seal_pack_key,
};

pub(crate) const SUITES: [Suite; 2] = [Suite::None, Suite::Aes256Gcm];
pub(crate) const VOLUME_SIZE: u64 = 9 * 16_384 + 3;
pub(crate) const BLOCKS: u32 = 10;

/// Deterministic entropy: consecutive bytes from `start`.
pub(crate) fn entropy(start: u8) -> impl FnMut(&mut [u8]) {
    let mut next = start;
    move |out| {
        for byte in out {
            *byte = next;
            next = next.wrapping_mul(5).wrapping_add(1);
        }
    }
}

pub(crate) fn repository() -> RepositoryId {
    RepositoryId::from_bytes(std::array::from_fn(|index| index as u8 * 17))
}

pub(crate) fn id(number: u8) -> Id {
    Id::from_parts(1_795_251_600_000 + u64::from(number) * 3_600_000, [number; 10])
}

pub(crate) fn plan() -> PlanId {
    "acme/berlin-1/shop/nightly".parse().unwrap()
}

pub(crate) fn volume() -> VolumeName {
    "db data/ü".parse().unwrap()
}

pub(crate) fn time(number: u8) -> Timestamp {
    Timestamp::from_unix_ms(1_795_251_600_000 + i64::from(number) * 3_600_000)
}

pub(crate) fn path(point: u8) -> VolumePath {
    VolumePath { plan: plan(), chain: id(1), point: id(point), volume: volume() }
}

pub(crate) fn recovery_key() -> KeyFile {
    KeyFile::generate_team(repository(), plan().team, &mut entropy(1))
}

pub(crate) fn writer_key() -> KeyFile {
    recovery_key().writer_key(id(9), &mut entropy(2)).unwrap()
}

pub(crate) fn secrets(suite: Suite) -> TeamSecrets {
    match suite {
        Suite::None => TeamSecrets::unencrypted(&repository()),
        Suite::Aes256Gcm => recovery_key().newest_secrets().secrets.clone(),
    }
}

pub(crate) fn signer(suite: Suite) -> Signer {
    match suite {
        Suite::None => Signer::None,
        Suite::Aes256Gcm => writer_key().signer(),
    }
}

pub(crate) fn verifier(suite: Suite) -> coffer_format::Verifier {
    match suite {
        Suite::None => coffer_format::Verifier::unencrypted(repository()),
        Suite::Aes256Gcm => writer_key().verifier(),
    }
}

pub(crate) fn chain_pair() -> (ChainPrivateKey, ChainPublicKey) {
    generate_chain_pair([77; 32])
}

pub(crate) fn pack_context(number: u32) -> ObjectContext {
    ObjectContext::new(&repository(), &object_key::pack(&path(2), number))
}

pub(crate) fn pack_cipher(suite: Suite, number: u32) -> MetadataCipher {
    MetadataCipher::new(suite, &secrets(suite), &pack_context(number))
}

pub(crate) fn map_context() -> ObjectContext {
    ObjectContext::new(&repository(), &object_key::map(&path(2)))
}

pub(crate) fn map_cipher(suite: Suite) -> MetadataCipher {
    MetadataCipher::new(suite, &secrets(suite), &map_context())
}

pub(crate) fn fresh_key(suite: Suite, number: u32) -> FreshPackKey {
    match suite {
        Suite::None => PackKey::unencrypted(&pack_context(number)),
        Suite::Aes256Gcm => PackKey::from_entropy([40 + number as u8; 32]),
    }
}

pub(crate) fn sealed_key(suite: Suite, number: u32) -> Option<SealedSecret> {
    match suite {
        Suite::None => None,
        Suite::Aes256Gcm => {
            let (_, chain) = chain_pair();
            let key = fresh_key(suite, number);
            Some(seal_pack_key(&key, &chain, &pack_context(number), [50 + number as u8; 32]).unwrap())
        }
    }
}

pub(crate) fn pack_header(suite: Suite, number: u32) -> PackHeader {
    PackHeader {
        suite,
        block_size: BlockSize::new(16_384).unwrap(),
        number,
        origin: repository(),
        context: pack_context(number),
        sealed_key: sealed_key(suite, number),
    }
}

/// A whole pack of three blocks (3, 4 and 9), with its frames' places and trailer.
pub(crate) struct SamplePack {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: Vec<(u64, usize)>,
    pub(crate) trailer: Trailer,
}

/// Stored bytes are what they are: `blocks` says nothing about compression but their codec.
pub(crate) fn blocks() -> [(u32, Codec, Vec<u8>); 3] {
    [
        (3, Codec::Lz4, b"\x1f\x2a\x01\x00not really".to_vec()),
        (4, Codec::Zstd, vec![7; 40]),
        (9, Codec::Raw, b"abc".to_vec()),
    ]
}

pub(crate) fn pack(suite: Suite, number: u32) -> SamplePack {
    let mut bytes = pack_header(suite, number).encode().to_vec();
    assert_eq!(bytes.len(), PACK_HEADER_LEN);
    let mut sealer = FrameSealer::new(suite, fresh_key(suite, number), &pack_context(number)).unwrap();
    let hasher = BlockHasher::new(&secrets(suite), &repository());
    let mut builder = TrailerBuilder::new();
    let mut frames = Vec::new();
    for (block, codec, stored) in blocks() {
        let mut frame = vec![0; stored.len() + FRAME_OVERHEAD];
        let sealed = sealer.seal_from(codec, &stored, &mut frame).unwrap();
        builder.push(TrailerEntry::new(block, hasher.hash(&stored), &sealed)).unwrap();
        frames.push((bytes.len() as u64, frame.len()));
        bytes.extend_from_slice(&frame);
    }
    let header = pack_header(suite, number).encode();
    let trailer = builder.finish(&pack_cipher(suite, number), &header, bytes.len() as u64).unwrap();
    bytes.extend_from_slice(&trailer.bytes);
    SamplePack { bytes, frames, trailer }
}

pub(crate) fn map_header(suite: Suite) -> MapHeader {
    MapHeader {
        suite,
        block_size: BlockSize::new(16_384).unwrap(),
        origin: repository(),
        context: map_context(),
    }
}

pub(crate) fn leaf() -> Leaf {
    let data = |lineage, pack, ordinal, offset, len| Place::Data { lineage, pack, ordinal, offset, len };
    let extents = vec![
        Extent { first: 0, count: 3, place: Place::Zero },
        Extent { first: 3, count: 2, place: data(1, 0, 0, 192, 103) },
        Extent { first: 5, count: 2, place: data(0, 7, 20, 4_000, 900) },
        Extent { first: 7, count: 1, place: data(0, 7, 30, 6_000, 25) },
        Extent { first: 8, count: 1, place: Place::Zero },
        Extent { first: 9, count: 1, place: data(1, 0, 2, 295, 27) },
    ];
    Leaf { index: 0, extents }
}

pub(crate) fn page_ref(lineage: u16, offset: u64) -> PageRef {
    PageRef { lineage, offset, len: 300, digest: Digest::of(&offset.to_le_bytes()) }
}

pub(crate) const NODE_LEAF_COUNT: u32 = 256 + 7;

pub(crate) fn node() -> Node {
    let children =
        vec![Child::Zero(2), Child::Page(page_ref(0, 64)), Child::Page(page_ref(1, 70_000)), Child::Zero(3)];
    Node { index: 1, children }
}

pub(crate) fn pack_info(suite: Suite, number: u32) -> PackInfo {
    pack(suite, number).trailer.info(sealed_key(suite, number))
}

pub(crate) fn pack_table(suite: Suite) -> PackTablePage {
    PackTablePage(vec![pack_info(suite, 0), pack_info(suite, 1)])
}

/// Packs 1 and 3 of an unfinished run.
pub(crate) fn taken_packs(suite: Suite) -> TakenPacksPage {
    TakenPacksPage(vec![None, Some(pack_info(suite, 1)), None, Some(pack_info(suite, 3))])
}

pub(crate) fn ranges(numbers: &[u32]) -> PackRanges {
    let mut ranges = PackRanges::default();
    assert!(numbers.iter().all(|number| ranges.push(*number)));
    ranges
}

/// A record of a point that took packs over from two unfinished runs, of the second of which it needed none.
pub(crate) fn resumed_record() -> VolumeRecord {
    let entry = |point, packs, bytes, taken| LineageEntry { point: id(point), packs, bytes, taken };
    let lineage = vec![
        entry(1, 257, 1 << 33, None),
        entry(5, 4, 9_000, Some(ranges(&[1, 3]))),
        entry(6, 0, 0, Some(ranges(&[]))),
        entry(2, 2, 4_321, None),
    ];
    VolumeRecord { lineage, ..record() }
}

pub(crate) fn resumed_root() -> Root {
    let own = root();
    let table = |packs, lineage, offset| Some(PackTableRef::new(packs, page_ref(lineage, offset)));
    let lineage = vec![
        own.lineage[0],
        RootLineage { point: id(5), packs: 4, table: table(4, 3, 1_100) },
        RootLineage { point: id(6), packs: 0, table: None },
        RootLineage { point: id(2), packs: 2, table: table(2, 3, 64) },
    ];
    Root { lineage, nodes: vec![Child::Page(page_ref(3, 2_000))], ..own }
}

pub(crate) fn pack_table_index() -> PackTableIndex {
    PackTableIndex(vec![page_ref(1, 64), page_ref(1, 500), page_ref(1, 1_000)])
}

pub(crate) fn root() -> Root {
    let table = |packs, lineage, offset| PackTableRef::new(packs, page_ref(lineage, offset));
    Root {
        volume_size: VOLUME_SIZE,
        block_size: BlockSize::new(16_384).unwrap(),
        lineage: vec![
            RootLineage { point: id(1), packs: 257, table: Some(table(257, 0, 90_000)) },
            RootLineage { point: id(3), packs: 0, table: None },
            RootLineage { point: id(2), packs: 2, table: Some(table(2, 2, 64)) },
        ],
        nodes: vec![Child::Page(page_ref(2, 2_000))],
    }
}

pub(crate) fn root_payload() -> Vec<u8> {
    root().encode().unwrap()
}

/// A whole map object: leaf, node, pack table, index and root pages of the samples, sealed one after the other, and the footer.
pub(crate) fn map_object(suite: Suite) -> (Vec<u8>, Vec<(PageKind, u64, usize)>) {
    let cipher = map_cipher(suite);
    let mut bytes = map_header(suite).encode().to_vec();
    let mut pages = Vec::new();
    let payloads = [
        (PageKind::Leaf, leaf().encode(BLOCKS).unwrap()),
        (PageKind::Node, node().encode(NODE_LEAF_COUNT).unwrap()),
        (PageKind::PackTable, pack_table(suite).encode(suite).unwrap()),
        (PageKind::PackTableIndex, pack_table_index().encode().unwrap()),
        (PageKind::Root, root_payload()),
    ];
    for (kind, payload) in payloads {
        let page = cipher.seal_page(kind, bytes.len() as u64, &payload);
        pages.push((kind, bytes.len() as u64, page.len()));
        bytes.extend_from_slice(&page);
    }
    bytes.extend_from_slice(&map_footer(&bytes, &pages).encode(&cipher, &map_header(suite).encode()));
    (bytes, pages)
}

/// What the footer says of a map whose last page is the root.
pub(crate) fn map_footer(bytes: &[u8], pages: &[(PageKind, u64, usize)]) -> MapFooter {
    let (_, root_offset, len) = *pages.last().unwrap();
    let start = usize::try_from(root_offset).unwrap();
    let root_len = u32::try_from(len).unwrap();
    MapFooter { root_offset, root_len, root_digest: Digest::of(&bytes[start..start + len]) }
}

pub(crate) fn summary() -> Summary {
    Summary {
        kind: PointType::Incremental,
        state: PointState::Partial,
        reason: Reason::Continues(300),
        time: time(2),
        completed: time(3),
        sequence: 2,
        size: VOLUME_SIZE,
        changed: 32_771,
        stored: 5_000,
        chain: id(1),
        parent: Some(id(1)),
        volumes: Some(vec![volume(), "broken".parse().unwrap()]),
    }
}

pub(crate) fn record() -> VolumeRecord {
    let PlanId { team, cluster, namespace, plan } = plan();
    VolumeRecord {
        format: 1,
        repository: repository(),
        team,
        cluster,
        namespace,
        plan,
        chain: id(1),
        point: id(2),
        name: volume(),
        kind: VolumeKind::Device,
        state: VolumeState::Available,
        point_type: PointType::Incremental,
        type_reason: "continues the chain of \"db\"".to_owned(),
        size: VOLUME_SIZE,
        block_size: BlockSize::new(16_384).unwrap(),
        lineage: vec![
            LineageEntry { point: id(1), packs: 257, bytes: 1 << 33, taken: None },
            LineageEntry { point: id(2), packs: 2, bytes: 4_321, taken: None },
        ],
        root: Some(RootRef { offset: 2_400, length: 180, digest: Digest::of(b"root") }),
        read: VOLUME_SIZE,
        changed: 32_771,
        blocks_changed: 3,
        stored: 5_000,
        metadata: 700,
        changes: ChangeSource::hash(),
        sampled_blocks: 0,
        sample_mismatches: 0,
        error: None,
        warnings: vec!["it shrank from 80 to 32 MiB".to_owned()],
        attributes: BTreeMap::from([("base.token".to_owned(), "b-17".to_owned())]).try_into().unwrap(),
    }
}

pub(crate) fn failed_record() -> VolumeRecord {
    VolumeRecord {
        name: "broken".parse().unwrap(),
        kind: VolumeKind::Image,
        state: VolumeState::Failed,
        lineage: Vec::new(),
        root: None,
        size: 0,
        error: Some("read /dev/vdb:\n\tinput/output error \u{1}".to_owned()),
        ..record()
    }
}

pub(crate) fn manifest(suite: Suite) -> Signed<Manifest> {
    let signer = signer(suite);
    let VolumeRecord { repository, team, cluster, namespace, plan, chain, point, .. } = record();
    let payload = Manifest {
        format: 1,
        repository,
        team,
        cluster,
        namespace,
        plan,
        chain,
        point,
        sequence: 2,
        parent: Some(id(1)),
        state: PointState::Partial,
        point_type: PointType::Incremental,
        reason: Reason::Continues(300).into(),
        time: time(2),
        started: time(2),
        completed: time(3),
        size: VOLUME_SIZE,
        changed: 32_771,
        stored: 5_000,
        reused_runs: vec![id(5)],
        idempotency_key: Some("nightly-2026-11-21".to_owned()),
        description: "before the upgrade".to_owned(),
        tags: BTreeMap::from([("app".to_owned(), "shop".to_owned()), ("tier".to_owned(), "gold".to_owned())]),
        writer: "coffer 0.1.0".to_owned(),
        attributes: BTreeMap::from([("site".to_owned(), "berlin".to_owned())]).try_into().unwrap(),
        volumes: vec![signer.sign(&record()), signer.sign(&failed_record())],
        resources: Vec::new(),
    };
    payload.check().unwrap();
    signer.sign(&payload)
}

pub(crate) fn chain_key_document(suite: Suite) -> Signed<ChainKeyDocument> {
    let PlanId { team, cluster, namespace, plan: name } = plan();
    let recovery = recovery_key();
    let context = ObjectContext::new(&repository(), &object_key::chain_key(&plan(), &id(1), 1));
    let (private, public) = chain_pair();
    let sealed = seal_chain_key(&private, &recovery.x25519_public, &context, [60; 32]).unwrap();
    signer(suite).sign(&ChainKeyDocument {
        format: 1,
        repository: repository(),
        team,
        cluster,
        namespace,
        plan: name,
        chain: id(1),
        secrets: 1,
        public,
        recipients: vec![Recipient { generation: 1, x25519: recovery.x25519_public, sealed }],
    })
}

pub(crate) fn team_statement() -> Signed<TeamStatement> {
    recovery_key().team_statement().unwrap()
}

/// The key of generation 3, which followed 1 and brought new secrets, and its statement.
pub(crate) fn rotated_key() -> (KeyFile, Signed<TeamStatement>) {
    let first = recovery_key();
    let key = first.rotate(3, SecretsWish::Replace, &mut entropy(3)).unwrap();
    let statement = first.publish(&key).unwrap();
    (key, statement)
}

/// What that rotation found: the point of the sample manifest, and another.
pub(crate) fn rotation_points() -> Signed<RotationPoints> {
    let standing = manifest(Suite::Aes256Gcm);
    let mut points = vec![
        StandingPoint { point: standing.payload.point, manifest: standing.seal.digest },
        StandingPoint { point: id(200), manifest: Digest::of(b"another manifest") },
    ];
    points.sort_by_key(|standing| standing.point);
    let PlanId { team, .. } = plan();
    let list = RotationPoints { format: 1, repository: repository(), team, generation: 3, points };
    rotated_key().0.sign_as_recovery(list).unwrap()
}

pub(crate) fn ending() -> Ending {
    let PlanId { team, cluster, namespace, plan } = plan();
    let (repository, point, run, time) = (repository(), id(2), id(8), time(8));
    Ending { format: 1, repository, team, cluster, namespace, plan, point, run, time }
}

pub(crate) fn ended() -> Ended {
    let volumes = vec![
        EndedVolume { name: "a".parse().unwrap(), map: true, packs: Vec::new() },
        EndedVolume { name: volume(), map: false, packs: vec![(0, 0), (2, 9)] },
    ];
    let objects = EndedObjects { keys: vec![1, 2], volumes };
    let PlanId { team, cluster, namespace, plan } = plan();
    let (repository, chain, point, run, time) = (repository(), id(1), id(2), id(8), time(8));
    Ended { format: 1, repository, team, cluster, namespace, plan, chain, point, run, time, objects }
}

pub(crate) fn pin() -> Pin {
    Pin {
        format: 1,
        repository: repository(),
        team: plan().team,
        point: id(2),
        run: id(7),
        kind: PinKind::Hold,
        time: time(7),
        note: "audit 2026".to_owned(),
    }
}

pub(crate) fn damaged(ordinals: DamagedOrdinals) -> Damaged {
    Damaged {
        format: 1,
        repository: repository(),
        team: plan().team,
        point: id(2),
        volume: volume(),
        pack: 1,
        run: id(7),
        time: time(7),
        ordinals,
        detail: "authentication failed".to_owned(),
    }
}

pub(crate) fn confirmed(suite: Suite) -> Confirmed {
    let manifest = manifest(suite);
    let PlanId { team, cluster, namespace, plan } = plan();
    Confirmed {
        format: 1,
        repository: repository(),
        team,
        cluster,
        namespace,
        plan,
        point: manifest.payload.point,
        summary: manifest.payload.summary().encode(),
        manifest: manifest.seal.digest,
    }
}

/// The object of a record that a writer of the suite signs.
pub(crate) fn stored<T: Document>(suite: Suite, record: &T) -> Vec<u8> {
    signer(suite).sign(record).encode()
}
