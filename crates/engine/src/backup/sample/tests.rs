//! Tests of sampling: which blocks are drawn, how evenly, and how often a lie is found.

use std::sync::{Arc, Mutex};

use coffer_format::Timestamp;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::{CancelToken, Clock, Entropy};

struct Seeded(Mutex<SmallRng>);

impl Entropy for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<(), EngineError> {
        self.0.lock().unwrap().fill_bytes(out);
        Ok(())
    }
}

struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(0)
    }
}

fn seeded(seed: u64) -> Environment {
    let entropy = Arc::new(Seeded(Mutex::new(SmallRng::seed_from_u64(seed))));
    Environment { clock: Arc::new(NoClock), entropy, cancel: CancelToken::default() }
}

fn every(step: usize, len: u32, block_count: u32) -> Vec<Range<u32>> {
    (0..block_count).step_by(step).map(|start| start..(start + len).min(block_count)).collect()
}

#[test]
fn the_default_is_one_in_a_hundred_but_at_least_64_and_at_most_4096() {
    for (unchanged, expected) in [
        (0, 0),
        (1, 1),
        (63, 63),
        (64, 64),
        (6_400, 64),
        (6_500, 65),
        (409_600, 4096),
        (409_700, 4096),
        (u32::MAX, 4096),
    ] {
        assert_eq!(sample_size(None, unchanged), expected, "{unchanged}");
    }
    assert_eq!(sample_size(Some(0), 1000), 0);
    assert_eq!(sample_size(Some(7), 1000), 7);
    assert_eq!(sample_size(Some(2000), 1000), 1000);
}

proptest! {
    #[test]
    fn samples_are_different_blocks_that_the_list_calls_unchanged(
        lens in prop::collection::vec((0..5_u32, 1..5_u32), 0..20),
        tail in 0..30_u32,
        count in 0..60_u32,
        seed: u64,
    ) {
        let mut end = 0;
        let reads: Vec<_> = lens
            .iter()
            .map(|(gap, len)| {
                let start = end + gap + u32::from(end > 0);
                end = start + len;
                start..end
            })
            .collect();
        let block_count = end + tail;
        let outside: Vec<u32> = (0..block_count).filter(|b| !reads.iter().any(|run| run.contains(b))).collect();
        prop_assert_eq!(unchanged_blocks(&reads, block_count) as usize, outside.len());
        let sample = draw_sample(&seeded(seed), &reads, block_count, count).unwrap();
        prop_assert_eq!(sample.len(), outside.len().min(count as usize));
        prop_assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(sample.iter().all(|block| outside.contains(block)), "{:?} {:?}", sample, reads);
        let all = draw_sample(&seeded(seed), &reads, block_count, block_count).unwrap();
        prop_assert_eq!(all, outside);
    }
}

#[test]
fn each_block_is_drawn_about_as_often_as_any_other() {
    let reads = every(10, 3, 100);
    let mut drawn = [0_u32; 100];
    for seed in 0..7_000 {
        for block in draw_sample(&seeded(seed), &reads, 100, 10).unwrap() {
            drawn[block as usize] += 1;
        }
    }
    for (block, count) in drawn.iter().enumerate() {
        // 1,000 are expected of each of the 70; 6 standard deviations are 176.
        let expected = if block % 10 < 3 { 0..=0 } else { 824..=1176 };
        assert!(expected.contains(count), "block {block}: {count}");
    }
}

/// One block in 10,000 had changed and is not on the list: `1 - (1 - p)^n`, as documented.
#[test]
fn a_list_that_lies_is_found_out_as_often_as_documented() {
    const SEEDS: u64 = 2_000;
    let block_count = 120_000;
    let reads = every(600, 100, block_count);
    let lies: Vec<u32> = (0..10).map(|lie| lie * 12_000 + 5_150).collect();
    assert_eq!(unchanged_blocks(&reads, block_count), 100_000);
    for count in [64, 1000, 4096] {
        let found = |seed: &u64| {
            let sample = draw_sample(&seeded(*seed), &reads, block_count, count).unwrap();
            lies.iter().any(|lie| sample.binary_search(lie).is_ok())
        };
        let found = (0..SEEDS).filter(found).count() as f64 / SEEDS as f64;
        let stated = 1.0 - (1.0 - 1e-4_f64).powi(i32::try_from(count).unwrap());
        let deviation = (stated * (1.0 - stated) / SEEDS as f64).sqrt();
        assert!((found - stated).abs() < 4.5 * deviation, "{count} samples: {found}, stated {stated}");
    }
}

#[test]
fn entropy_that_fails_is_an_error() {
    struct Broken;
    impl Entropy for Broken {
        fn fill(&self, _out: &mut [u8]) -> Result<(), EngineError> {
            Err(EngineError::Entropy("gone".into()))
        }
    }
    let environment = Environment { entropy: Arc::new(Broken), ..seeded(0) };
    assert!(matches!(draw_sample(&environment, &[], 100, 10), Err(EngineError::Entropy(_))));
    assert!(draw_sample(&environment, &[], 100, 0).unwrap().is_empty());
}
