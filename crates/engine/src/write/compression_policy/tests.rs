//! Tests of adaptive compression: against a model that recomputes everything, and on streams of data with the real compressor.

use coffer_format::{Compressor, compress_bound};
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;

const BLOCK: usize = 65_536;

/// What happened to one block: its number, how it was tried, and what it gained in thousandths.
type Seen = (u32, Option<Effort>, usize);

/// What is poor, and what asks for a quick attempt next: gains in thousandths below this.
type Limits = (usize, usize);
const LZ4: Limits = (143, 334);
const ZSTD: Limits = (125, 0);

/// Looks at the whole history, keeps nothing.
fn model(limits: Limits, history: &[Seen], block: u32) -> Option<Effort> {
    let numbers: Vec<u32> = history.iter().map(|seen| seen.0).chain([block]).collect();
    let region_from = (1..numbers.len()).rfind(|at| numbers[*at] - numbers[*at - 1] > NEAR_BLOCKS);
    let region = &history[region_from.unwrap_or(0)..];
    let tried: Vec<usize> = (0..region.len()).filter(|at| region[*at].1.is_some()).collect();
    let Some(last) = tried.last() else { return Some(Effort::Full) };
    let effort = if region[*last].2 < limits.1 { Effort::Quick } else { Effort::Full };
    let poor = tried.iter().rev().take_while(|at| region[**at].2 < limits.0).count();
    let Some(turn) = poor.checked_sub(POOR_RUN as usize) else { return Some(effort) };
    let since = region.len() - 1 - last;
    (since >= LEFT_OUT[turn % LEFT_OUT.len()] as usize).then_some(effort)
}

fn check(compression: Compression, limits: Limits, blocks: &[(u32, usize)]) {
    let mut policy = CompressionPolicy::new(compression);
    let mut history: Vec<Seen> = Vec::new();
    let mut block = 0;
    for (step, stored) in blocks {
        block += step;
        let wants = policy.wants(block);
        assert_eq!(wants, model(limits, &history, block), "block {block} after {history:?}");
        if wants.is_some() {
            policy.tried(1000, *stored);
        }
        history.push((block, wants, 1000 - stored));
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(
        blocks in prop::collection::vec((prop_oneof![9 => 1_u32..=5, 1 => 1_u32..40], prop_oneof![8 => 801_usize..=1000, 2 => 600_usize..=900, 1 => 0_usize..=1000]), 1..300)
    ) {
        check(Compression::Lz4, LZ4, &blocks);
        check(Compression::Zstd(3), ZSTD, &blocks);
    }
}

#[test]
fn a_seventh_is_enough_for_lz4_and_an_eighth_for_zstd() {
    let tries = |compression, stored| {
        let mut policy = CompressionPolicy::new(compression);
        let mut tried = 0;
        for block in 0..72 {
            if policy.wants(block).is_some() {
                tried += 1;
                policy.tried(70_000, stored);
            }
        }
        tried
    };
    assert_eq!(tries(Compression::Lz4, 60_000), 72);
    assert_eq!(tries(Compression::Lz4, 60_001), 8 + 8);
    assert_eq!(tries(Compression::Zstd(1), 61_250), 72);
    assert_eq!(tries(Compression::Zstd(1), 61_251), 8 + 8);
    assert_eq!(tries(Compression::None, 0), 0);
}

#[test]
fn what_gains_less_than_a_third_is_tried_quickly_until_it_gains_more() {
    let mut policy = CompressionPolicy::new(Compression::Lz4);
    for (block, stored, effort) in [
        (0, 400, Effort::Full),
        (1, 601, Effort::Full),
        (2, 700, Effort::Quick),
        (3, 600, Effort::Quick),
        (4, 850, Effort::Full),
        (5, 700, Effort::Quick),
        (20, 700, Effort::Full), // another region
    ] {
        assert_eq!(policy.wants(block), Some(effort), "{block}");
        policy.tried(900, stored);
    }
    let mut zstd = CompressionPolicy::new(Compression::Zstd(3));
    for block in 0..8 {
        assert_eq!(zstd.wants(block), Some(Effort::Full));
        zstd.tried(900, 880);
    }
}

#[test]
fn one_block_in_eight_is_tried_and_at_every_place_of_a_pattern_of_eight() {
    let mut policy = CompressionPolicy::new(Compression::Lz4);
    let mut places = [0; 8];
    for block in 0..POOR_RUN + 64 * 10 {
        if policy.wants(block).is_some() {
            policy.tried(BLOCK, BLOCK);
            places[block as usize % 8] += u32::from(block >= POOR_RUN);
        }
    }
    assert_eq!(places.iter().sum::<u32>(), 80);
    assert!(places.iter().all(|count| *count >= 9), "{places:?}");
}

/// Changes scattered over a hundredth and a tenth of a volume are tried, however little they gain.
#[test]
fn scattered_blocks_are_tried() {
    for (share, least_tried) in [(0.01, 1.0), (0.1, 0.998)] {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut policy = CompressionPolicy::new(Compression::Lz4);
        let (mut seen, mut tried) = (0_u32, 0_u32);
        for block in (0..1_000_000).filter(|_| rng.random_bool(share)) {
            seen += 1;
            if policy.wants(block).is_some() {
                tried += 1;
                policy.tried(BLOCK, BLOCK);
            }
        }
        assert!(f64::from(tried) >= least_tried * f64::from(seen), "{tried} of {seen}");
    }
}

/// Sorts of data: text (gains a lot), pages of a database with random keys (a seventh), noise (nothing).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Text,
    Database,
    Noise,
}

fn fill(rng: &mut SmallRng, sort: Sort, block: &mut [u8]) {
    match sort {
        Sort::Noise => rng.fill_bytes(block),
        Sort::Text => {
            let words: [[u8; 7]; 40] = std::array::from_fn(|_| rng.random());
            let pieces = std::iter::repeat_with(|| words[rng.random_range(0..40)]).flatten();
            block.iter_mut().zip(pieces).for_each(|(out, byte)| *out = byte);
        }
        Sort::Database => {
            for record in block.chunks_mut(128) {
                record.fill(b' ');
                let random = record.len().min(104);
                rng.fill_bytes(&mut record[..random]);
            }
        }
    }
}

#[derive(Default, Debug)]
struct Totals {
    blocks: [u64; 3],
    tried: [u64; 3],
    quick: [u64; 3],
    stored: [u64; 3],
    always: [u64; 3],
}

fn run(compression: Compression, stretches: &[(Sort, u32)]) -> Totals {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut compressor = Compressor::new(compression).unwrap();
    let mut policy = CompressionPolicy::new(compression);
    let mut totals = Totals::default();
    let (mut plain, mut out) = (vec![0; BLOCK], vec![0; compress_bound(BLOCK)]);
    let sorts = stretches.iter().flat_map(|(sort, count)| std::iter::repeat_n(*sort, *count as usize));
    for (block, sort) in (0..).zip(sorts) {
        fill(&mut rng, sort, &mut plain);
        let mut stored =
            |effort| compressor.compress(effort, &plain, &mut out).map_or(BLOCK, |(_, len)| len) as u64;
        let always = stored(Effort::Full);
        let wants = policy.wants(block);
        let kept = wants.map_or(BLOCK as u64, stored);
        if wants.is_some() {
            policy.tried(BLOCK, kept as usize);
        }
        let at = sort as usize;
        totals.blocks[at] += 1;
        totals.tried[at] += u64::from(wants.is_some());
        totals.quick[at] += u64::from(wants == Some(Effort::Quick));
        totals.stored[at] += kept;
        totals.always[at] += always;
    }
    totals
}

/// Text is tried but for at most 9 blocks at the start of each stretch; of the others one block in eight, and 8 at the start of each.
#[test]
fn on_a_mixed_stream_the_attempts_fall_and_the_stored_bytes_hardly_rise() {
    use Sort::{Database, Noise, Text};
    let stretches = [
        (Text, 100),
        (Database, 400),
        (Text, 50),
        (Noise, 200),
        (Database, 80),
        (Text, 100),
        (Noise, 300),
        (Database, 20),
        (Text, 20),
    ];
    let totals = run(Compression::Lz4, &stretches);
    let [text, database, noise] = totals.tried;
    assert!(text >= totals.blocks[0] - 3 * 9, "{totals:?}");
    assert!(database <= totals.blocks[1] / 8 + 3 * 9, "{totals:?}");
    assert!(noise <= totals.blocks[2] / 8 + 2 * 9, "{totals:?}");
    // One attempt after each change of sort does not know it yet.
    let [quick_text, quick_database, quick_noise] = totals.quick;
    assert!(quick_text <= 3, "{totals:?}");
    assert!(quick_database + quick_noise >= database + noise - 3, "{totals:?}");
    // What is left out would have gained less than a fifth, but for the 9 blocks after a change of sort.
    let block = BLOCK as u64;
    let lost: Vec<u64> = (0..3).map(|at| totals.stored[at] - totals.always[at]).collect();
    assert!(lost[0] <= 3 * 9 * block, "{totals:?}");
    assert!(lost[1] <= (totals.blocks[1] - database) * block / 5, "{totals:?}");
    assert_eq!(lost[2], 0, "{totals:?}");
    let (stored, always): (u64, u64) = (totals.stored.iter().sum(), totals.always.iter().sum());
    assert!(stored * 100 <= always * 112, "{stored} against {always}: {totals:?}");
}

/// The data of the test above is what it is meant to be: otherwise it would show nothing.
#[test]
fn database_pages_gain_between_an_eighth_and_a_fifth_with_lz4() {
    let totals = run(Compression::Lz4, &[(Sort::Database, 20)]);
    let share = totals.always[1] as f64 / (20 * BLOCK) as f64;
    assert!((0.81..0.875).contains(&share), "{share}");
    let text = run(Compression::Lz4, &[(Sort::Text, 20)]);
    assert_eq!(text.tried[0], 20);
    assert!(text.always[0] < (20 * BLOCK) as u64 * 6 / 10, "{text:?}");
    assert_eq!(run(Compression::Lz4, &[(Sort::Noise, 20)]).always[2], (20 * BLOCK) as u64);
}
