//! Packs the runs of a segment into batches: what is read into one buffer at once. Pure.
//!
//! Far-apart blocks share a batch, so that they are asked for together. Batches must cover the runs exactly, in their order.

use std::ops::Range;

/// Hands out the batches of one segment.
pub(super) struct ReadBatches<'a> {
    runs: &'a [Range<u32>],
    /// First block of `runs` that is not handed out, if that is not the start of its first run.
    from: u32,
    blocks_max: u32,
}

impl<'a> ReadBatches<'a> {
    /// `runs` ascend and are not empty; a batch has `blocks_max` blocks at most, which is not zero.
    pub(super) fn new(runs: &'a [Range<u32>], blocks_max: u32) -> Self {
        ReadBatches { runs, from: 0, blocks_max }
    }
}

impl Iterator for ReadBatches<'_> {
    type Item = Vec<Range<u32>>;

    fn next(&mut self) -> Option<Vec<Range<u32>>> {
        let mut batch = Vec::new();
        let mut room = self.blocks_max;
        while let Some((run, later)) = self.runs.split_first()
            && room > 0
        {
            let start = run.start.max(self.from);
            let end = run.end.min(start.saturating_add(room));
            room -= end.saturating_sub(start);
            batch.push(start..end);
            self.from = end;
            if end == run.end {
                self.runs = later;
            }
        }
        if batch.is_empty() { None } else { Some(batch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(runs: &[(u32, u32)], blocks_max: u32, expected: &[&[(u32, u32)]]) {
        let given: Vec<_> = runs.iter().map(|(start, end)| *start..*end).collect();
        let batches: Vec<Vec<_>> = ReadBatches::new(&given, blocks_max)
            .map(|batch| batch.into_iter().map(|run| (run.start, run.end)).collect())
            .collect();
        assert_eq!(batches, expected, "{runs:?} {blocks_max}");
    }

    #[test]
    fn long_runs_are_cut_and_short_ones_share_a_load() {
        check(&[], 4, &[]);
        check(&[(0, 4), (6, 7)], 16, &[&[(0, 4), (6, 7)]]);
        check(
            &[(0, 10), (12, 13), (20, 26)],
            4,
            &[&[(0, 4)], &[(4, 8)], &[(8, 10), (12, 13), (20, 21)], &[(21, 25)], &[(25, 26)]],
        );
        check(&[(3, 4), (9, 10), (11, 12)], 2, &[&[(3, 4), (9, 10)], &[(11, 12)]]);
        check(&[(5, 8), (9, 11)], 1, &[&[(5, 6)], &[(6, 7)], &[(7, 8)], &[(9, 10)], &[(10, 11)]]);
        check(&[(4_000_000_000, u32::MAX)], u32::MAX, &[&[(4_000_000_000, u32::MAX)]]);
    }
}
