//! The part of the hot loop for volumes with a list of changes: named blocks are read and compared, all others stay where the base has
//! them. Where the base cannot tell, everything is read, whatever the list says.

use std::ops::Range;
use std::sync::atomic::Ordering;

use coffer_format::{Extent, push_extent};

use super::block_pass::{BlockPass, SegmentDone};
use super::read_runs::RunReader;
use super::segments::{Rest, Segment};
use crate::EngineError;
use crate::read::volume_map::VolumeMap;

/// What is done with a segment.
struct Parts {
    /// Runs to read, ascending.
    read: Vec<Range<u32>>,
    /// What lies between them, ascending.
    kept: Vec<Extent>,
}

impl BlockPass<'_> {
    /// Works through one segment of which only `segment.data` is read.
    pub(super) fn listed_segment(
        &mut self,
        map: &VolumeMap,
        segment: &Segment,
    ) -> Result<SegmentDone, EngineError> {
        let parts = self.parts(map, segment)?;
        let mut done = SegmentDone::default();
        let mut kept = parts.kept.into_iter().peekable();
        let mut reads = RunReader::new(self.context, &parts.read, std::mem::take(&mut self.spare))?;
        while let Some((run, bytes)) = reads.next_run()? {
            while let Some(extent) = kept.next_if(|extent| extent.first < run.start) {
                push_extent(&mut done.extents, extent);
            }
            let (first, count) = (run.start, run.end - run.start);
            let base =
                self.base_blocks(map, &Segment { first, count, data: Vec::new(), rest: Rest::Base })?;
            self.blocks(run, bytes, &base, &mut done)?;
        }
        self.spare = reads.into_spare();
        kept.for_each(|extent| push_extent(&mut done.extents, extent));
        let bytes = self.bytes_of(segment.first, segment.first + segment.count);
        self.context.counts.done.fetch_add(bytes, Ordering::Relaxed);
        Ok(done)
    }

    fn parts(&self, map: &VolumeMap, segment: &Segment) -> Result<Parts, EngineError> {
        let end = segment.first + segment.count;
        let starts = std::iter::once(segment.first).chain(segment.data.iter().map(|run| run.end));
        let ends = segment.data.iter().map(|run| run.start).chain([end]);
        let mut kept = Vec::new();
        for gap in starts.zip(ends).map(|(start, end)| start..end) {
            match map.extents(self.context.trailers, gap) {
                Ok(extents) => kept.extend(extents),
                Err(error) if error.is_damage() => {
                    tracing::warn!(volume = self.context.volume.name, %error, "base is damaged here; reading these blocks again");
                    return Ok(Parts {
                        read: std::iter::once(segment.first..end).collect(),
                        kept: Vec::new(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Parts { read: segment.data.clone(), kept })
    }
}
