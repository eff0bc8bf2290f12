//! One volume being restored: what all its threads share.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use coffer_blockio::BlockTarget;
use coffer_format::{BlockHasher, LEAF_BLOCKS};

use super::lost::Lost;
use super::request::RestoreVolume;
use super::writer::RestoreCounts;
use crate::backup::Progress;
use crate::read::block_states::Trailers;
use crate::read::fetch::PackReader;
use crate::read::volume_map::VolumeMap;
use crate::resources::FetchShape;
use crate::{EngineError, Repository, Resources};

/// One volume being restored.
pub(super) struct VolumeRestore<'a> {
    pub(super) map: &'a VolumeMap,
    pub(super) reader: &'a PackReader<'a>,
    pub(super) trailers: Trailers,
    pub(super) hasher: BlockHasher,
    pub(super) counts: &'a RestoreCounts,
    pub(super) volume: &'a RestoreVolume,
    pub(super) name: &'a str,
    pub(super) resources: &'a Resources,
    pub(super) repository: &'a Repository,
    pub(super) progress: &'a dyn Progress,
    /// Where a salvage notes what cannot be restored; `None`: such a thing ends the restore.
    pub(super) lost: Option<&'a Lost>,
    pub(super) failure: Mutex<Option<EngineError>>,
}

impl VolumeRestore<'_> {
    pub(super) fn reading(&self) -> FetchShape {
        self.resources.reading(&self.repository.store().shape())
    }

    /// Whether zeroes need not be written.
    pub(super) fn skips_zeroes(&self) -> bool {
        let fresh = self.volume.target.as_ref().is_none_or(|target| target.is_fresh());
        fresh && !self.volume.write_all_zeroes
    }

    /// The blocks that a leaf covers.
    pub(super) fn leaf_blocks(&self, index: u32) -> Range<u32> {
        let first = index * LEAF_BLOCKS;
        first..first.saturating_add(LEAF_BLOCKS).min(self.map.block_count)
    }

    pub(super) fn bytes_of(&self, blocks: &Range<u32>) -> u64 {
        let block = u64::from(self.map.block_size().bytes());
        let size = self.map.root.volume_size;
        (u64::from(blocks.end) * block).min(size) - (u64::from(blocks.start) * block).min(size)
    }

    pub(super) fn zero(&self, target: &dyn BlockTarget, range: &Range<u32>) -> Result<(), EngineError> {
        let offset = u64::from(range.start) * u64::from(self.map.block_size().bytes());
        let len = self.bytes_of(range);
        let zeroed = target.write_zeroes(offset, len);
        zeroed.map_err(|source| EngineError::Target { volume: self.name.to_owned(), source })?;
        self.counts.zeroed.fetch_add(len, Ordering::Relaxed);
        self.progress.advance(len, 0);
        Ok(())
    }

    /// Whether an error costs a range and not the restore.
    pub(super) fn may_lose(&self, error: &EngineError) -> bool {
        self.lost.is_some() && error.is_damage()
    }

    pub(super) fn fail(&self, error: EngineError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
