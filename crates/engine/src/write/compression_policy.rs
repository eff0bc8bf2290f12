//! Decides which blocks are worth an attempt to compress them, and how much of one: adaptive compression. Pure: block numbers and lengths
//! go in, an effort or none comes out. It must never decide how a block is stored once it was tried; that is the compressor's, block by block.
//!
//! Data that hardly shrinks costs a compressor the most time. After an attempt that gained little, the next block of the region gets a
//! quick one. After a run of attempts in one region that all gained next to nothing, one block in eight is tried and the others are stored
//! as they are, until an attempt gains enough again. What it knows holds for the region only: a block that is not near the one before
//! starts anew, so that scattered changes are always tried in full.

use coffer_format::{Compression, Effort};

/// Poor attempts in a row after which blocks are left out.
const POOR_RUN: u32 = 8;
/// Blocks at most this far apart are of one region. Small, so that changes scattered over as much as a tenth of a volume hardly ever make
/// a region of `POOR_RUN` blocks; large enough for the holes of a file that is written front to back.
const NEAR_BLOCKS: u32 = 4;
/// Blocks left out after each poor attempt, in turn: 8 attempts in 64 blocks, at each distance modulo 8 once, so that data that repeats
/// every 8 blocks cannot always show the same of itself.
const LEFT_OUT: [u32; 8] = [9, 9, 9, 8, 5, 5, 5, 6];

/// The parts of a block, one in so many, that an attempt must gain.
#[derive(Debug)]
struct Gains {
    /// Less is poor.
    fair: usize,
    /// Less, and the next attempt is a quick one. `None`: all are in full.
    well: Option<usize>,
}

/// What one writer knows of the region it is in.
#[derive(Debug)]
pub(crate) struct CompressionPolicy {
    /// `None`: nothing is ever tried.
    gains: Option<Gains>,
    last_block: Option<u32>,
    effort: Effort,
    poor: u32,
    left_out: u32,
    turn: usize,
}

impl CompressionPolicy {
    /// Whoever asks for LZ4 saves time, for zstd saves bytes.
    pub(crate) fn new(compression: Compression) -> CompressionPolicy {
        let gains = match compression {
            Compression::None => None,
            Compression::Lz4 => Some(Gains { fair: 7, well: Some(3) }),
            Compression::Zstd(_) => Some(Gains { fair: 8, well: None }),
        };
        CompressionPolicy { gains, last_block: None, effort: Effort::Full, poor: 0, left_out: 0, turn: 0 }
    }

    /// How to try the next block; `None`: not at all. Blocks come in ascending order. What came of it is told by [`CompressionPolicy::tried`].
    pub(crate) fn wants(&mut self, block: u32) -> Option<Effort> {
        let last = self.last_block.replace(block);
        let near = last.is_some_and(|last| block.abs_diff(last) <= NEAR_BLOCKS);
        if !near {
            self.effort = Effort::Full;
            self.start_anew();
        }
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        self.gains.is_some().then_some(self.effort)
    }

    /// The block last asked for was tried with the effort asked for: `plain_len` bytes became `stored_len`.
    pub(crate) fn tried(&mut self, plain_len: usize, stored_len: usize) {
        let Some(gains) = &self.gains else { return };
        let gained = plain_len.saturating_sub(stored_len);
        let enough = |part: usize| gained >= plain_len.div_ceil(part);
        self.effort = if gains.well.is_none_or(enough) { Effort::Full } else { Effort::Quick };
        if enough(gains.fair) {
            self.start_anew();
            return;
        }
        self.poor = (self.poor + 1).min(POOR_RUN);
        if self.poor == POOR_RUN {
            self.left_out = LEFT_OUT[self.turn];
            self.turn = (self.turn + 1) % LEFT_OUT.len();
        }
    }

    fn start_anew(&mut self) {
        (self.poor, self.left_out, self.turn) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests;
