//! Resources in manifests: one that has none is as it ever was, and a manifest holds only what agrees with itself.

use coffer_format::{
    ArtefactRecord, Artefacts, Document, Manifest, PointState, ResourceRecord, Signed, Suite, VolumeState,
};

use crate::samples;

fn resource(id: &str) -> ResourceRecord {
    ResourceRecord {
        reference: format!("OS::Trove::Instance/{id}").parse().unwrap(),
        name: "orders".into(),
        plugin: "trove".parse().unwrap(),
        schema: "1".into(),
        options: r#"{"backup_name":"nightly"}"#.into(),
        state: VolumeState::Available,
        key: "01jd3k5x6v8q2m4n7p9r0s1t2w-0".into(),
        artefact: Some(ArtefactRecord { id: "4f3a".parse().unwrap(), details: "{}".into() }),
        volume: None,
        error: None,
        warnings: vec!["slow".into()],
    }
}

fn with(resources: Vec<ResourceRecord>) -> Manifest {
    Manifest { resources, ..samples::manifest(Suite::None).payload }
}

#[test]
fn resources_come_back_as_they_were() {
    let manifest = with(vec![resource("a"), resource("b")]);
    let signed = samples::signer(Suite::None).sign(&manifest);
    let bytes = signed.encode();
    let read = Signed::<Manifest>::decode_at(&manifest.key(), &bytes).unwrap();
    assert_eq!(read.payload, manifest);
}

#[test]
fn a_manifest_without_resources_does_not_speak_of_them() {
    let signed = samples::manifest(Suite::None);
    assert!(!String::from_utf8(signed.encode()).unwrap().contains("resources"));
}

#[test]
fn resources_that_contradict_their_manifest_are_refused() {
    let refused = |resources: Vec<ResourceRecord>| {
        let checked = Document::check(&with(resources.clone()));
        assert!(checked.is_err(), "{resources:?} passed");
    };
    refused(vec![resource("a"), resource("a")]);
    refused(vec![ResourceRecord { artefact: None, ..resource("a") }]);
    refused(vec![ResourceRecord { state: VolumeState::Failed, ..resource("a") }]);
    refused(vec![ResourceRecord { options: "[]".into(), ..resource("a") }]);
    refused(vec![ResourceRecord { options: "{".into(), ..resource("a") }]);
    refused(vec![ResourceRecord { key: String::new(), ..resource("a") }]);
    refused(vec![ResourceRecord { schema: String::new(), ..resource("a") }]);
    refused(vec![ResourceRecord { volume: Some("nowhere".parse().unwrap()), ..resource("a") }]);
    refused(vec![ResourceRecord { warnings: vec!["x".repeat(513)], ..resource("a") }]);
    refused(vec![ResourceRecord { error: Some("x".into()), ..resource("a") }]);
}

#[test]
fn a_failed_resource_makes_a_point_partial() {
    let failed = ResourceRecord {
        state: VolumeState::Failed,
        artefact: None,
        error: Some("quota".into()),
        ..resource("a")
    };
    let only = |state| Manifest { state, volumes: Vec::new(), ..with(vec![failed.clone(), resource("b")]) };
    assert!(Document::check(&only(PointState::Available)).is_err());
    Document::check(&only(PointState::Partial)).unwrap();
}

#[test]
fn artefacts_to_delete_lie_under_their_own_key() {
    let manifest = with(vec![resource("a")]);
    let record = Artefacts {
        format: 1,
        repository: manifest.repository,
        team: manifest.team.clone(),
        cluster: manifest.cluster.clone(),
        namespace: manifest.namespace.clone(),
        plan: manifest.plan.clone(),
        point: manifest.point,
        run: samples::id(9),
        resources: manifest.resources.clone(),
    };
    let bytes = samples::signer(Suite::None).sign(&record).encode();
    assert_eq!(Signed::<Artefacts>::decode_at(&record.key(), &bytes).unwrap().payload, record);
    let other = coffer_format::object_key::artefacts(&record.team, &samples::id(8), &record.run);
    assert!(Signed::<Artefacts>::decode_at(&other, &bytes).is_err());
    let empty = samples::signer(Suite::None).sign(&Artefacts { resources: Vec::new(), ..record.clone() });
    assert!(Signed::<Artefacts>::decode_at(&record.key(), &empty.encode()).is_err());
}
