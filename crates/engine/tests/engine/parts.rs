//! One point of volumes on several nodes: opened and committed by a coordinator, backed up by nodes with keys of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_blockio::BlockSource;
use coffer_engine::backup::{
    BackupReport, ChangeSource, OpenOutcome, OpenPoint, PointReference, PointRequest, TypeWish, VolumeSource,
    VolumesDone, VolumesRequest, back_up_volumes, commit_point, open_point,
};
use coffer_engine::catalog::load_manifest;
use coffer_engine::{Access, Advice, EngineError, PruneRequest, forget_points, run_prune};
use coffer_format::{
    BlockSize, Compression, Id, KeyFile, LineageEntry, PointState, PointType, Signed, VolumeRecord,
};
use coffer_store::MemoryStore;

use crate::history::Made;
use crate::sources::{Trouble, Troubled};
use crate::world::{Image, Silent, World};

const BLOCK: usize = 16 << 10;
const PACK_BYTES: u64 = 192 + 4 * (BLOCK as u64 + 24);

/// A coordinator and two nodes, each with a writer key of its own; the world itself holds the recovery key.
struct Team {
    world: World,
    store: Arc<MemoryStore>,
    coordinator: World,
    nodes: [World; 2],
}

impl Team {
    fn new(seed: u64, encrypted: bool) -> Team {
        let store = Arc::new(MemoryStore::new());
        let mut world = World::on(store.clone(), seed, encrypted).in_small_steps();
        world.resources.pack_bytes = PACK_BYTES;
        world.block_size = Some(BlockSize::new(BLOCK as u32).unwrap());
        let with_key = |number| {
            let mut other = world.over(store.clone());
            other.recovery = world.recovery.as_ref().map(|key| writer_of(key, number));
            other
        };
        let (coordinator, nodes) = (with_key(1), [with_key(2), with_key(3)]);
        Team { world, store, coordinator, nodes }
    }

    fn wanted(&self, names: &[&str]) -> PointRequest {
        PointRequest {
            resources: Vec::new(),
            resources_only: false,
            plan: self.world.plan.clone(),
            volumes: names.iter().map(|name| name.parse().unwrap()).collect(),
            type_wish: TypeWish::Auto,
            full_every: 24,
            list_base: None,
            snapshot_time: None,
            idempotency_key: None,
            description: String::new(),
            tags: BTreeMap::new(),
            writer: "test".into(),
        }
    }

    fn open(&self, wanted: &PointRequest) -> OpenPoint {
        self.world.clock.advance_ms(3_600_000);
        match open_point(&self.coordinator.repository(), wanted).unwrap() {
            OpenOutcome::New(point) => point,
            OpenOutcome::Repeated(report) => panic!("{} was made before", report.point),
        }
    }

    fn part(&self, node: usize, reference: &PointReference, volumes: &[(&str, &Image)]) -> VolumesDone {
        self.try_part(node, reference, volumes).unwrap()
    }

    fn try_part(
        &self,
        node: usize,
        reference: &PointReference,
        volumes: &[(&str, &Image)],
    ) -> Result<VolumesDone, EngineError> {
        let boxed =
            volumes.iter().map(|volume| (volume.0, Box::new(volume.1.clone()) as Box<dyn BlockSource>));
        self.part_of(node, reference, boxed.collect())
    }

    fn part_of(
        &self,
        node: usize,
        reference: &PointReference,
        volumes: Vec<(&str, Box<dyn BlockSource>)>,
    ) -> Result<VolumesDone, EngineError> {
        let named =
            |(name, source): (&str, _)| VolumeSource { name: name.parse().unwrap(), source: Ok(source) };
        let volumes: Vec<VolumeSource> = volumes.into_iter().map(named).collect();
        let request = VolumesRequest {
            reference,
            volumes: &volumes,
            changes: ChangeSource::Auto,
            lists: None,
            block_size: self.world.block_size,
            compression: Compression::Lz4,
            progress: &Silent,
        };
        let node = &self.nodes[node];
        back_up_volumes(&node.repository(), &node.resources, &request).map(over_a_wire)
    }

    fn commit(
        &self,
        wanted: &PointRequest,
        point: &OpenPoint,
        done: Vec<VolumesDone>,
    ) -> Result<BackupReport, EngineError> {
        commit_point(&self.coordinator.repository(), wanted, point, done)
    }

    /// Both nodes back one volume up, and the coordinator commits.
    fn make(&self, a: &Image, b: &Image) -> (BackupReport, Made) {
        let wanted = self.wanted(&["a", "b"]);
        let point = self.open(&wanted);
        let done =
            vec![self.part(1, &point.reference, &[("b", b)]), self.part(0, &point.reference, &[("a", a)])];
        let report = self.commit(&wanted, &point, done).unwrap();
        (report, Made::new(point.reference.point, &[("a", a), ("b", b)]))
    }

    fn signed_by(&self, node: usize, record: &VolumeRecord) -> Signed<VolumeRecord> {
        match self.nodes[node].repository().access() {
            Access::Key(key) => key.signer().sign(record),
            _ => panic!("a node without a key"),
        }
    }

    fn announce(&self, id: &Id) {
        self.world.announce_end(*id);
    }

    fn check(&self, made: &[&Made], context: &str) {
        for _ in 0..2 {
            run_prune(&self.world.repository(), &PruneRequest::default()).unwrap();
        }
        self.world.assert_nothing_unneeded(context);
        self.world.assert_all_restore(made.iter().copied(), context);
        self.world.assert_sound();
    }
}

fn writer_of(key: &KeyFile, number: u8) -> KeyFile {
    let mut draw = |out: &mut [u8]| {
        out.iter_mut().zip(number..).for_each(|(byte, value)| *byte = value.wrapping_mul(37))
    };
    key.writer_key(Id::from_parts(1, [number; 10]), &mut draw).unwrap()
}

/// What a coordinator has after the records went through bytes.
fn over_a_wire(done: VolumesDone) -> VolumesDone {
    let again = |record: Signed<VolumeRecord>| {
        let bytes = record.encode();
        let decoded = Signed::<VolumeRecord>::decode(&bytes).unwrap();
        assert_eq!(decoded, record);
        for at in [0, bytes.len() / 4, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Signed::<VolumeRecord>::decode(&flipped).is_err(), "byte {at} of {}", bytes.len());
        }
        decoded
    };
    VolumesDone { records: done.records.into_iter().map(again).collect(), error: None, ..done }
}

fn images(seed: u64) -> (Image, Image) {
    (Image::noise(seed, 13 * BLOCK + 7), Image::noise(seed + 1, 9 * BLOCK))
}

#[test]
fn two_nodes_make_one_point_and_the_next_builds_on_it() {
    for encrypted in [true, false] {
        let team = Team::new(1, encrypted);
        let (mut a, mut b) = images(1);
        let (first, made) = team.make(&a, &b);
        assert_eq!((first.kind, first.state, first.sequence), (PointType::Full, PointState::Available, 1));
        let names: Vec<_> = first.volumes.iter().map(|volume| volume.name.to_string()).collect();
        assert_eq!(names, ["a", "b"], "the request's order, whoever comes first");
        assert_eq!(first.bytes_written, first.volumes.iter().map(|volume| volume.stored).sum::<u64>());
        (a.bytes[0], b.bytes[0]) = (!a.bytes[0], !b.bytes[0]);
        let (second, made_next) = team.make(&a, &b);
        assert_eq!((second.kind, second.parent), (PointType::Incremental, Some(first.point)));
        assert!(second.volumes.iter().all(|volume| volume.blocks_changed == 1), "{:?}", second.volumes);
        // A run of one process goes on where the nodes were, and they after it.
        let third = team.world.make(&[("b", &b), ("a", &a)]);
        assert_eq!(team.world.find(third.id).unwrap().summary.parent, Some(second.point));
        let (fourth, made_last) = team.make(&a, &b);
        assert_eq!(fourth.parent, Some(third.id));
        team.check(&[&made, &made_next, &third, &made_last], "four points");
    }
}

#[test]
fn the_same_idempotency_key_opens_no_second_point() {
    let team = Team::new(2, true);
    let (a, _) = images(2);
    let wanted = PointRequest { idempotency_key: Some("once".into()), ..team.wanted(&["a"]) };
    let point = team.open(&wanted);
    let done = team.part(0, &point.reference, &[("a", &a)]);
    team.commit(&wanted, &point, vec![done]).unwrap();
    match open_point(&team.coordinator.repository(), &wanted).unwrap() {
        OpenOutcome::Repeated(report) => {
            assert_eq!((report.point, report.repeated), (point.reference.point, true))
        }
        OpenOutcome::New(point) => panic!("{point:?}"),
    }
}

/// Rule partial_never_counts, for points of several nodes.
#[test]
fn a_node_that_does_not_answer_makes_the_point_partial() {
    let team = Team::new(3, true);
    let (a, b) = images(3);
    let (first, made) = team.make(&a, &b);
    let wanted = team.wanted(&["a", "b"]);
    let point = team.open(&wanted);
    let done = team.part(0, &point.reference, &[("a", &a)]);
    // It stored all its blocks, and its record is lost.
    team.part(1, &point.reference, &[("b", &b)]);
    let report = team.commit(&wanted, &point, vec![done]).unwrap();
    assert_eq!(report.state, PointState::Partial);
    let failed = team.world.failed_volumes(&team.world.find(report.point).unwrap());
    assert_eq!(failed.len(), 1);
    assert!(failed[0].0 == "b" && failed[0].1.contains("no record"), "{failed:?}");
    team.world.assert_all_restore([&Made::new(report.point, &[("a", &a)])], "what it has");
    // The next one builds on the complete point, and takes the place of the partial one.
    let (third, made_next) = team.make(&a, &b);
    assert_eq!(third.parent, Some(first.point));
    forget_points(&team.world.repository(), &[report.point], &Default::default(), false).unwrap();
    team.check(&[&made, &made_next], "after a partial point");
}

#[test]
fn nobody_answers_and_there_is_no_point() {
    let team = Team::new(4, true);
    let wanted = team.wanted(&["a", "b"]);
    let point = team.open(&wanted);
    let a = Image::noise(4, 3 * BLOCK);
    let failed =
        team.part_of(0, &point.reference, vec![("a", Troubled::source(&a, Trouble::Once(0)))]).unwrap();
    assert!(failed.records[0].payload.error.is_some());
    let error = team.commit(&wanted, &point, vec![failed]).unwrap_err();
    assert!(matches!(error, EngineError::AllVolumesFailed(_)), "{error:?}");
    assert!(error.to_string().contains("volume a"), "{error}");
    assert_eq!(team.world.points_and_unconfirmed(), []);
}

#[test]
fn records_that_are_forged_foreign_or_doubled_commit_nothing() {
    let team = Team::new(5, true);
    let (a, b) = images(5);
    let (_, made) = team.make(&a, &b);
    let wanted = team.wanted(&["a", "b"]);
    let other = team.open(&wanted);
    let foreign = team.part(0, &other.reference, &[("a", &a)]);
    let point = team.open(&wanted);
    let good_a = team.part(0, &point.reference, &[("a", &a)]).records.remove(0);
    let good_b = team.part(1, &point.reference, &[("b", &b)]).records.remove(0);
    let unwanted = team.part(0, &point.reference, &[("c", &a)]).records.remove(0);
    let stranger = Team::new(6, true);
    let altered = |change: &dyn Fn(&mut VolumeRecord)| {
        let mut record = good_a.payload.clone();
        change(&mut record);
        record
    };
    let unsigned = Signed { payload: altered(&|record| record.size -= 1), seal: good_a.seal.clone() };
    let other_team = stranger.signed_by(0, &good_a.payload);
    let other_plan = team.signed_by(0, &altered(&|record| record.plan = "other".parse().unwrap()));
    let other_chain = team.signed_by(0, &altered(&|record| record.chain = point.reference.point));
    let ghost = LineageEntry { point: other.reference.point, packs: 1, bytes: 9, taken: None };
    let other_base = team.signed_by(0, &altered(&|record| record.lineage.insert(0, ghost.clone())));
    let impossible = team.signed_by(0, &altered(&|record| record.root = None));
    let cases = [
        ("forged", vec![unsigned], "record-invalid"),
        ("of another team", vec![other_team], "record-invalid"),
        ("of another plan", vec![other_plan], "record-invalid"),
        ("of another chain", vec![other_chain], "record-invalid"),
        ("of another point", foreign.records, "record-invalid"),
        ("on another base", vec![other_base], "record-invalid"),
        ("impossible", vec![impossible], "record-invalid"),
        ("doubled", vec![good_a.clone(), good_a.clone()], "refused"),
        ("unwanted", vec![good_a.clone(), unwanted], "refused"),
    ];
    let before = team.world.points_and_unconfirmed().len();
    for (name, records, kind) in cases {
        let parts = records
            .into_iter()
            .chain([good_b.clone()])
            .map(|record| VolumesDone { records: vec![record], ..VolumesDone::default() });
        let error = team.commit(&wanted, &point, parts.collect()).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains("nothing was committed"), "{name}: {error}");
        assert_eq!(team.world.points_and_unconfirmed().len(), before, "{name}");
    }
    // The good ones still do, once.
    let done = || {
        let records = vec![good_a.clone(), good_b.clone()];
        vec![VolumesDone { records, ..VolumesDone::default() }]
    };
    let report = team.commit(&wanted, &point, done()).unwrap();
    assert_eq!(report.state, PointState::Available);
    let again = team.commit(&wanted, &point, done()).unwrap_err();
    assert_eq!(again.kind(), "refused", "{again}");
    let made_next = Made::new(point.reference.point, &[("a", &a), ("b", &b)]);
    team.world.assert_all_restore([&made, &made_next], "after all refusals");
    team.world.assert_sound();
}

#[test]
fn tickets_that_name_what_is_ended_foreign_or_used_are_refused() {
    let team = Team::new(7, true);
    let (a, b) = images(7);
    let (first, _) = team.make(&a, &b);
    let (second, _) = team.make(&a, &b);
    let full = PointRequest { type_wish: TypeWish::Full, ..team.wanted(&["a"]) };
    let other_chain = team.open(&full).reference;
    let mut elsewhere = team.world.over(team.store.clone());
    elsewhere.plan.plan = "other".parse().unwrap();
    let stranger = elsewhere.make(&[("a", &a)]);
    let wanted = team.wanted(&["a", "b"]);
    let partial = team.open(&wanted);
    let done = team.part(0, &partial.reference, &[("a", &a)]);
    team.commit(&wanted, &partial, vec![done]).unwrap();
    let good = team.open(&wanted).reference;
    assert_eq!(good.parent, Some(second.point));
    let with = |change: &dyn Fn(&mut PointReference)| {
        let mut reference = good.clone();
        change(&mut reference);
        reference
    };
    let unknown = Id::from_parts(1, [7; 10]);
    let keys = team.store.keys();
    let refuse = |name: &str, reference: &PointReference, advice: Advice, words: &str| {
        let error = team.try_part(0, reference, &[("a", &a)]).unwrap_err();
        assert_eq!(error.advice(), advice, "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
    };
    let stranger_id = stranger.id.to_string();
    refuse(
        "a parent of another plan",
        &with(&|t| t.parent = Some(stranger.id)),
        Advice::Fenced,
        &stranger_id,
    );
    refuse(
        "a parent that never was",
        &with(&|t| t.parent = Some(unknown)),
        Advice::Fenced,
        "no point of plan",
    );
    let partial_id = partial.reference.point;
    refuse("a partial parent", &with(&|t| t.parent = Some(partial_id)), Advice::Refused, "not complete");
    refuse(
        "another chain of the plan",
        &with(&|t| t.chain = other_chain.chain),
        Advice::Refused,
        "names chain",
    );
    refuse("no chain", &with(&|t| (t.parent, t.chain) = (None, unknown)), Advice::Fenced, "has no chain");
    refuse(
        "a chain of points without a parent",
        &with(&|t| t.parent = None),
        Advice::Fenced,
        "cannot be gone on",
    );
    refuse("another plan", &with(&|t| t.plan = elsewhere.plan.clone()), Advice::Fenced, "no point of plan");
    refuse(
        "an own chain without a key",
        &with(&|t| (t.parent, t.chain) = (None, t.point)),
        Advice::Fenced,
        "no chain",
    );
    refuse("a committed point", &partial.reference, Advice::Refused, "committed already");
    refuse("another team", &with(&|t| t.plan.team = "other".parse().unwrap()), Advice::Configure, "team");
    assert_eq!(team.store.keys(), keys, "nothing was written");
    team.part(0, &good, &[("a", &a)]);
    refuse("a reference that was used", &good, Advice::Fenced, "begun before");
    team.part(1, &good, &[("b", &b)]);
    // The parent goes while nodes still hold point references.
    let late = team.open(&wanted).reference;
    team.announce(&second.point);
    refuse("an ended parent", &late, Advice::Fenced, "being ended");
    let own = team.open(&full).reference;
    team.announce(&own.point);
    refuse("an ended point", &own, Advice::Fenced, "prune has ended it");
    assert!(team.world.find(first.point).is_some());
}

/// Rules check_own_ending and check_parent: what ended while the nodes were at it is no success.
#[test]
fn an_end_that_was_announced_meanwhile_fences_the_commit() {
    for ends_parent in [true, false] {
        let team = Team::new(8, true);
        let (a, b) = images(8);
        let (first, _) = team.make(&a, &b);
        let wanted = team.wanted(&["a"]);
        let point = team.open(&wanted);
        let done = team.part(0, &point.reference, &[("a", &a)]);
        team.announce(if ends_parent { &first.point } else { &point.reference.point });
        let error = team.commit(&wanted, &point, vec![done]).unwrap_err();
        assert!(
            matches!(error, EngineError::Fenced { run, .. } if run == point.reference.point),
            "{error:?}"
        );
        assert_eq!(team.world.find(point.reference.point), None, "it was never confirmed");
    }
}

/// The coordinator dies between the nodes' records and its commit, in a full and in an incremental.
#[test]
fn what_was_never_committed_is_taken_up_by_the_next_point_or_pruned() {
    for (seed, incremental) in [(9, false), (10, true)] {
        let team = Team::new(seed, true);
        let (mut a, mut b) = images(seed);
        let mut made = Vec::new();
        if incremental {
            made.push(team.make(&a, &b).1);
            a.bytes.chunks_mut(BLOCK).for_each(|block| block[0] ^= 0x55);
            b.bytes.chunks_mut(BLOCK).for_each(|block| block[0] ^= 0x55);
        }
        let wanted = team.wanted(&["a", "b"]);
        let dead = team.open(&wanted);
        let stored: u64 =
            [team.part(0, &dead.reference, &[("a", &a)]), team.part(1, &dead.reference, &[("b", &b)])]
                .iter()
                .map(|done| done.bytes - done.records[0].payload.metadata)
                .sum();
        let point = team.open(&wanted);
        assert_eq!(point.reference.chain, dead.reference.chain, "both go on with the same chain");
        assert_eq!(point.reference.adopted_chain(), (!incremental).then_some(dead.reference.point));
        let parts =
            [team.part(0, &point.reference, &[("a", &a)]), team.part(1, &point.reference, &[("b", &b)])];
        for part in &parts {
            assert_eq!(part.reused_runs.iter().collect::<Vec<_>>(), [&dead.reference.point]);
        }
        // The commit finds out by itself what was taken over.
        let parts = parts.map(|part| VolumesDone { reused_runs: Default::default(), ..part });
        let report = team.commit(&wanted, &point, parts.into()).unwrap();
        assert!(report.resumed_bytes >= stored, "{} of {stored}", report.resumed_bytes);
        let entry = team.world.find(report.point).unwrap();
        let manifest = load_manifest(&team.world.repository(), &entry).unwrap().payload;
        assert_eq!(manifest.reused_runs, [dead.reference.point]);
        made.push(Made::new(report.point, &[("a", &a), ("b", &b)]));
        team.check(&made.iter().collect::<Vec<_>>(), "taken up");

        // What nobody takes up goes: the next point has other blocks.
        let lost = team.open(&PointRequest { type_wish: TypeWish::Full, ..wanted.clone() });
        team.part(0, &lost.reference, &[("a", &a)]);
        team.part(1, &lost.reference, &[("b", &b)]);
        let (c, d) = images(seed + 40);
        made.push(team.make(&c, &d).1);
        team.check(&made.iter().collect::<Vec<_>>(), "pruned");
    }
}
