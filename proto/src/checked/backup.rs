//! A backup of volumes of an open point.

use std::time::Duration;

use coffer_format::{BlockSize, Compression, Digest, VolumeName};

use super::field::{IdempotencyKey, RequestError, distinct, parsed, required, timeout, volume_count};
use super::fingerprint::Fields;
use super::point_reference::PointReference;
use super::repository::RepositoryAccess;
use super::volume::VolumeRef;
use crate::agent::v1;

/// A backup to start.
#[derive(Debug, Clone)]
pub struct StartBackup {
    /// Names the work.
    pub idempotency_key: IdempotencyKey,
    /// Where to.
    pub repository: RepositoryAccess,
    /// The point that it is a part of.
    pub reference: PointReference,
    /// 1 to 256 volumes, each name once.
    pub volumes: Vec<BackupVolume>,
    /// Compression of new blocks.
    pub compression: Compression,
    /// What reads.
    pub read_engine: ReadEngine,
    /// From the start of the operation, waiting included.
    pub timeout: Duration,
}

/// One volume to back up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupVolume {
    /// Its name in the point.
    pub name: VolumeName,
    /// The volume.
    pub source: VolumeRef,
    /// For a volume without a base; by its size where `None`.
    pub block_size: Option<BlockSize>,
    /// Where changes come from.
    pub changes: Changes,
}

/// Where knowledge about unchanged blocks comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changes {
    /// The best that works.
    #[default]
    Auto,
    /// Every block is read.
    Hash,
    /// The file system's allocation.
    Fiemap,
}

/// What reads volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadEngine {
    /// The better one that works.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// `pread`.
    Pread,
}

impl StartBackup {
    /// Equal for requests that ask for the same work.
    pub fn fingerprint(&self) -> Digest {
        let fields = Fields::of("backup").text(&self.repository.url).text(&self.reference.plan);
        let fields = self.volumes.iter().fold(fields.text(self.volumes.len()), |fields, volume| {
            let block_bytes = volume.block_size.map(BlockSize::bytes);
            fields.text(&volume.name).text(&volume.source).option(block_bytes).text(volume.changes.word())
        });
        let fields = fields.text(compression_word(self.compression)).text(self.read_engine.word());
        fields.text(self.timeout.as_nanos()).digest()
    }
}

impl TryFrom<v1::StartBackupRequest> for StartBackup {
    type Error = RequestError;

    fn try_from(given: v1::StartBackupRequest) -> Result<Self, RequestError> {
        let repository = required("repository", given.repository).and_then(RepositoryAccess::try_from)?;
        volume_count(given.volumes.len())?;
        let volumes =
            given.volumes.into_iter().enumerate().map(|(index, volume)| self::volume(index, &volume));
        let volumes: Vec<BackupVolume> = volumes.collect::<Result<_, _>>()?;
        distinct("name", volumes.iter().map(|volume| volume.name.as_ref()))?;
        Ok(StartBackup {
            idempotency_key: given.idempotency_key.parse()?,
            repository,
            reference: required("point", given.point)?.try_into()?,
            volumes,
            compression: compression(&given.compression)?,
            read_engine: read_engine(&given.read_engine)?,
            timeout: timeout(given.timeout)?,
        })
    }
}

impl Changes {
    fn word(self) -> &'static str {
        match self {
            Changes::Auto => "auto",
            Changes::Hash => "hash",
            Changes::Fiemap => "fiemap",
        }
    }
}

impl ReadEngine {
    fn word(self) -> &'static str {
        match self {
            ReadEngine::Auto => "auto",
            ReadEngine::Uring => "uring",
            ReadEngine::Pread => "pread",
        }
    }
}

fn volume(index: usize, given: &v1::BackupVolume) -> Result<BackupVolume, RequestError> {
    let field = |name: &str| format!("volumes[{index}].{name}");
    Ok(BackupVolume {
        name: parsed(&field("name"), &given.name)?,
        source: VolumeRef::parse(&field("source"), &given.source)?,
        block_size: block_size(&field("block_bytes"), given.block_bytes)?,
        changes: match given.changes.as_str() {
            "" | "auto" => Changes::Auto,
            "hash" => Changes::Hash,
            "fiemap" => Changes::Fiemap,
            _ => return Err(RequestError::new(field("changes"), "is unknown: give auto, hash or fiemap")),
        },
    })
}

fn block_size(field: &str, bytes: u32) -> Result<Option<BlockSize>, RequestError> {
    if bytes == 0 {
        return Ok(None);
    }
    let wrong =
        |_| RequestError::new(field, format!("is {bytes}: give a power of two from 16384 to 1048576, or 0"));
    BlockSize::new(bytes).map(Some).map_err(wrong)
}

fn compression(text: &str) -> Result<Compression, RequestError> {
    let level = |text: &str| text.parse().ok().filter(|level| (1..=22).contains(level));
    let found = match text {
        "" | "lz4" => Some(Compression::Lz4),
        "none" => Some(Compression::None),
        "zstd" => Some(Compression::Zstd(3)),
        _ => text.strip_prefix("zstd:").and_then(level).map(Compression::Zstd),
    };
    found.ok_or_else(|| {
        RequestError::new("compression", "is unknown: give lz4, zstd, zstd:1 to zstd:22, or none")
    })
}

fn compression_word(compression: Compression) -> String {
    match compression {
        Compression::None => "none".into(),
        Compression::Lz4 => "lz4".into(),
        Compression::Zstd(level) => format!("zstd:{level}"),
    }
}

fn read_engine(text: &str) -> Result<ReadEngine, RequestError> {
    match text {
        "" | "auto" => Ok(ReadEngine::Auto),
        "uring" => Ok(ReadEngine::Uring),
        "pread" => Ok(ReadEngine::Pread),
        _ => Err(RequestError::new("read_engine", "is unknown: give auto, uring or pread")),
    }
}
