//! Requests become types that cannot be wrong, or an error that names the field; no input panics; secrets are never shown.

use coffer_proto::agent::v1;
use coffer_proto::checked::{
    KeySource, ListOperations, RepositoryAccess, S3Source, StartBackup, StartRestore, StartVerify,
    TIMEOUT_MAX, WatchOperation,
};
use proptest::prelude::*;
use prost::Message;

const POINT: &str = "01jd3k5x6v8q2m4n7p9r0s1t2w";
const OTHER: &str = "01jd3k5x6v8q2m4n7p9r0s1t2x";

fn plan() -> v1::Plan {
    v1::Plan { team: "shop".into(), cluster: "c1".into(), namespace: "default".into(), plan: "web".into() }
}

fn repository() -> v1::Repository {
    v1::Repository {
        url: "s3://bucket/prefix".into(),
        key: "key text 4711".into(),
        s3: Some(v1::S3Credentials {
            access_key_id: "AKIA4711".into(),
            secret_access_key: "s3cret4711".into(),
            session_token: "t0ken4711".into(),
        }),
        ..v1::Repository::default()
    }
}

fn backup() -> v1::StartBackupRequest {
    v1::StartBackupRequest {
        idempotency_key: "nightly 2026-11-21".into(),
        repository: Some(repository()),
        point: Some(v1::PointReference {
            plan: Some(plan()),
            point: POINT.into(),
            chain: POINT.into(),
            ..v1::PointReference::default()
        }),
        volumes: vec![
            v1::BackupVolume {
                name: "db".into(),
                source: "/dev/vg0/db".into(),
                ..v1::BackupVolume::default()
            },
            v1::BackupVolume {
                name: "web".into(),
                source: "disk:1234".into(),
                ..v1::BackupVolume::default()
            },
        ],
        ..v1::StartBackupRequest::default()
    }
}

fn restore() -> v1::StartRestoreRequest {
    v1::StartRestoreRequest {
        idempotency_key: "k".into(),
        repository: Some(repository()),
        plan: Some(plan()),
        point: POINT.into(),
        volumes: vec![v1::RestoreVolume {
            name: "db".into(),
            target: "/dev/vg0/db".into(),
            mode: v1::RestoreMode::InPlace.into(),
        }],
        ..v1::StartRestoreRequest::default()
    }
}

fn verify() -> v1::StartVerifyRequest {
    v1::StartVerifyRequest {
        idempotency_key: "k".into(),
        repository: Some(repository()),
        plan: Some(v1::Plan { team: "shop".into(), ..v1::Plan::default() }),
        ..v1::StartVerifyRequest::default()
    }
}

fn seconds(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

#[test]
fn good_requests_are_taken_with_their_defaults() {
    let checked = StartBackup::try_from(backup()).unwrap();
    assert_eq!(checked.timeout, TIMEOUT_MAX);
    assert_eq!(checked.volumes[1].source.to_string(), "disk:1234");
    assert!(matches!(checked.repository.key, KeySource::Text(_)));
    assert!(matches!(checked.repository.s3, S3Source::Given(_)));
    assert!(StartRestore::try_from(restore()).is_ok());
    let checked = StartVerify::try_from(verify()).unwrap();
    assert_eq!((checked.plans.cluster, checked.point), (None, None));
    let page = ListOperations::try_from(v1::ListOperationsRequest::default()).unwrap();
    assert_eq!((page.page_size, page.state), (100, None));
}

/// Changes one thing of a good request, and expects an error that names `field`.
fn wrong_backup(field: &str, change: impl FnOnce(&mut v1::StartBackupRequest)) {
    let mut request = backup();
    change(&mut request);
    let error = StartBackup::try_from(request).expect_err(field);
    assert_eq!(error.field, field, "{error}");
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn what_is_wrong_with_a_backup_is_named() {
    wrong_backup("idempotency_key", |it| it.idempotency_key.clear());
    wrong_backup("idempotency_key", |it| it.idempotency_key = "x".repeat(129));
    wrong_backup("idempotency_key", |it| it.idempotency_key = "a\nb".into());
    wrong_backup("idempotency_key", |it| it.idempotency_key = "ü".into());
    wrong_backup("repository", |it| it.repository = None);
    wrong_backup("repository.url", |it| it.repository.as_mut().unwrap().url = "ftp://4711".into());
    wrong_backup("repository.url", |it| it.repository.as_mut().unwrap().url.clear());
    wrong_backup("repository.url", |it| {
        it.repository.as_mut().unwrap().url = format!("s3://{}", "x".repeat(3000))
    });
    wrong_backup("repository.s3", |it| it.repository.as_mut().unwrap().url = "file:///x".into());
    wrong_backup("repository.key_name", |it| it.repository.as_mut().unwrap().key_name = "a".into());
    wrong_backup("repository.credentials_name", |it| {
        it.repository.as_mut().unwrap().credentials_name = "a".into()
    });
    wrong_backup("repository.key_name", |it| {
        let repository = it.repository.as_mut().unwrap();
        (repository.key, repository.key_name) = (String::new(), "../x".into());
    });
    wrong_backup("repository.s3.secret_access_key", |it| {
        it.repository.as_mut().unwrap().s3.as_mut().unwrap().secret_access_key = "4711\n".into();
    });
    wrong_backup("point", |it| it.point = None);
    wrong_backup("point.plan", |it| it.point.as_mut().unwrap().plan = None);
    wrong_backup("point.plan.team", |it| it.point.as_mut().unwrap().plan.as_mut().unwrap().team = "A".into());
    wrong_backup("point.point", |it| it.point.as_mut().unwrap().point = "x".into());
    wrong_backup("point.chain", |it| it.point.as_mut().unwrap().chain.clear());
    wrong_backup("point.parent", |it| it.point.as_mut().unwrap().parent = "-".into());
    wrong_backup("point.coordinator", |it| it.point.as_mut().unwrap().coordinator = vec![0; (64 << 10) + 1]);
    wrong_backup("volumes", |it| it.volumes.clear());
    wrong_backup("volumes", |it| it.volumes = vec![v1::BackupVolume::default(); 257]);
    wrong_backup("volumes[1].name", |it| it.volumes[1].name = "db".into());
    wrong_backup("volumes[0].name", |it| it.volumes[0].name.clear());
    for path in ["", "/a/../b", "/a/./b", "/a\0b", "with space", "ü"] {
        wrong_backup("volumes[0].source", |it| it.volumes[0].source = path.into());
    }
    wrong_backup("volumes[1].block_bytes", |it| it.volumes[1].block_bytes = 65_537);
    wrong_backup("volumes[1].changes", |it| it.volumes[1].changes = "list".into());
    for compression in ["zstd:0", "zstd:23", "zstd:", "gzip"] {
        wrong_backup("compression", |it| it.compression = compression.into());
    }
    wrong_backup("read_engine", |it| it.read_engine = "mmap".into());
    for (secs, nanos) in [(0, 0), (-1, 0), (604_800, 1), (i64::MAX, 0), (1, -1), (1, 1_000_000_000)] {
        wrong_backup("timeout", |it| it.timeout = seconds(secs, nanos));
    }
    let mut longest = backup();
    longest.timeout = seconds(604_800, 0);
    assert_eq!(StartBackup::try_from(longest).unwrap().timeout, TIMEOUT_MAX);
}

#[test]
fn what_is_wrong_with_other_requests_is_named() {
    let field = |change: &dyn Fn(&mut v1::StartRestoreRequest)| {
        let mut request = restore();
        change(&mut request);
        StartRestore::try_from(request).unwrap_err().field
    };
    assert_eq!(field(&|it| it.volumes[0].mode = 0), "volumes[0].mode");
    assert_eq!(field(&|it| it.volumes[0].mode = 9), "volumes[0].mode");
    assert_eq!(field(&|it| it.plan.as_mut().unwrap().cluster.clear()), "plan.cluster");
    let twice = |it: &mut v1::StartRestoreRequest| {
        let mut second = it.volumes[0].clone();
        (second.name, second.target) = ("other".into(), "/dev//vg0/db".into());
        it.volumes.push(second);
    };
    assert_eq!(field(&twice), "volumes[1].target", "a path has one text");
    let request = v1::StartVerifyRequest { read_data_percent: 101, ..verify() };
    assert_eq!(StartVerify::try_from(request).unwrap_err().field, "read_data_percent");
    let list = |page_size, page_token: &str, state| {
        let request = v1::ListOperationsRequest {
            page_size,
            page_token: page_token.into(),
            state,
            ..v1::ListOperationsRequest::default()
        };
        ListOperations::try_from(request).unwrap_err().field
    };
    assert_eq!(list(1001, "", 0), "page_size");
    assert_eq!(list(0, "x", 0), "page_token");
    assert_eq!(list(0, "", 7), "state");
}

#[test]
fn secrets_are_never_shown() {
    let message = repository();
    let shown = format!("{message:?} {:?} {:?}", backup(), message.s3);
    assert!(!shown.contains("4711"), "{shown}");
    let shown = format!("{:?}", StartBackup::try_from(backup()).unwrap());
    assert!(!shown.contains("4711"), "{shown}");
}

#[test]
fn sameness_is_all_but_the_point_keys_and_credentials() {
    let same = |change: &dyn Fn(&mut v1::StartBackupRequest)| {
        let mut request = backup();
        change(&mut request);
        StartBackup::try_from(request).unwrap().fingerprint()
            == StartBackup::try_from(backup()).unwrap().fingerprint()
    };
    assert!(same(&|it| it.point.as_mut().unwrap().point = OTHER.into()));
    assert!(same(&|it| it.point.as_mut().unwrap().parent = OTHER.into()));
    assert!(same(&|it| it.point.as_mut().unwrap().coordinator = vec![1]));
    assert!(same(&|it| it.repository.as_mut().unwrap().s3 = None));
    assert!(same(&|it| it.repository.as_mut().unwrap().key = "other".into()));
    assert!(same(&|it| it.compression = "lz4".into()), "the default is what it stands for");
    assert!(same(&|it| it.idempotency_key = "other".into()), "the key is what the digest is looked up by");
    assert!(!same(&|it| it.repository.as_mut().unwrap().url = "s3://bucket/other".into()));
    assert!(!same(&|it| it.point.as_mut().unwrap().plan.as_mut().unwrap().plan = "other".into()));
    assert!(!same(&|it| it.volumes.swap(0, 1)));
    assert!(!same(&|it| it.volumes.truncate(1)));
    assert!(!same(&|it| it.volumes[0].source = "/dev/vg0/other".into()));
    assert!(!same(&|it| it.volumes[0].block_bytes = 65_536));
    assert!(!same(&|it| it.volumes[0].changes = "hash".into()));
    assert!(!same(&|it| it.compression = "zstd".into()));
    assert!(!same(&|it| it.read_engine = "pread".into()));
    assert!(!same(&|it| it.timeout = seconds(60, 0)));
}

/// Journals hold digests: another value here means that agents forget what they did after an update.
#[test]
fn sameness_does_not_change_between_versions() {
    let digests = [
        StartBackup::try_from(backup()).unwrap().fingerprint(),
        StartRestore::try_from(restore()).unwrap().fingerprint(),
        StartVerify::try_from(verify()).unwrap().fingerprint(),
    ];
    let texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
    assert_eq!(texts, GOLDEN);
}

/// Reckoned by another implementation of BLAKE3 over the fields as `fingerprint.rs` lays them down.
const GOLDEN: [&str; 3] = [
    "c82efaad4057beb4ac75a4447cd7a374fc75fea94b204c05325f99984a031caa",
    "1fbfa173aff6cc5680a0d85a9c0d531e7f2d346f54c7e263bcbdeaec683dc84d",
    "01e4de9ffe06a721d00fa8f1aa6f4ef1a12394be3a687841434ec1745e16679b",
];

/// Text that is often nearly right.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just(POINT.to_owned()),
        Just("s3://b".to_owned()),
        Just("/dev/x".to_owned()),
        "[a-z:/.0-9]{0,40}",
    ]
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = v1::StartBackupRequest::decode(&bytes[..]).map(StartBackup::try_from);
        let _ = v1::StartRestoreRequest::decode(&bytes[..]).map(StartRestore::try_from);
        let _ = v1::StartVerifyRequest::decode(&bytes[..]).map(StartVerify::try_from);
        let _ = v1::ListOperationsRequest::decode(&bytes[..]).map(ListOperations::try_from);
        let _ = v1::WatchOperationRequest::decode(&bytes[..]).map(WatchOperation::try_from);
    }

    #[test]
    fn no_field_panics_and_what_is_taken_keeps_the_rules(
        key in text(), url in text(), name in text(), source in text(), point in text(), block_bytes in any::<u32>(),
        secs in any::<i64>(), nanos in any::<i32>(), compression in text(), coordinator in 0_usize..100_000,
    ) {
        let mut request = backup();
        request.idempotency_key = key;
        request.repository.as_mut().unwrap().url = url;
        request.volumes[0] = v1::BackupVolume { name, source, block_bytes, changes: String::new() };
        request.compression = compression;
        request.timeout = seconds(secs, nanos);
        let reference = request.point.as_mut().unwrap();
        (reference.point, reference.coordinator) = (point, vec![0; coordinator]);
        if let Ok(checked) = StartBackup::try_from(request) {
            prop_assert!(checked.timeout <= TIMEOUT_MAX && !checked.timeout.is_zero());
            prop_assert!((1..=128).contains(&checked.idempotency_key.as_ref().len()));
        }
    }

    #[test]
    fn every_repository_is_taken_or_refused(url in text(), key in text(), key_name in text(), name in text()) {
        let given = v1::Repository { url, key, key_name, s3: None, credentials_name: name };
        let _ = RepositoryAccess::try_from(given);
    }
}
