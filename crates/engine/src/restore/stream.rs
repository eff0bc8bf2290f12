//! Restores one volume front to back into a stream, for pipes.

use std::io::Write;

use coffer_format::{LEAF_BLOCKS, VolumeName};

use super::request::find_volume;
use super::run::{RestoredVolume, explain, with_pin};
use crate::catalog::{PointEntry, load_manifest};
use crate::read::fetch::{BlockSink, PackReader, plan_ranges};
use crate::read::frame_run::{FrameRun, frame_run};
use crate::read::volume_map::VolumeMap;
use crate::resources::RANGE_BYTES;
use crate::{EngineError, Repository, Resources};

/// Bytes of the volume that are put together before they are written.
const STRIDE_BYTES: u32 = 16 << 20;

/// Writes a volume to `out` from its first to its last byte. Nothing unchecked is written.
pub fn restore_to_stream(
    repository: &Repository,
    resources: &Resources,
    point: &PointEntry,
    volume: &VolumeName,
    out: &mut dyn Write,
) -> Result<RestoredVolume, EngineError> {
    resources.begin(&repository.environment().cancel);
    let streamed = with_pin(repository, point, || stream(repository, resources, point, volume, out));
    explain(repository, point, streamed)
}

fn stream(
    repository: &Repository,
    resources: &Resources,
    point: &PointEntry,
    volume: &VolumeName,
    out: &mut dyn Write,
) -> Result<RestoredVolume, EngineError> {
    let manifest = load_manifest(repository, point)?.payload;
    let record = find_volume(&manifest, volume)?;
    let map = VolumeMap::open(repository, record, resources.cache_bytes / 2)?;
    let reader = PackReader::open(repository, &map, &manifest.plan_id(), manifest.chain)?;
    let cancel = &repository.environment().cancel;
    let alloc = |len| resources.alloc(len, cancel);
    let mut stride = alloc(STRIDE_BYTES as usize)?;
    let mut range_buffer = alloc(usize::try_from(RANGE_BYTES).unwrap_or(usize::MAX))?;
    let block_bytes = map.block_size().bytes();
    let stride_blocks = (STRIDE_BYTES / block_bytes).min(LEAF_BLOCKS);
    let mut report = RestoredVolume::new(volume.clone(), "-".into(), record.size);
    let mut first = 0;
    while first < map.block_count {
        cancel.check()?;
        let count = stride_blocks.min(map.block_count - first);
        let len: usize = (first..first + count).map(|block| map.block_len(block)).sum();
        let bytes = stride.get_mut(..len).ok_or_else(|| EngineError::Bug("stride too long".into()))?;
        bytes.fill(0);
        let runs = runs_within(&map, first, count)?;
        let mut sink = StrideSink {
            bytes,
            first,
            count,
            block_bytes: block_bytes as usize,
            scratch: vec![0; block_bytes as usize],
        };
        for range in plan_ranges(runs, RANGE_BYTES) {
            cancel.check()?;
            reader.fetch(&range, &mut range_buffer, &mut sink)?;
            report.fetched += range.end - range.start;
        }
        out.write_all(&stride[..len]).map_err(EngineError::Stream)?;
        report.written += len as u64;
        first += count;
    }
    out.flush().map_err(EngineError::Stream)?;
    Ok(report)
}

/// Runs that touch the stride; they may begin before and end behind it.
fn runs_within(map: &VolumeMap, first: u32, count: u32) -> Result<Vec<FrameRun>, EngineError> {
    let mut runs = Vec::new();
    for leaf in first / LEAF_BLOCKS..=(first + count - 1) / LEAF_BLOCKS {
        let Some(leaf) = map.leaf(leaf)? else { continue };
        let touching = leaf
            .extents
            .iter()
            .filter(|extent| extent.first < first + count && extent.first + extent.count > first);
        runs.extend(touching.filter_map(frame_run));
    }
    Ok(runs)
}

/// Puts blocks of the stride into place and drops the others.
struct StrideSink<'a> {
    bytes: &'a mut [u8],
    first: u32,
    count: u32,
    block_bytes: usize,
    scratch: Vec<u8>,
}

impl BlockSink for StrideSink<'_> {
    fn place(&mut self, block: u32, len: usize) -> Result<&mut [u8], EngineError> {
        let wrong = || EngineError::Bug("a block outside of its stride".into());
        match block.checked_sub(self.first).filter(|at| *at < self.count) {
            Some(at) => {
                let start = at as usize * self.block_bytes;
                self.bytes.get_mut(start..start + len).ok_or_else(wrong)
            }
            None => self.scratch.get_mut(..len).ok_or_else(wrong),
        }
    }

    fn filled(&mut self, _block: u32, _len: usize) -> Result<(), EngineError> {
        Ok(())
    }
}
