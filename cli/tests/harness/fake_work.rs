//! The work of a backup at the fake agent: the real engine, on files and a repository in a directory.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use coffer_blockio::{EngineWish, SourceOpener};
use coffer_engine::backup::{
    ChangeSource, PointReference, Progress, VolumeSource, VolumesRequest, back_up_volumes,
};
use coffer_engine::{CancelToken, Clock, EngineError, Entropy, Environment, Repository, Resources};
use coffer_format::{Compression, KeyFile, PlanId, Timestamp};
use coffer_proto::agent::v1;
use coffer_store::{OpenOptions, RepositoryUrl};

/// The machine's clock and randomness.
pub(crate) struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
    }
}

impl Entropy for System {
    fn fill(&self, out: &mut [u8]) -> Result<(), EngineError> {
        getrandom::fill(out).map_err(|error| EngineError::Entropy(error.to_string()))
    }
}

struct Silent;

impl Progress for Silent {
    fn volume(&self, _volume: &str, _total_bytes: u64) {}

    fn advance(&self, _done_bytes: u64, _moved_bytes: u64) {}
}

/// Backs the volumes up with what the request brings along, and nothing else.
pub(super) fn back_up(request: &v1::StartBackupRequest) -> v1::BackupResult {
    let place = request.repository.as_ref().unwrap();
    let url = RepositoryUrl::parse(&place.url).unwrap();
    let store = coffer_store::open(&url, OpenOptions::default()).unwrap();
    let environment =
        Environment { clock: Arc::new(System), entropy: Arc::new(System), cancel: CancelToken::default() };
    let key = (!place.key.is_empty()).then(|| KeyFile::decode(&place.key).unwrap());
    let repository = Repository::open(store, environment, key).unwrap();
    let resources = Resources::within(128 << 20, 2).unwrap();
    let opener = SourceOpener::new(EngineWish::Pread, &resources.arena).unwrap();
    let open = |volume: &v1::BackupVolume| VolumeSource {
        name: volume.name.parse().unwrap(),
        source: opener.open(&volume.source).map_err(|error| EngineError::Usage(error.to_string())),
    };
    let volumes: Vec<VolumeSource> = request.volumes.iter().map(open).collect();
    let done = back_up_volumes(
        &repository,
        &resources,
        &VolumesRequest {
            reference: &reference(request.point.as_ref().unwrap()),
            volumes: &volumes,
            changes: ChangeSource::Auto,
            lists: None,
            block_size: None,
            compression: Compression::Lz4,
            progress: &Silent,
        },
    )
    .unwrap();
    v1::BackupResult {
        records: done.records.iter().map(coffer_format::Signed::encode).collect(),
        reused_runs: done.reused_runs.iter().map(ToString::to_string).collect(),
        objects_written: done.objects,
        bytes_written: done.bytes,
        resumed_bytes: done.resumed_bytes,
        requests: Some(v1::Requests { put: 1000, ..Default::default() }),
    }
}

fn reference(reference: &v1::PointReference) -> PointReference {
    let plan = reference.plan.as_ref().unwrap();
    let label = |text: &str| text.parse().unwrap();
    PointReference {
        plan: PlanId {
            team: label(&plan.team),
            cluster: label(&plan.cluster),
            namespace: label(&plan.namespace),
            plan: label(&plan.plan),
        },
        point: reference.point.parse().unwrap(),
        chain: reference.chain.parse().unwrap(),
        parent: (!reference.parent.is_empty()).then(|| reference.parent.parse().unwrap()),
    }
}
