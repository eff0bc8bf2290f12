//! Documents: round trips, one form only, and who is believed.

use coffer_format::{
    ChainKeyDocument, Config, Confirmed, Damaged, DamagedOrdinals, DataObject, Digest, Document, Ended,
    EndedObjects, Ending, FormatError, KeyFile, LineageEntry, Manifest, NamedObjects, Pin, PinKind,
    PointState, PointType, Reason, RotationPoints, Seal, SecretsWish, Signed, Signer, TeamStatement,
    Timestamp, Verifier, VerifyingKey, VolumeRecord, VolumeState, object_key,
};
use proptest::prelude::*;

use crate::samples::{self, SUITES};
use crate::summaries::{arbitrary_id, arbitrary_volume};

fn signed<T: Document>(payload: T) -> Vec<u8> {
    Signer::None.sign(&payload).encode()
}

fn manifest_with(change: impl FnOnce(&mut Manifest)) -> Result<Signed<Manifest>, FormatError> {
    let mut manifest = samples::manifest(coffer_format::Suite::None).payload;
    change(&mut manifest);
    Signed::decode(&signed(manifest))
}

fn record_with(change: impl FnOnce(&mut VolumeRecord)) -> Result<Signed<VolumeRecord>, FormatError> {
    let mut record = samples::record();
    change(&mut record);
    Signed::decode(&signed(record))
}

proptest! {
    #[test]
    fn manifests_come_back(
        numbers in any::<[u64; 8]>(),
        texts in any::<[String; 5]>(),
        times in [0..253_402_300_800_000_i64, 0..253_402_300_800_000_i64, 0..253_402_300_800_000_i64],
        lineage in prop::collection::hash_set(arbitrary_id(), 0..20),
        name in arbitrary_volume(),
        full in any::<bool>(),
    ) {
        let [first, second, third, fourth, fifth] = texts;
        let mut manifest = samples::manifest(coffer_format::Suite::None).payload;
        manifest.volumes.truncate(1);
        manifest.state = PointState::Available;
        manifest.reason = if full { Reason::ChainFull(numbers[0]) } else { Reason::AskedIncremental(numbers[0]) }.into();
        manifest.point_type = if full { PointType::Full } else { PointType::Incremental };
        [manifest.time, manifest.started, manifest.completed] = times.map(Timestamp::from_unix_ms);
        [manifest.sequence, manifest.size, manifest.changed, manifest.stored] = [numbers[1], numbers[2], numbers[3], numbers[4]];
        (manifest.description, manifest.writer) = (first.clone(), second.clone());
        manifest.tags = [(first, third), (second, fourth)].into();
        manifest.idempotency_key = Some(fifth);
        let mut record = samples::record();
        record.name = name;
        record.lineage = lineage.into_iter().filter(|point| *point != record.point)
            .map(|point| LineageEntry { point, packs: (numbers[5] % (1 << 24)) as u32, bytes: numbers[6], taken: None })
            .chain([LineageEntry { point: record.point, packs: 1, bytes: numbers[7], taken: None }]).collect();
        manifest.volumes = vec![Signer::None.sign(&record)];
        let signed = Signer::None.sign(&manifest);
        prop_assert_eq!(Signed::<Manifest>::decode(&signed.encode()).unwrap(), signed);
    }

    #[test]
    fn small_records_come_back(ids in any::<[[u8; 16]; 3]>(), unix_ms in 0..253_402_300_800_000_i64, note in any::<String>(), volume in arbitrary_volume()) {
        let [point, run, chain] = ids.map(coffer_format::Id::from_bytes);
        let time = Timestamp::from_unix_ms(unix_ms);
        let ending = Ending { point, run, time, ..samples::ending() };
        round_trips(&ending.key(), &ending)?;
        let ended = Ended { point, run, time, chain, ..samples::ended() };
        round_trips(&ended.key(), &ended)?;
        let pin = Pin { point, run, time, note: note.clone(), kind: PinKind::Restore, ..samples::pin() };
        round_trips(&pin.key(), &pin)?;
        let damaged = Damaged { point, run, time, volume, detail: note, ..samples::damaged(DamagedOrdinals::All) };
        round_trips(&damaged.key(), &damaged)?;
        let config = Config::new(coffer_format::RepositoryId::from_bytes(ids[0]), unix_ms % 2 == 0);
        prop_assert_eq!(Config::decode(&config.encode()).unwrap(), config);
    }
}

#[test]
fn only_the_very_bytes_decode() {
    let good = String::from_utf8(samples::manifest(coffer_format::Suite::Aes256Gcm).encode()).unwrap();
    let reseal = |payload: &str| {
        let seal = Seal { digest: Digest::of(payload.as_bytes()), certificate: None, signature: None };
        Signed::<Manifest>::decode(format!("{payload}\n{}\n", serde_json(&seal)).as_bytes())
    };
    let payload = good.lines().next().unwrap();
    reseal(payload).unwrap();
    for (name, other) in [
        ("a space", payload.replacen(':', ": ", 1)),
        ("an unknown field", payload.replacen('{', "{\"x\":1,", 1)),
        ("a field twice", payload.replacen('{', "{\"format\":1,", 1)),
        ("a field missing", payload.replacen("\"format\":1,", "", 1)),
        (
            "two fields swapped",
            payload.replacen(
                "\"team\":\"acme\",\"cluster\":\"berlin-1\"",
                "\"cluster\":\"berlin-1\",\"team\":\"acme\"",
                1,
            ),
        ),
        ("an escape", payload.replacen("acme", "\\u0061cme", 1)),
        ("a number with a fraction", payload.replacen("\"format\":1", "\"format\":1.0", 1)),
        ("another version", payload.replacen("\"format\":1", "\"format\":2", 1)),
        ("upper case digits", payload.replacen("00112233", "0011223A", 1)),
        (
            "tags in another order",
            payload.replacen(
                "{\"app\":\"shop\",\"tier\":\"gold\"}",
                "{\"tier\":\"gold\",\"app\":\"shop\"}",
                1,
            ),
        ),
        (
            "a reason with a needless argument",
            payload.replacen("{\"code\":4,\"argument\":300}", "{\"code\":2,\"argument\":300}", 1),
        ),
    ] {
        assert_ne!(other, payload, "{name}: the case changes something");
        assert!(reseal(&other).is_err(), "{name}");
    }
    for other in [
        good.trim_end(),
        &format!("{good}\n"),
        &format!(" {good}"),
        &good.replace('\n', "\r\n"),
        "",
        "\n",
        "\n\n",
    ] {
        assert!(Signed::<Manifest>::decode(other.as_bytes()).is_err());
    }
}

fn serde_json(seal: &Seal) -> String {
    format!("{{\"digest\":\"{}\",\"certificate\":null,\"signature\":null}}", seal.digest)
}

#[test]
fn a_manifest_agrees_with_itself() {
    manifest_with(|_| ()).unwrap();
    assert!(manifest_with(|m| m.parent = None).is_err(), "an incremental without a parent");
    assert!(manifest_with(|m| m.parent = Some(m.point)).is_err(), "its own parent");
    assert!(manifest_with(|m| m.point_type = PointType::Full).is_err(), "type and reason");
    assert!(manifest_with(|m| m.state = PointState::Available).is_err(), "state and volumes");
    assert!(manifest_with(|m| m.volumes.push(m.volumes[0].clone())).is_err(), "a name twice");
    assert!(manifest_with(|m| m.reused_runs = vec![samples::id(5), samples::id(5)]).is_err(), "a run twice");
    assert!(manifest_with(|m| m.reused_runs = vec![m.point]).is_err(), "itself");
    assert!(manifest_with(|m| m.chain = samples::id(9)).is_err(), "another chain than its records");
    assert!(manifest_with(|m| m.plan = "other".parse().unwrap()).is_err(), "another plan than its records");
    let key = object_key::manifest(&samples::plan(), &samples::id(2));
    let manifest = manifest_with(|_| ()).unwrap().payload;
    assert_eq!(manifest.key(), key);
    manifest.check_key(&key).unwrap();
    assert!(manifest.check_key(&object_key::manifest(&samples::plan(), &samples::id(3))).is_err());
    assert_eq!(manifest.summary(), samples::summary());
}

#[test]
fn a_volume_record_agrees_with_itself() {
    let root = record_with(|_| ()).unwrap().payload.root_page().unwrap();
    assert_eq!((root.lineage, root.offset, root.len), (1, 2_400, 180));
    assert!(record_with(|r| r.lineage.reverse()).is_err(), "own point not last");
    assert!(record_with(|r| r.lineage.push(r.lineage[1].clone())).is_err(), "a point twice");
    assert!(record_with(|r| r.lineage.clear()).is_err(), "no lineage");
    assert!(record_with(|r| r.lineage[0].packs = (1 << 24) + 1).is_err(), "too many packs");
    assert!(record_with(|r| r.root = None).is_err(), "no root");
    assert!(record_with(|r| r.error = Some(String::new())).is_err(), "an error");
    assert!(record_with(|r| r.state = VolumeState::Failed).is_err(), "failed with a root");
    assert!(record_with(|r| r.size = u64::MAX).is_err(), "too many blocks");
    Signed::<VolumeRecord>::decode(&signed(samples::failed_record())).unwrap();
}

#[test]
fn names_are_the_objects_of_all_lineage_entries() {
    let manifest = samples::manifest(coffer_format::Suite::None).payload;
    let names = manifest.names();
    let (plan, chain, volume) = (samples::plan(), samples::id(1), samples::volume());
    let pack = |point, number| DataObject::Pack { point: samples::id(point), volume: volume.clone(), number };
    let map = |point| DataObject::Map { point: samples::id(point), volume: volume.clone() };
    for object in [
        DataObject::ChainKey(1),
        DataObject::ChainKey(7),
        map(1),
        map(2),
        pack(1, 256),
        pack(2, 0),
        pack(2, 1),
    ] {
        assert!(names.contains(&plan, &chain, &object), "{object:?}");
        assert!(names.contains_key(&object.key(&plan, &chain)).unwrap());
        assert!(!names.contains(&plan, &samples::id(2), &object), "another chain");
        let other = coffer_format::PlanId { plan: "other".parse().unwrap(), ..plan.clone() };
        assert!(!names.contains(&other, &chain, &object), "another plan");
    }
    for object in [map(3), pack(1, 257), pack(2, 2), pack(5, 0)] {
        assert!(!names.contains(&plan, &chain, &object), "{object:?}");
    }
    let mut keys = 0;
    for group in names.iter() {
        for key in group.keys() {
            assert!(key.starts_with(&group.prefix()) && names.contains_key(&key).unwrap());
            keys += 1;
        }
        assert!(matches!(group, NamedObjects::ChainKeys { .. } | NamedObjects::Volume { .. }));
    }
    assert_eq!(keys, 2 + 257 + 2);
}

#[test]
fn of_an_unfinished_run_only_the_packs_taken_over_are_named() {
    let record = samples::resumed_record();
    let mut manifest = samples::manifest(coffer_format::Suite::None).payload;
    manifest.volumes = vec![samples::signer(coffer_format::Suite::None).sign(&record)];
    manifest.state = PointState::Available;
    manifest.check().unwrap();
    let bytes = samples::signer(coffer_format::Suite::None).sign(&manifest).encode();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains("\"packs\":4,\"bytes\":9000,\"taken\":[[1,1],[3,3]]}"), "{text}");
    assert_eq!(Signed::<Manifest>::decode(&bytes).unwrap().payload, manifest);
    let names = manifest.names();
    let (plan, chain, volume) = (samples::plan(), samples::id(1), samples::volume());
    let pack = |point, number| DataObject::Pack { point: samples::id(point), volume: volume.clone(), number };
    let map = |point| DataObject::Map { point: samples::id(point), volume: volume.clone() };
    for object in [pack(5, 1), pack(5, 3), pack(2, 1), map(1), map(2)] {
        assert!(names.contains(&plan, &chain, &object), "{object:?}");
    }
    for object in [pack(5, 0), pack(5, 2), pack(5, 4), map(5), pack(6, 0), map(6)] {
        assert!(!names.contains(&plan, &chain, &object), "{object:?}");
    }
    let keys: usize = names.iter().map(|group| group.keys().count()).sum();
    assert_eq!(keys, 1 + 257 + 2 + 1 + 2);
    // The run came to its end after all: its own point names everything, whoever took packs over.
    let mut both = names.clone();
    let own = LineageEntry { point: samples::id(5), packs: 3, bytes: 0, taken: None };
    let finished = VolumeRecord { point: samples::id(5), lineage: vec![own], ..record.clone() };
    manifest.point = samples::id(5);
    manifest.volumes = vec![samples::signer(coffer_format::Suite::None).sign(&finished)];
    both.add(&manifest);
    for object in [map(5), pack(5, 0), pack(5, 1), pack(5, 2), pack(5, 3)] {
        assert!(both.contains(&plan, &chain, &object), "{object:?}");
    }
    assert!(!both.contains(&plan, &chain, &pack(5, 4)));
}

#[test]
fn an_ended_list_of_what_was_not_taken_over_voids_nothing() {
    let mut manifest = samples::manifest(coffer_format::Suite::None).payload;
    let record = samples::resumed_record();
    manifest.volumes = vec![samples::signer(coffer_format::Suite::None).sign(&record)];
    let voids = |point, map, packs| {
        let volumes = vec![coffer_format::EndedVolume { name: samples::volume(), map, packs }];
        let objects = EndedObjects { keys: Vec::new(), volumes };
        Ended { point: samples::id(point), objects, ..samples::ended() }.voids(&manifest)
    };
    assert!(!voids(5, true, vec![(0, 0), (2, 2), (4, 9)]), "its map, and packs in the gaps");
    assert!(voids(5, false, vec![(0, 1)]) && voids(5, false, vec![(3, 3)]));
    assert!(!voids(6, true, vec![(0, 9)]), "nothing was needed of it");
    assert!(voids(2, true, vec![]));
}

#[test]
fn what_is_said_of_an_unfinished_run_agrees_with_itself() {
    let with = |change: fn(&mut VolumeRecord)| {
        let mut record = samples::resumed_record();
        change(&mut record);
        Signed::<VolumeRecord>::decode(&samples::signer(coffer_format::Suite::None).sign(&record).encode())
    };
    with(|_| ()).unwrap();
    assert!(with(|r| r.lineage[1].packs = 5).is_err(), "more packs than the last one taken");
    assert!(with(|r| r.lineage[2].packs = 1).is_err(), "packs, and none taken");
    assert!(with(|r| r.lineage[3].taken = Some(samples::ranges(&[1]))).is_err(), "the own point");
    let record = samples::signer(coffer_format::Suite::None).sign(&samples::record()).encode();
    let text = String::from_utf8(record).unwrap().replacen("}],\"root\"", ",\"taken\":null}],\"root\"", 1);
    assert!(text.contains("\"taken\":null") && Signed::<VolumeRecord>::decode(text.as_bytes()).is_err());
}

#[test]
fn an_ended_list_voids_exactly_the_manifests_that_name_its_objects() {
    let manifest = samples::manifest(coffer_format::Suite::None).payload;
    let ended = samples::ended();
    assert!(ended.voids(&manifest), "chain keys and pack 0");
    let with = |objects: EndedObjects| Ended { objects, ..samples::ended() };
    let volume = |name, map, packs| coffer_format::EndedVolume { name, map, packs };
    let only = |entry| with(EndedObjects { keys: Vec::new(), volumes: vec![entry] });
    assert!(only(volume(samples::volume(), true, vec![])).voids(&manifest), "its map");
    assert!(only(volume(samples::volume(), false, vec![(1, 5)])).voids(&manifest), "its last pack");
    assert!(
        !only(volume(samples::volume(), false, vec![(2, 5)])).voids(&manifest),
        "packs that it does not have"
    );
    assert!(!only(volume("other".parse().unwrap(), true, vec![])).voids(&manifest), "another volume");
    assert!(!Ended { chain: samples::id(4), ..samples::ended() }.voids(&manifest), "another chain");
    let foreign = Ended { point: samples::id(6), ..only(volume(samples::volume(), true, vec![(0, 0)])) };
    assert!(!foreign.voids(&manifest), "another owner");
    let listed: Vec<DataObject> = ended.data_objects().collect();
    assert_eq!(listed.len(), 2 + 1 + 1 + 8);
    assert!(listed.iter().all(|object| ended.contains(&samples::id(1), object)));
    let first = DataObject::Pack { point: samples::id(2), volume: samples::volume(), number: 1 };
    assert!(!ended.contains(&samples::id(1), &first));
}

#[test]
fn small_records_in_another_form_are_refused() {
    let ended = |objects: EndedObjects| decode::<Ended>(&stored(&Ended { objects, ..samples::ended() }));
    let volume =
        |name: &str, map, packs| coffer_format::EndedVolume { name: name.parse().unwrap(), map, packs };
    let volumes = |volumes| EndedObjects { keys: Vec::new(), volumes };
    assert!(ended(EndedObjects::default()).is_err(), "nothing");
    assert!(ended(EndedObjects { keys: vec![2, 1], volumes: vec![] }).is_err(), "keys descend");
    assert!(ended(EndedObjects { keys: vec![0], volumes: vec![] }).is_err(), "key 0");
    assert!(
        ended(volumes(vec![volume("b", true, vec![]), volume("a", true, vec![])])).is_err(),
        "names descend"
    );
    assert!(ended(volumes(vec![volume("a", false, vec![])])).is_err(), "an empty volume");
    assert!(ended(volumes(vec![volume("a", false, vec![(2, 1)])])).is_err(), "a range backwards");
    assert!(
        ended(volumes(vec![volume("a", false, vec![(0, 1), (2, 3)])])).is_err(),
        "ranges that could be one"
    );
    assert!(ended(volumes(vec![volume("a", false, vec![(0, 1 << 24)])])).is_err(), "past the last pack");
    let damaged = |ordinals| decode::<Damaged>(&stored(&samples::damaged(ordinals)));
    assert!(damaged(DamagedOrdinals::Some(vec![])).is_err(), "nothing");
    assert!(damaged(DamagedOrdinals::Some(vec![1, 1])).is_err(), "twice");
    assert!(damaged(DamagedOrdinals::Some(vec![32_768])).is_err(), "past the pack");
    assert!(damaged(DamagedOrdinals::All).unwrap().contains(9));
    assert!(!damaged(DamagedOrdinals::Some(vec![3, 5])).unwrap().contains(4));
    let text = String::from_utf8(stored(&samples::damaged(DamagedOrdinals::All))).unwrap();
    assert!(decode::<Damaged>(text.replace("\"all\"", "\"some\"").as_bytes()).is_err());
    assert!(
        decode::<Pin>(String::from_utf8(stored(&samples::pin())).unwrap().replace("hold", "keep").as_bytes())
            .is_err()
    );
    let summary = |summary: &str| {
        let confirmed = samples::confirmed(coffer_format::Suite::None);
        decode::<Confirmed>(&stored(&Confirmed { summary: summary.into(), ..confirmed }))
    };
    let right = samples::confirmed(coffer_format::Suite::None).summary;
    summary(&right).unwrap();
    assert!(summary("").is_err() && summary("A").is_err() && summary(&format!("{right}A")).is_err());
}

fn stored<T: Document>(record: &T) -> Vec<u8> {
    samples::stored(coffer_format::Suite::None, record)
}

fn decode<T: Document>(bytes: &[u8]) -> Result<T, FormatError> {
    Signed::<T>::decode(bytes).map(|signed| signed.payload)
}

/// In both suites, at its key and at no other.
fn round_trips<T: Document + PartialEq + std::fmt::Debug>(
    key: &str,
    record: &T,
) -> Result<(), TestCaseError> {
    for suite in [coffer_format::Suite::None, coffer_format::Suite::Aes256Gcm] {
        let bytes = samples::stored(suite, record);
        let signed = Signed::<T>::decode_at(key, &bytes).unwrap();
        prop_assert_eq!(&signed.payload, record);
        samples::verifier(suite).verify(&signed).unwrap();
        let other = if suite == coffer_format::Suite::None {
            coffer_format::Suite::Aes256Gcm
        } else {
            coffer_format::Suite::None
        };
        prop_assert!(samples::verifier(other).verify(&signed).is_err());
        for wrong in ["", "x", &key[1..], &format!("{key}/"), &key.replacen("t/", "t/x", 1)] {
            prop_assert!(Signed::<T>::decode_at(wrong, &bytes).is_err());
        }
    }
    Ok(())
}

#[test]
fn records_of_each_kind_belong_under_their_own_key() {
    use coffer_format::object_key;
    let suite = coffer_format::Suite::Aes256Gcm;
    let confirmed = samples::confirmed(suite);
    let manifest = samples::manifest(suite).payload;
    assert_eq!(
        confirmed.key(),
        object_key::confirmed(&samples::plan(), &manifest.point, &manifest.summary())
    );
    round_trips(&confirmed.key(), &confirmed).unwrap();
    let ending = samples::ending();
    assert_eq!(ending.key(), object_key::ending(&ending.team, &ending.point));
    let unsigned = object_key::unsigned_ending(&ending.team, &ending.point);
    assert!(Signed::<Ending>::decode_at(&unsigned, &stored(&ending)).is_err());
    assert!(object_key::parse_ending(&unsigned).is_err());
    assert_eq!(object_key::parse_unsigned_ending(&unsigned).unwrap(), (ending.team.clone(), ending.point));
    assert!(object_key::parse_unsigned_ending(&ending.key()).is_err());
}

#[test]
fn the_verifier_believes_the_teams_writers_only() {
    let manifest = samples::manifest(coffer_format::Suite::Aes256Gcm);
    let chain_key = samples::chain_key_document(coffer_format::Suite::Aes256Gcm);
    let verifier = samples::recovery_key().verifier();
    verifier.verify(&manifest).unwrap();
    verifier.verify(&chain_key).unwrap();
    Verifier::digest_only().verify(&manifest).unwrap();
    let stranger =
        KeyFile::generate_team(samples::repository(), samples::plan().team, &mut samples::entropy(99));
    assert!(
        matches!(stranger.verifier().verify(&manifest), Err(FormatError::Signature { .. })),
        "another team key"
    );
    let other_team =
        KeyFile::generate_team(samples::repository(), "other".parse().unwrap(), &mut samples::entropy(1));
    assert!(matches!(other_team.verifier().verify(&manifest), Err(FormatError::Foreign { .. })));
    let other = Verifier::unencrypted(samples::repository());
    assert!(matches!(other.verify(&manifest), Err(FormatError::Seal { .. })), "a signature in suite 0");
    let plain = samples::manifest(coffer_format::Suite::None);
    other.verify(&plain).unwrap();
    assert!(matches!(verifier.verify(&plain), Err(FormatError::Seal { .. })), "no signature in suite 1");
    let moved = Verifier::unencrypted(coffer_format::RepositoryId::from_bytes([9; 16]));
    assert!(matches!(moved.verify(&plain), Err(FormatError::Foreign { .. })));
}

#[test]
fn a_signature_is_for_its_kind_and_its_payload() {
    let suite = coffer_format::Suite::Aes256Gcm;
    let verifier = samples::verifier(suite);
    let mut manifest = samples::manifest(suite);
    manifest.payload.description.push('!');
    assert!(matches!(verifier.verify(&manifest), Err(FormatError::Checksum { .. })), "digest");
    let seal = Signer::None.sign(&manifest.payload).seal;
    manifest.seal.digest = seal.digest;
    assert!(matches!(verifier.verify(&manifest), Err(FormatError::Signature { .. })), "signature");

    let mut manifest = samples::manifest(suite);
    let forged = Signer::None.sign(&manifest.payload.volumes[0].payload);
    manifest.payload.volumes[0] = forged;
    let resealed = samples::signer(suite).sign(&manifest.payload);
    assert!(verifier.verify(&resealed).is_err(), "a record without a signature of its own");

    let mut manifest = samples::manifest(suite);
    let chain_key = samples::chain_key_document(suite);
    manifest.seal.signature = chain_key.seal.signature;
    assert!(matches!(verifier.verify(&manifest), Err(FormatError::Signature { .. })), "another kind");

    let mut manifest = samples::manifest(suite);
    let certificate = manifest.seal.certificate.as_mut().unwrap();
    certificate.public = VerifyingKey::from_bytes([1; 32]);
    assert!(matches!(verifier.verify(&manifest), Err(FormatError::Signature { .. })), "another writer");
    let mut manifest = samples::manifest(suite);
    manifest.seal.certificate.as_mut().unwrap().generation = 2;
    assert!(matches!(verifier.verify(&manifest), Err(FormatError::Generation { .. })));
    for suite in SUITES {
        let bytes = samples::chain_key_document(suite).encode();
        let decoded = Signed::<ChainKeyDocument>::decode(&bytes).unwrap();
        decoded.payload.check_key(&object_key::chain_key(&samples::plan(), &samples::id(1), 1)).unwrap();
        assert!(
            decoded.payload.check_key(&object_key::chain_key(&samples::plan(), &samples::id(2), 1)).is_err()
        );
    }
}

fn rotated(key: &KeyFile, generation: u32, start: u8) -> (KeyFile, Signed<TeamStatement>) {
    let new = key.rotate(generation, SecretsWish::Keep, &mut samples::entropy(start)).unwrap();
    let statement = key.publish(&new).unwrap();
    (new, statement)
}

#[test]
fn a_later_generation_is_believed_if_the_newest_before_it_signed_it() {
    let first = samples::recovery_key();
    let (second, statement2) = rotated(&first, 2, 3);
    let (fourth, statement4) = rotated(&second, 4, 4);
    let statement1 = first.team_statement().unwrap();
    let mut verifier = first.verifier();
    verifier.learn(&statement1).unwrap();
    let signed = fourth.signer().sign(&samples::record());
    assert!(matches!(verifier.verify(&signed), Err(FormatError::Generation { generation: 4, .. })));
    assert!(
        matches!(verifier.learn(&statement4), Err(FormatError::Generation { generation: 2, .. })),
        "who signed it is not known yet"
    );
    verifier.learn(&statement2).unwrap();
    verifier.learn(&statement4).unwrap();
    verifier.learn(&statement2).unwrap();
    verifier.verify(&signed).unwrap();
    assert_eq!(verifier.generations().collect::<Vec<_>>(), [1, 2, 4]);

    let (_, passed_over) = rotated(&second, 3, 6);
    assert!(verifier.learn(&passed_over).is_err(), "a number that was passed over");
    let (_, branch) = rotated(&second, 5, 7);
    assert!(verifier.learn(&branch).is_err(), "signed by a generation that was replaced");
    let stranger =
        KeyFile::generate_team(samples::repository(), samples::plan().team, &mut samples::entropy(9));
    let (_, forged) = rotated(&stranger, 2, 8);
    assert!(
        matches!(first.verifier().learn(&forged), Err(FormatError::Signature { .. })),
        "signed by another key"
    );
    let forged = stranger.team_statement().unwrap();
    assert!(first.verifier().learn(&forged).is_err(), "another generation 1");
    let (_, other_statement) = rotated(&first, 2, 5);
    assert!(verifier.learn(&other_statement).is_err(), "a second generation 2");
}

/// The kind of fault: a genuine document that was copied under another name.
#[test]
fn statements_and_lists_are_of_their_name_only() {
    let team = samples::plan().team;
    let (_, statement) = samples::rotated_key();
    let bytes = statement.encode();
    Signed::<TeamStatement>::decode_at(&object_key::team(&team, 3), &bytes).unwrap();
    let list = samples::rotation_points().encode();
    Signed::<RotationPoints>::decode_at(&object_key::team_points(&team, 3), &list).unwrap();
    for generation in [1, 2, 4] {
        assert!(Signed::<TeamStatement>::decode_at(&object_key::team(&team, generation), &bytes).is_err());
    }
    for generation in [2, 4] {
        let key = object_key::team_points(&team, generation);
        assert!(Signed::<RotationPoints>::decode_at(&key, &list).is_err());
    }
    let other = "other".parse().unwrap();
    assert!(Signed::<TeamStatement>::decode_at(&object_key::team(&other, 3), &bytes).is_err());
    assert!(Signed::<RotationPoints>::decode_at(&object_key::team_points(&other, 3), &list).is_err());
}

/// What a replaced key signed counts if it stood when the key was replaced, and not otherwise.
#[test]
fn replaced_keys_sign_no_new_points() {
    let replaced = |result: Result<(), FormatError>| matches!(result, Err(FormatError::Replaced { .. }));
    let manifest = samples::manifest(coffer_format::Suite::Aes256Gcm);
    let mut later = manifest.payload.clone();
    later.description.push('!');
    let later = samples::writer_key().signer().sign(&later);
    let record = samples::writer_key().signer().sign(&samples::record());
    let (third, statement) = samples::rotated_key();
    let mut verifier = samples::recovery_key().verifier();
    verifier.verify(&later).unwrap();
    verifier.learn(&statement).unwrap();
    verifier.verify(&manifest).unwrap();
    verifier.verify(&later).unwrap();
    assert!(replaced(verifier.verify(&record)), "a record that is handed in is new, whatever the list says");
    verifier.learn_points(&samples::rotation_points()).unwrap();
    verifier.verify(&manifest).unwrap();
    assert!(replaced(verifier.verify(&later)), "not on the list");
    assert!(replaced(verifier.verify(&record)));
    let mut mixed = manifest.payload.clone();
    mixed.description.push('?');
    assert!(
        replaced(verifier.verify(&third.signer().sign(&mixed))),
        "a new manifest around a replaced record"
    );
    verifier.verify(&samples::chain_key_document(coffer_format::Suite::Aes256Gcm)).unwrap();
    let (fourth, statement4) = rotated(&third, 4, 11);
    verifier.learn(&statement4).unwrap();
    verifier.verify(&manifest).unwrap();
    assert!(replaced(verifier.verify(&later)), "the list before still speaks of the first key");
    let nothing = RotationPoints { generation: 4, points: Vec::new(), ..samples::rotation_points().payload };
    verifier.learn_points(&fourth.sign_as_recovery(nothing.clone()).unwrap()).unwrap();
    assert!(replaced(verifier.verify(&manifest)), "the newest list decides");
    verifier.learn_points(&samples::rotation_points()).unwrap();
    assert!(replaced(verifier.verify(&manifest)), "an older list does not come back");
    assert!(third.sign_as_recovery(nothing).is_err(), "a list is signed by its own generation");
}

#[test]
fn a_genuine_document_copied_to_another_key_is_refused() {
    let team = samples::plan().team;
    let new = samples::recovery_key().rotate(2, SecretsWish::Keep, &mut samples::entropy(3)).unwrap();
    let bytes = samples::recovery_key().publish(&new).unwrap().encode();
    Signed::<TeamStatement>::decode_at(&object_key::team(&team, 2), &bytes).unwrap();
    for other in
        [object_key::team(&team, 3), object_key::team(&team, 1), object_key::team(&"b".parse().unwrap(), 2)]
    {
        assert!(Signed::<TeamStatement>::decode_at(&other, &bytes).is_err(), "{other}");
    }
    let manifest = samples::manifest(coffer_format::Suite::Aes256Gcm);
    let other = object_key::manifest(&samples::plan(), &samples::id(3));
    Signed::<Manifest>::decode_at(&manifest.payload.key(), &manifest.encode()).unwrap();
    assert!(Signed::<Manifest>::decode_at(&other, &manifest.encode()).is_err());
    let record = Signer::None.sign(&samples::record());
    assert!(Signed::<VolumeRecord>::decode_at("record", &record.encode()).is_err(), "no object of its own");
}

#[test]
fn attributes_and_warnings_keep_their_limits() {
    let attributes = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        coffer_format::Attributes::try_from(pairs.collect::<std::collections::BTreeMap<_, _>>())
    };
    let known = attributes(&[("must.read", "x"), ("must.skip", ""), ("site", "b")]).unwrap();
    assert_eq!(known.unknown_musts(&["must.read"]).collect::<Vec<_>>(), ["must.skip"]);
    for bad in ["", "A", "a b", "ä", &"a".repeat(65)] {
        assert!(attributes(&[(bad, "x")]).is_err(), "{bad}");
    }
    assert!(attributes(&[("a", &"x".repeat((64 << 10) - 1))]).is_ok());
    assert!(attributes(&[("a", &"x".repeat(64 << 10))]).is_err());
    record_with(|record| record.warnings = vec!["w".repeat(512); 16]).unwrap();
    assert!(record_with(|record| record.warnings = vec!["w".to_owned(); 17]).is_err());
    assert!(record_with(|record| record.warnings = vec!["w".repeat(513)]).is_err());
    assert!(record_with(|record| record.warnings = vec![String::new()]).is_err());
}
