//! Any kind of work, as it was asked for. It holds secrets, and lives as long as its operation waits or runs.

use std::time::Duration;

use coffer_format::{Digest, Id, Label};
use coffer_proto::checked::{
    IdempotencyKey, KeySource, RepositoryAccess, S3Source, StartBackup, StartRestore, StartVerify, VolumeRef,
};

use super::record::{Kind, TicketRecord};

/// What a volume of a request takes besides its texts, bytes.
const VOLUME_BYTES: usize = 256;

/// Work to do.
#[derive(Debug)]
pub enum Request {
    /// Volumes to a point.
    Backup(StartBackup),
    /// A point to volumes.
    Restore(StartRestore),
    /// Looks at points.
    Verify(StartVerify),
}

impl Request {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Request::Backup(_) => Kind::Backup,
            Request::Restore(_) => Kind::Restore,
            Request::Verify(_) => Kind::Verify,
        }
    }

    /// The caller's name for it.
    pub fn key(&self) -> &IdempotencyKey {
        match self {
            Request::Backup(it) => &it.idempotency_key,
            Request::Restore(it) => &it.idempotency_key,
            Request::Verify(it) => &it.idempotency_key,
        }
    }

    /// Equal for requests that ask for the same.
    pub fn fingerprint(&self) -> Digest {
        match self {
            Request::Backup(it) => it.fingerprint(),
            Request::Restore(it) => it.fingerprint(),
            Request::Verify(it) => it.fingerprint(),
        }
    }

    /// On whose behalf.
    pub fn team(&self) -> &Label {
        match self {
            Request::Backup(it) => &it.reference.plan.team,
            Request::Restore(it) => &it.plan.team,
            Request::Verify(it) => &it.plans.team,
        }
    }

    /// The repository, and what opens it.
    pub fn repository(&self) -> &RepositoryAccess {
        match self {
            Request::Backup(it) => &it.repository,
            Request::Restore(it) => &it.repository,
            Request::Verify(it) => &it.repository,
        }
    }

    /// About how much its texts take in memory while it waits: here, in its record and in its claims.
    pub fn bytes(&self) -> u64 {
        let repository = self.repository();
        let key = match &repository.key {
            KeySource::Text(text) => text.expose().len(),
            KeySource::None | KeySource::Named(_) => 0,
        };
        let s3 = match &repository.s3 {
            S3Source::Given(keys) => {
                let token = keys.session_token.as_ref().map_or(0, |token| token.expose().len());
                keys.access_key_id.expose().len() + keys.secret_access_key.expose().len() + token
            }
            S3Source::Agent | S3Source::Named(_) => 0,
        };
        let coordinator = match self {
            Request::Backup(it) => it.reference.coordinator.len(),
            Request::Restore(_) | Request::Verify(_) => 0,
        };
        let names: usize = self.volume_names().iter().map(|name| name.len() + VOLUME_BYTES).sum();
        let paths: usize = self.volume_refs().iter().map(|volume| volume.to_string().len()).sum();
        (repository.url.len() + key + s3 + 2 * (coordinator + names) + 4 * paths) as u64
    }

    /// How long it may take, waiting included.
    pub fn timeout(&self) -> Duration {
        match self {
            Request::Backup(it) => it.timeout,
            Request::Restore(it) => it.timeout,
            Request::Verify(it) => it.timeout,
        }
    }

    /// The point that is written.
    pub fn point(&self) -> Option<Id> {
        match self {
            Request::Backup(it) => Some(it.reference.point),
            Request::Restore(_) | Request::Verify(_) => None,
        }
    }

    /// What is kept of the point that is written.
    pub fn reference(&self) -> Option<TicketRecord> {
        match self {
            Request::Backup(it) => Some(TicketRecord::from(&it.reference)),
            Request::Restore(_) | Request::Verify(_) => None,
        }
    }

    /// Names of its volumes in the point.
    pub fn volume_names(&self) -> Vec<String> {
        match self {
            Request::Backup(it) => it.volumes.iter().map(|volume| volume.name.to_string()).collect(),
            Request::Restore(it) => it.volumes.iter().map(|volume| volume.name.to_string()).collect(),
            Request::Verify(_) => Vec::new(),
        }
    }

    /// The volumes of the node that it reads or writes.
    pub fn volume_refs(&self) -> Vec<&VolumeRef> {
        match self {
            Request::Backup(it) => it.volumes.iter().map(|volume| &volume.source).collect(),
            Request::Restore(it) => it.volumes.iter().map(|volume| &volume.target).collect(),
            Request::Verify(_) => Vec::new(),
        }
    }
}
