//! The documents of the worked example: with its pack and its map they are a whole repository.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coffer_format::{
    Attributes, ChainKeyDocument, ChangeSource, Config, Confirmed, Document, Id, KeyFile, LineageEntry,
    Manifest, ObjectContext, PointState, PointType, Reason, Recipient, RootRef, Signed, Summary, Timestamp,
    VolumeKind, VolumeRecord, VolumeState, generate_chain_pair, object_key, seal_chain_key,
};

use super::{block_size, path, point, repository};

/// Characters of a line; a longer text goes on in the next one, two columns further right.
pub(super) const WIDTH: usize = 120;

/// What the pack and the map of the example add to its documents.
pub(super) struct Stored {
    pub(super) root: RootRef,
    pub(super) pack_len: u64,
    pub(super) map_len: u64,
    /// Map and trailer with footer.
    pub(super) metadata: u64,
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_795_251_600_000 + ms)
}

/// Every draw is filled with one byte: 11 for M, 22 for H, 77 for X25519, 88 for Ed25519, 99 for the writer, aa for the serial.
pub(super) fn recovery_key() -> KeyFile {
    let mut draws = [0x11, 0x22, 0x77, 0x88, 0x99, 0xaa].into_iter();
    KeyFile::generate_team(repository(), path().plan.team, &mut |out| out.fill(draws.next().unwrap()))
}

fn writer_key() -> KeyFile {
    recovery_key()
        .writer_key(Id::from_parts(1_795_251_599_000, [0xcc; 10]), &mut |out| out.fill(0xdd))
        .unwrap()
}

fn lines(out: &mut String, text: &str) {
    for line in text.lines() {
        let mut rest = line;
        let mut indent = 4;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(WIDTH));
            assert!(now.trim() == now, "a line of the page would begin or end with a space: {now}");
            let _ = writeln!(out, "{:indent$}{now}", "");
            (rest, indent) = (later, 6);
        }
    }
    out.push('\n');
}

fn document(out: &mut String, what: &str, key: &str, bytes: &[u8]) {
    let _ = writeln!(out, "{what}\n  key       {key}\n");
    lines(out, std::str::from_utf8(bytes).unwrap());
}

fn signed<T: Document>(out: &mut String, what: &str, key: &str, document_of: &Signed<T>) {
    recovery_key().verifier().verify(document_of).unwrap();
    let bytes = document_of.encode();
    assert_eq!(&Signed::<T>::decode_at(key, &bytes).unwrap().payload.team().to_string(), "acme");
    document(out, what, key, &bytes);
}

fn chain_key() -> Signed<ChainKeyDocument> {
    let recovery = recovery_key();
    let plan = path().plan;
    let (private, public) = generate_chain_pair([0x44; 32]);
    let context = ObjectContext::new(&repository(), &object_key::chain_key(&plan, &point(), 1));
    let sealed = seal_chain_key(&private, &recovery.x25519_public, &context, [0xbb; 32]).unwrap();
    writer_key().signer().sign(&ChainKeyDocument {
        format: 1,
        repository: repository(),
        team: plan.team,
        cluster: plan.cluster,
        namespace: plan.namespace,
        plan: plan.plan,
        chain: point(),
        secrets: 1,
        public,
        recipients: vec![Recipient { generation: 1, x25519: recovery.x25519_public, sealed }],
    })
}

fn record(stored: &Stored) -> VolumeRecord {
    let plan = path().plan;
    let total = stored.pack_len + stored.map_len;
    VolumeRecord {
        format: 1,
        repository: repository(),
        team: plan.team,
        cluster: plan.cluster,
        namespace: plan.namespace,
        plan: plan.plan,
        chain: point(),
        point: point(),
        name: path().volume,
        kind: VolumeKind::Image,
        state: VolumeState::Available,
        point_type: PointType::Full,
        type_reason: "first".to_owned(),
        size: 16_387,
        block_size: block_size(),
        lineage: vec![LineageEntry { point: point(), packs: 1, bytes: total, taken: None }],
        root: Some(stored.root),
        read: 16_387,
        changed: 16_387,
        blocks_changed: 2,
        stored: total,
        metadata: stored.metadata,
        changes: ChangeSource::hash(),
        sampled_blocks: 0,
        sample_mismatches: 0,
        error: None,
        warnings: Vec::new(),
        attributes: Attributes::default(),
    }
}

fn manifest(stored: &Stored) -> Manifest {
    let plan = path().plan;
    let total = stored.pack_len + stored.map_len;
    Manifest {
        format: 1,
        repository: repository(),
        team: plan.team,
        cluster: plan.cluster,
        namespace: plan.namespace,
        plan: plan.plan,
        chain: point(),
        point: point(),
        sequence: 1,
        parent: None,
        state: PointState::Available,
        point_type: PointType::Full,
        reason: Reason::NoParent.into(),
        time: time(0),
        started: time(200),
        completed: time(1_500),
        size: 16_387,
        changed: 16_387,
        stored: total,
        reused_runs: Vec::new(),
        idempotency_key: None,
        description: String::new(),
        tags: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
        writer: "coffer/0.1.0".to_owned(),
        attributes: Attributes::default(),
        volumes: vec![writer_key().signer().sign(&record(stored))],
        resources: Vec::new(),
    }
}

/// Appends all documents; returns nothing that the page does not show.
pub(super) fn documents(out: &mut String, stored: &Stored) {
    let plan = path().plan;
    let config = Config::new(repository(), true);
    document(out, "configuration", &object_key::config(), &config.encode());
    let _ = writeln!(out, "recovery key file\n");
    lines(out, &recovery_key().encode());
    let _ = writeln!(out, "writer key file; its certificate is the one in the seals below\n");
    lines(out, &writer_key().encode());
    let statement = recovery_key().team_statement().unwrap();
    signed(out, "team statement", &object_key::team(&plan.team, 1), &statement);
    signed(out, "chain key", &object_key::chain_key(&plan, &point(), 1), &chain_key());
    let manifest = manifest(stored);
    manifest.check().unwrap();
    let summary: Summary = manifest.summary();
    let sealed = writer_key().signer().sign(&manifest);
    signed(out, "manifest", &manifest.key(), &sealed);
    let confirmed = Confirmed {
        format: 1,
        repository: repository(),
        team: plan.team,
        cluster: plan.cluster,
        namespace: plan.namespace,
        plan: plan.plan,
        point: point(),
        summary: summary.encode(),
        manifest: sealed.seal.digest,
    };
    let record = writer_key().signer().sign(&confirmed);
    signed(out, "confirmed record", &confirmed.key(), &record);
}
