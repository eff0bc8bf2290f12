//! Volumes of golden repositories: any size, mostly zero, so that maps of several leaves need no memory.

use std::ops::Range;

use coffer_blockio::{BlockSource, ReadError, SourceKind};
use coffer_format::Digest;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Bytes of the blocks of golden repositories.
pub(super) const BLOCK: u64 = 16 << 10;

/// How blocks are filled.
#[derive(Clone, Copy)]
pub(super) enum Fill {
    /// Does not compress.
    Noise,
    /// Compresses well, each block another way.
    Text,
}

/// A volume in pieces; everything else is zero.
#[derive(Clone, Default)]
pub(super) struct Sparse {
    size: u64,
    /// Offset and bytes, ascending, of whole blocks but for the last.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Sparse {
    pub(super) fn new(size: u64) -> Sparse {
        Sparse { size, pieces: Vec::new() }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// This volume with `blocks` filled; the last one is cut to the volume's end.
    pub(super) fn with(mut self, fill: Fill, blocks: Range<u64>, seed: u64) -> Sparse {
        for block in blocks {
            let len = BLOCK.min(self.size - block * BLOCK);
            let mut bytes = vec![0; usize::try_from(len).unwrap()];
            let mut random = SmallRng::seed_from_u64(seed << 32 | block);
            match fill {
                Fill::Noise => random.fill_bytes(&mut bytes),
                Fill::Text => text(block, seed, &mut bytes),
            }
            self.pieces.retain(|(at, _)| *at != block * BLOCK);
            self.pieces.push((block * BLOCK, bytes));
        }
        self.pieces.sort_by_key(|(at, _)| *at);
        self
    }

    /// This volume with `blocks` zero.
    pub(super) fn without(mut self, blocks: Range<u64>) -> Sparse {
        self.pieces.retain(|(at, _)| !blocks.contains(&(at / BLOCK)));
        self
    }

    /// This volume, longer; what is added is zero. The old end must be that of a block.
    pub(super) fn grown(mut self, size: u64) -> Sparse {
        assert!(size >= self.size && self.size.is_multiple_of(BLOCK));
        self.size = size;
        self
    }

    pub(super) fn blake3(&self) -> Digest {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap()];
        self.read_exact_at(0, &mut bytes).unwrap();
        Digest::of(&bytes)
    }
}

fn text(block: u64, seed: u64, bytes: &mut [u8]) {
    let line = format!("block {block} of volume {seed}\n");
    bytes.iter_mut().zip(line.bytes().cycle()).for_each(|(out, byte)| *out = byte);
}

impl BlockSource for Sparse {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        buf.fill(0);
        for (at, bytes) in &self.pieces {
            let (start, end) = (offset.max(*at), (offset + buf.len() as u64).min(at + bytes.len() as u64));
            if start < end {
                let from = usize::try_from(start - at).unwrap();
                let to = usize::try_from(start - offset).unwrap();
                let len = usize::try_from(end - start).unwrap();
                buf[to..to + len].copy_from_slice(&bytes[from..from + len]);
            }
        }
        Ok(())
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (at, bytes) in &self.pieces {
            let (from, to) = (start.max(*at), end.min(at + bytes.len() as u64));
            match ranges.last_mut() {
                _ if from >= to => {}
                Some(last) if last.end == from => last.end = to,
                _ => ranges.push(from..to),
            }
        }
        Ok(ranges)
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        Ok(self.data_ranges(offset, self.size)?.first().map(|range| range.start))
    }

    fn knows_holes(&self) -> bool {
        true
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        Ok(self.size)
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Image
    }
}
