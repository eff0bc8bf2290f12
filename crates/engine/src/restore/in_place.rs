//! In-place restore of one segment: reads the target, keeps what is right, says what has to be fetched or zeroed.

use std::ops::Range;

use coffer_blockio::BlockTarget;
use coffer_format::{BlockHasher, is_zero};

use crate::EngineError;
use crate::read::block_states::{BlockPlace, BlockState, Trailers};
use crate::read::frame_run::FramePlace;
use crate::read::frame_run::FrameRun;
use crate::read::volume_map::VolumeMap;

/// What differs between a segment of the target and the point.
#[derive(Default)]
pub(crate) struct Difference {
    /// Frames to fetch.
    pub(crate) runs: Vec<FrameRun>,
    /// Blocks to zero.
    pub(crate) zeroes: Vec<Range<u32>>,
    /// Bytes that are right already.
    pub(crate) skipped: u64,
}

/// Compares `count` blocks from `first` on.
pub(crate) fn compare(
    map: &VolumeMap,
    trailers: &Trailers,
    hasher: &BlockHasher,
    target: &dyn BlockTarget,
    first: u32,
    count: u32,
    buffer: &mut [u8],
) -> Result<Difference, EngineError> {
    let states = map.blocks(trailers, first, count)?;
    let block_bytes = map.block_size().bytes() as usize;
    let blocks_per_read = (buffer.len() / block_bytes).max(1);
    let mut difference = Difference::default();
    let mut block = first;
    for chunk in states.chunks(blocks_per_read) {
        let len: usize = (block..).zip(chunk).map(|(at, _)| map.block_len(at)).sum();
        let bytes =
            buffer.get_mut(..len).ok_or_else(|| EngineError::Bug("compare buffer too small".into()))?;
        let offset = u64::from(block) * block_bytes as u64;
        let read = target.read_exact_at(offset, bytes);
        read.map_err(|source| EngineError::Source { volume: map.volume.clone(), source })?;
        for (state, have) in chunk.iter().zip(bytes.chunks(block_bytes)) {
            difference.block(block, state, have, hasher)?;
            block += 1;
        }
    }
    Ok(difference)
}

impl Difference {
    fn block(
        &mut self,
        block: u32,
        state: &BlockState,
        have: &[u8],
        hasher: &BlockHasher,
    ) -> Result<(), EngineError> {
        match state.place {
            BlockPlace::Zero if is_zero(have) => self.skipped += have.len() as u64,
            BlockPlace::Zero => match self.zeroes.last_mut() {
                Some(run) if run.end == block => run.end += 1,
                _ => self.zeroes.push(block..block + 1),
            },
            BlockPlace::Data(_) if hasher.hash(have) == state.hash => self.skipped += have.len() as u64,
            BlockPlace::Data(place) => match self.runs.last_mut() {
                Some(run) if continues(run, block, &place) => {
                    run.count += 1;
                    run.place.len += place.len;
                }
                _ => self.runs.push(FrameRun { first: block, count: 1, place }),
            },
            BlockPlace::Unknown => return Err(EngineError::Bug(format!("block {block} is not on the map"))),
        }
        Ok(())
    }
}

fn continues(run: &FrameRun, block: u32, place: &FramePlace) -> bool {
    let last = &run.place;
    run.first + run.count == block
        && (last.lineage, last.pack) == (place.lineage, place.pack)
        && last.ordinal + run.count == place.ordinal
        && last.offset + u64::from(last.len) == place.offset
        && u64::from(last.len) + u64::from(place.len) <= crate::resources::RANGE_BYTES
}
