//! What a volume builds on: the parent's map of the same volume, or nothing, and why.

use std::fmt;
use std::sync::Arc;

use coffer_format::{BlockSize, LINEAGE_MAX, Manifest, VolumeName};

use super::damage_notes::damaged_packs;
use crate::read::musts::refuse_unreadable;
use crate::read::volume_map::VolumeMap;
use crate::request_error::RequestError;
use crate::{EngineError, Repository, Resources, one_line};

/// Why a volume is full or incremental, as its record says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BaseReason {
    /// The point has no parent.
    FirstOfChain,
    /// The parent does not have the volume.
    NewVolume,
    /// So many points build on each other that no more can.
    LineageFull,
    /// The parent's map is built on; blocks of so many packs that verify found damaged are stored again.
    Continues {
        /// Packs.
        damaged_packs: usize,
    },
    /// The parent's map cannot be read.
    MapUnreadable(String),
}

impl fmt::Display for BaseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaseReason::FirstOfChain => write!(formatter, "first of its chain"),
            BaseReason::NewVolume => write!(formatter, "the parent point does not have this volume"),
            BaseReason::LineageFull => write!(formatter, "its lineage holds {LINEAGE_MAX} points"),
            BaseReason::Continues { damaged_packs: 0 } => write!(formatter, "continues the parent point"),
            BaseReason::Continues { damaged_packs } => write!(
                formatter,
                "continues the parent point; blocks of {damaged_packs} damaged packs are stored again"
            ),
            BaseReason::MapUnreadable(error) => write!(formatter, "the parent's map cannot be read: {error}"),
        }
    }
}

/// The parent's map of the volume, if it can be built on.
///
/// # Errors
/// [`RequestError::OtherBlockSize`] where another block size was asked for than the chain has.
pub(super) fn find_base(
    repository: &Repository,
    resources: &Resources,
    parent: Option<&Manifest>,
    name: &VolumeName,
    asked: Option<BlockSize>,
) -> Result<(Option<Arc<VolumeMap>>, BaseReason), EngineError> {
    let Some(parent) = parent else { return Ok((None, BaseReason::FirstOfChain)) };
    let Some(record) = parent.volume_records().find(|record| record.name == *name) else {
        return Ok((None, BaseReason::NewVolume));
    };
    if record.lineage.len() >= LINEAGE_MAX {
        return Ok((None, BaseReason::LineageFull));
    }
    if let Some(asked) = asked.filter(|asked| *asked != record.block_size) {
        return Err(RequestError::OtherBlockSize {
            volume: name.clone(),
            found_bytes: record.block_size.bytes(),
            asked_bytes: asked.bytes(),
        }
        .into());
    }
    let opened = refuse_unreadable(parent, record)
        .and_then(|()| VolumeMap::open(repository, record, resources.cache_bytes / 2));
    match opened {
        Ok(mut map) => {
            let damaged = damaged_packs(repository, &record.team, record)?;
            let reason = BaseReason::Continues { damaged_packs: damaged.len() };
            map.set_damaged(damaged);
            Ok((Some(Arc::new(map)), reason))
        }
        Err(error @ (EngineError::Damaged { .. } | EngineError::Object { .. } | EngineError::Refused(_))) => {
            Ok((None, BaseReason::MapUnreadable(one_line(&error))))
        }
        Err(error) => Err(error),
    }
}
