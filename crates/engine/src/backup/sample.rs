//! Reads some of the blocks that a list calls unchanged, and compares them with the base: a list that lies is found out with a chance
//! that is known. It must choose without a pattern that whoever made the list could have known.
//!
//! Of blocks of which a share `p` had changed, `n` samples show at least one with the chance `1 - (1 - p)^n`, or better.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use coffer_blockio::BlockSource;
use coffer_format::{BlockHasher, is_zero};

use crate::read::block_states::{BlockPlace, Trailers};
use crate::read::volume_map::VolumeMap;
use crate::{EngineError, Environment, Resources};

/// Most blocks of one volume that are sampled.
pub const SAMPLE_BLOCKS_MAX: u32 = 262_144;
const DEFAULT_MAX: u32 = 4096;
const DEFAULT_MIN: u32 = 64;
/// Less than this is not worth another thread.
const BLOCKS_PER_THREAD: usize = 64;

/// How many of `unchanged` blocks to read: what is wished, or the lesser of one in a hundred and 4,096 but at least 64.
pub(crate) fn sample_size(wish: Option<u32>, unchanged: u32) -> u32 {
    wish.unwrap_or((unchanged / 100).clamp(DEFAULT_MIN, DEFAULT_MAX)).min(unchanged)
}

/// Chooses `count` of the blocks below `block_count` that are in none of `reads`, each as likely as any other; they ascend.
pub(crate) fn draw_sample(
    environment: &Environment,
    reads: &[Range<u32>],
    block_count: u32,
    count: u32,
) -> Result<Vec<u32>, EngineError> {
    let mut chance = Chance { environment, bytes: Vec::new() };
    let outside = unchanged_blocks(reads, block_count);
    Ok(outside_of(reads, draw(&mut chance, outside, count.min(outside))?))
}

/// Number of blocks that are in none of `reads`.
pub(crate) fn unchanged_blocks(reads: &[Range<u32>], block_count: u32) -> u32 {
    block_count - reads.iter().map(|run| run.end - run.start).sum::<u32>()
}

/// `count` different numbers below `of`, every set as likely as any other (R. Floyd's algorithm).
fn draw(chance: &mut Chance<'_>, of: u32, count: u32) -> Result<Vec<u32>, EngineError> {
    let mut drawn = HashSet::with_capacity(count as usize);
    for top in of - count..of {
        let number = chance.up_to(top)?;
        if !drawn.insert(number) {
            drawn.insert(top);
        }
    }
    let mut drawn: Vec<u32> = drawn.into_iter().collect();
    drawn.sort_unstable();
    Ok(drawn)
}

/// From ascending numbers of blocks among those outside of `reads` to the blocks themselves.
fn outside_of(reads: &[Range<u32>], mut numbers: Vec<u32>) -> Vec<u32> {
    let mut reads = reads.iter().peekable();
    let mut before = 0;
    for number in &mut numbers {
        while let Some(run) = reads.next_if(|run| run.start <= *number + before) {
            before += run.end - run.start;
        }
        *number += before;
    }
    numbers
}

struct Chance<'a> {
    environment: &'a Environment,
    bytes: Vec<u8>,
}

impl Chance<'_> {
    /// A number from 0 to `most`; the bias of scaling 64 bits is below 2^-32.
    fn up_to(&mut self, most: u32) -> Result<u32, EngineError> {
        if self.bytes.is_empty() {
            self.bytes = vec![0; 4096];
            self.environment.entropy.fill(&mut self.bytes)?;
        }
        let at = self.bytes.len() - 8;
        let word = self.bytes.split_off(at).try_into().expect("eight bytes were split off");
        let scaled = (u128::from(u64::from_le_bytes(word)) * (u128::from(most) + 1)) >> 64;
        Ok(u32::try_from(scaled).expect("less than most + 1"))
    }
}

/// What the samples are read from and compared with.
pub(crate) struct SampleCheck<'a> {
    pub(crate) source: &'a dyn BlockSource,
    pub(crate) volume: &'a str,
    pub(crate) base: &'a VolumeMap,
    pub(crate) trailers: &'a Trailers,
    pub(crate) hasher: &'a BlockHasher,
    pub(crate) resources: &'a Resources,
    pub(crate) environment: &'a Environment,
}

/// What the samples showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampled {
    /// Blocks that were read and compared.
    pub(crate) blocks: u64,
    /// Of these, blocks that differ from the base.
    pub(crate) mismatches: u64,
    /// The base could not be read for at least one block.
    pub(crate) base_is_damaged: bool,
}

#[derive(Default)]
struct Tally {
    next: AtomicUsize,
    compared: AtomicU64,
    mismatches: AtomicU64,
    damaged: AtomicBool,
}

impl SampleCheck<'_> {
    /// Reads `blocks`, which ascend, in about that order and compares each. All of them are of the same length in the base.
    pub(crate) fn run(&self, blocks: &[u32]) -> Result<Sampled, EngineError> {
        let tally = Tally::default();
        let threads = self.resources.workers.min(blocks.len().div_ceil(BLOCKS_PER_THREAD));
        std::thread::scope(|scope| {
            let work = || self.work(blocks, &tally);
            let spawn = |index| {
                let thread = std::thread::Builder::new().name(format!("sample-{index}"));
                thread.spawn_scoped(scope, work)
            };
            let threads = (0..threads).map(spawn).collect::<Result<Vec<_>, _>>();
            let threads =
                threads.map_err(|error| EngineError::Usage(format!("cannot start a thread: {error}")))?;
            let panicked = |_| Err(EngineError::Bug("a sampling thread panicked".into()));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
        })?;
        Ok(Sampled {
            blocks: tally.compared.into_inner(),
            mismatches: tally.mismatches.into_inner(),
            base_is_damaged: tally.damaged.into_inner(),
        })
    }

    fn work(&self, blocks: &[u32], tally: &Tally) -> Result<(), EngineError> {
        let len = self.base.block_size().bytes() as usize;
        let mut buffer = self.resources.alloc(len, &self.environment.cancel)?;
        while let Some(block) = blocks.get(tally.next.fetch_add(1, Ordering::Relaxed)) {
            self.environment.cancel.check()?;
            match self.is_unchanged(*block, &mut buffer[..self.base.block_len(*block)]) {
                Ok(unchanged) => {
                    tally.compared.fetch_add(1, Ordering::Relaxed);
                    tally.mismatches.fetch_add(u64::from(!unchanged), Ordering::Relaxed);
                }
                Err(error) if error.is_damage() => {
                    tracing::warn!(volume = self.volume, %error, "base is damaged where a list of changes was to be checked");
                    tally.damaged.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_unchanged(&self, block: u32, buffer: &mut [u8]) -> Result<bool, EngineError> {
        let states = self.base.blocks(self.trailers, block, 1)?;
        let offset = u64::from(block) * u64::from(self.base.block_size().bytes());
        self.resources.may_read(1, buffer.len() as u64, &self.environment.cancel)?;
        let read = self.source.read_exact_at(offset, buffer);
        read.map_err(|source| EngineError::Source { volume: self.volume.to_owned(), source })?;
        let state = states.first().ok_or_else(|| EngineError::Bug("no state of a block".into()))?;
        Ok(match state.place {
            BlockPlace::Zero => is_zero(buffer),
            BlockPlace::Data(_) => !is_zero(buffer) && self.hasher.hash(buffer) == state.hash,
            // It is read again in any case, and says nothing about the list.
            BlockPlace::Unknown => true,
        })
    }
}

#[cfg(test)]
mod tests;
