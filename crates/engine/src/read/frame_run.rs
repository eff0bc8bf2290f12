//! Places of frames in packs, one by one and in runs.

use coffer_format::{Extent, Place};

/// One frame of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FramePlace {
    pub(crate) lineage: u16,
    pub(crate) pack: u32,
    pub(crate) ordinal: u32,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// Neighbouring frames of one pack that hold neighbouring blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameRun {
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) place: FramePlace,
}

/// Turns an extent into the run of frames that holds it; `None` for zeroes.
pub(crate) fn frame_run(extent: &Extent) -> Option<FrameRun> {
    let Place::Data { lineage, pack, ordinal, offset, len } = extent.place else { return None };
    let place = FramePlace { lineage, pack, ordinal, offset, len };
    Some(FrameRun { first: extent.first, count: extent.count, place })
}
