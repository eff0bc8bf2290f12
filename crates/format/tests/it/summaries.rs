//! Summaries and object keys: round trips, limits, one form only.

use coffer_format::object_key;
use coffer_format::{
    DataObject, Id, Label, PlanId, PointState, Reason, Summary, Timestamp, VolumeName, VolumePath,
};
use proptest::prelude::*;

use crate::samples;

pub(crate) fn arbitrary_id() -> impl Strategy<Value = Id> {
    any::<[u8; 16]>().prop_map(Id::from_bytes)
}

pub(crate) fn arbitrary_label() -> impl Strategy<Value = Label> {
    "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?".prop_map(|text| text.parse().unwrap())
}

pub(crate) fn arbitrary_volume() -> impl Strategy<Value = VolumeName> {
    "[a-zA-Z0-9 ./%~\\x01ü-]{1,40}".prop_map(|text| text.parse().unwrap())
}

fn arbitrary_plan() -> impl Strategy<Value = PlanId> {
    [arbitrary_label(), arbitrary_label(), arbitrary_label(), arbitrary_label()]
        .prop_map(|[team, cluster, namespace, plan]| PlanId { team, cluster, namespace, plan })
}

fn arbitrary_reason() -> impl Strategy<Value = Reason> {
    (0..6_u8, any::<u64>()).prop_map(|(code, argument)| {
        Reason::from_code(code, argument).or_else(|_| Reason::from_code(code, 0)).unwrap()
    })
}

fn arbitrary_summary() -> impl Strategy<Value = Summary> {
    let times = (0..253_402_300_800_000_i64, 0..253_402_300_800_000_i64);
    let names = prop::collection::vec(arbitrary_volume(), 0..9);
    (
        arbitrary_reason(),
        any::<bool>(),
        times,
        any::<[u64; 4]>(),
        arbitrary_id(),
        prop::option::of(arbitrary_id()),
        names,
    )
        .prop_map(|(reason, partial, times, [sequence, size, changed, stored], chain, parent, names)| {
            Summary {
                kind: reason.point_type(),
                state: if partial { PointState::Partial } else { PointState::Available },
                reason,
                time: Timestamp::from_unix_ms(times.0),
                completed: Timestamp::from_unix_ms(times.1),
                sequence,
                size,
                changed,
                stored,
                chain,
                parent,
                volumes: Some(names),
            }
        })
}

proptest! {
    #[test]
    fn summaries_come_back_and_drop_names_when_too_long(summary in arbitrary_summary()) {
        let text = summary.encode();
        prop_assert!(text.len() <= 224);
        let decoded = Summary::decode(&text).unwrap();
        prop_assert_eq!(decoded.encode(), text);
        if decoded.volumes.is_some() {
            prop_assert_eq!(decoded, summary);
        } else {
            prop_assert_eq!(decoded, Summary { volumes: None, ..summary });
        }
    }

    #[test]
    fn data_keys_come_back(
        plan in arbitrary_plan(),
        ids in any::<[[u8; 16]; 2]>(),
        volume in arbitrary_volume(),
        number in 0..object_key::PACKS_MAX,
    ) {
        let [chain, point] = ids.map(Id::from_bytes);
        let objects = [
            DataObject::ChainKey(number + 1),
            DataObject::Map { point, volume: volume.clone() },
            DataObject::Pack { point, volume, number },
        ];
        for object in objects {
            let key = object.key(&plan, &chain);
            prop_assert!(key.len() <= 900 && key.split('/').all(|part| part.len() <= 255));
            prop_assert_eq!(object_key::parse_data_chain(&key), Some((plan.clone(), chain)));
            prop_assert_eq!(object_key::parse_data(&key).unwrap(), (plan.clone(), chain, object));
        }
    }
}

#[test]
fn a_summary_of_many_volumes_has_no_names() {
    let names = (0..60).map(|number| format!("vol-{number}").parse().unwrap()).collect();
    let summary = Summary { volumes: Some(names), ..samples::summary() };
    assert_eq!(Summary::decode(&summary.encode()).unwrap().volumes, None);
    let none = Summary { volumes: Some(Vec::new()), ..samples::summary() };
    assert_eq!(Summary::decode(&none.encode()).unwrap(), none, "no volumes is not the same as no names");
}

#[test]
fn every_other_key_comes_back() {
    let (plan, team) = (samples::plan(), samples::plan().team);
    let (point, run, chain, volume) = (samples::id(2), samples::id(8), samples::id(1), samples::volume());
    let summary = samples::summary();
    assert_eq!(
        object_key::parse_manifest(&object_key::manifest(&plan, &point)).unwrap(),
        (plan.clone(), point)
    );
    let key = object_key::confirmed(&plan, &point, &summary);
    assert!(key.rsplit('/').next().unwrap().len() <= 255);
    assert_eq!(object_key::parse_confirmed(&key).unwrap(), (plan, point, summary));
    for generation in [1, 2, 10] {
        let key = object_key::team(&team, generation);
        assert_eq!(object_key::parse_team(&key).unwrap(), (team.clone(), generation));
    }
    for generation in [2, 10] {
        let key = object_key::team_points(&team, generation);
        assert_eq!(object_key::parse_team_points(&key).unwrap(), (team.clone(), generation));
        assert!(object_key::parse_team(&key).is_err());
    }
    for key in ["t/a/team.1.points", "t/a/team.02.points", "t/a/team.points", "t/a/team.2.points/x"] {
        assert!(object_key::parse_team_points(key).is_err(), "{key}");
    }
    assert_eq!(object_key::parse_ending(&object_key::ending(&team, &point)).unwrap(), (team.clone(), point));
    let key = object_key::ended(&team, &chain, &point, &run);
    assert_eq!(object_key::parse_ended(&key).unwrap(), (team.clone(), chain, point, run));
    assert_eq!(
        object_key::parse_pin(&object_key::pin(&team, &point, &run)).unwrap(),
        (team.clone(), point, run)
    );
    let key = object_key::damaged(&team, &point, &volume, 3, &run);
    assert_eq!(object_key::parse_damaged(&key).unwrap(), (team, point, volume, 3, run));
}

#[test]
fn keys_that_the_builders_do_not_write_are_refused() {
    let chain = samples::id(1);
    let base = format!("t/a/data/c/n/p/{chain}");
    let point = samples::id(2);
    for rest in [
        "keys/0".to_owned(),
        "keys/01".to_owned(),
        "keys/+1".to_owned(),
        "keys/4294967296".to_owned(),
        "keys/".to_owned(),
        "keys/1/".to_owned(),
        format!("{point}/v/p0000000"),
        format!("{point}/v/p16777216"),
        format!("{point}/v/p0000000a"),
        format!("{point}/v/Map"),
        format!("{point}/.v/map"),
        format!("{point}/%76/map"),
        format!("{point}//map"),
        format!("{}/v/map", point.to_string().to_uppercase()),
        format!("{point}/v/map/x"),
    ] {
        assert!(object_key::parse_data(&format!("{base}/{rest}")).is_err(), "{rest}");
    }
    for key in [
        "t/a/team.1.json",
        "t/a/team.02.json",
        "t/a/team.json/",
        "/t/a/team.json",
        "t/A/team.json",
        "t/a/team.x.json",
    ] {
        assert!(object_key::parse_team(key).is_err(), "{key}");
    }
    assert!(object_key::parse_manifest(&format!("t/a/points/c/n/p/{point}.x")).is_err());
}

#[test]
fn the_longest_names_keep_the_limits_of_keys() {
    let label: Label = "x".repeat(63).parse().unwrap();
    let plan =
        PlanId { team: label.clone(), cluster: label.clone(), namespace: label.clone(), plan: label.clone() };
    let volume: VolumeName = format!("{}{}", "/".repeat(36), "x".repeat(92)).parse().unwrap();
    assert_eq!(volume.encoded().len(), 200);
    let names = Some(vec!["v".repeat(60).parse().unwrap()]);
    let worst = Summary {
        reason: Reason::Continues(u64::MAX),
        sequence: u64::MAX,
        size: u64::MAX,
        changed: u64::MAX,
        stored: u64::MAX,
        volumes: names,
        ..samples::summary()
    };
    let id = Id::from_bytes([255; 16]);
    let path = VolumePath { plan: plan.clone(), chain: id, point: id, volume: volume.clone() };
    let keys = [
        object_key::pack(&path, object_key::PACKS_MAX - 1),
        object_key::confirmed(&plan, &id, &worst),
        object_key::damaged(&label, &id, &volume, object_key::PACKS_MAX - 1, &id),
        object_key::chain_key(&plan, &id, u32::MAX),
        object_key::team(&label, u32::MAX),
    ];
    for key in keys {
        assert!(key.len() <= 900 && key.split('/').all(|part| part.len() <= 255), "{key}");
    }
}
