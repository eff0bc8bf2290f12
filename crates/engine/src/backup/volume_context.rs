//! One volume of one run, as all its parts see it.

use std::sync::Arc;

use coffer_blockio::BlockSource;
use coffer_format::{BlockSize, Compression, Id, VolumePath};

use super::open_chain::OpenChain;
use super::reading::Reading;
use super::request::Progress;
use crate::read::volume_map::VolumeMap;
use crate::{CancelToken, Repository, Resources};

/// What is known of a volume before its first block is read.
pub(crate) struct VolumeContext<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) resources: &'a Resources,
    pub(crate) path: VolumePath,
    /// Its name, for messages.
    pub(crate) name: String,
    pub(crate) source: &'a dyn BlockSource,
    /// Bytes.
    pub(crate) size: u64,
    /// The parent's map, if it is built on.
    pub(crate) base: Option<Arc<VolumeMap>>,
    pub(crate) chain: &'a OpenChain,
    pub(crate) block_size: BlockSize,
    pub(crate) compression: Compression,
    pub(crate) reading: Reading,
    /// Incomplete runs of the chain, oldest first.
    pub(crate) incomplete_runs: &'a [Id],
    pub(crate) progress: &'a dyn Progress,
}

impl VolumeContext<'_> {
    pub(crate) fn cancel(&self) -> &CancelToken {
        &self.repository.environment().cancel
    }

    /// Bytes of the blocks from `first` to before `end`; the last block can be a short one.
    pub(crate) fn bytes_of(&self, first: u32, end: u32) -> u64 {
        let block = u64::from(self.block_size.bytes());
        (u64::from(end) * block).min(self.size) - (u64::from(first) * block).min(self.size)
    }
}
