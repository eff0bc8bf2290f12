//! What all threads of one volume share, and the figures that they add to.

use std::sync::atomic::{AtomicU64, Ordering};

use coffer_format::BlockHasher;

use super::resume::Resume;
use super::staged::Staging;
use super::volume_context::VolumeContext;
use crate::io_throttle::DiskThrottle;
use crate::read::block_states::Trailers;

/// What all threads of one volume share.
pub(crate) struct PassContext<'a> {
    pub(crate) volume: &'a VolumeContext<'a>,
    pub(crate) trailers: &'a Trailers,
    pub(crate) resume: &'a Resume,
    pub(crate) hasher: &'a BlockHasher,
    pub(crate) own_index: u16,
    pub(crate) staging: &'a Staging,
    pub(crate) throttle: &'a DiskThrottle,
    pub(crate) counts: &'a PassCounts,
}

/// Figures that grow while a volume is read.
#[derive(Default)]
pub(crate) struct PassCounts {
    pub(crate) read: AtomicU64,
    pub(crate) changed: AtomicU64,
    pub(crate) blocks_changed: AtomicU64,
    /// Bytes of the volume that are done, read or not; for progress.
    pub(crate) done: AtomicU64,
    /// Segments whose base could not be read.
    pub(crate) base_damage: AtomicU64,
}

impl PassCounts {
    pub(crate) fn add_changed(&self, bytes: u64) {
        self.changed.fetch_add(bytes, Ordering::Relaxed);
        self.blocks_changed.fetch_add(1, Ordering::Relaxed);
    }
}
