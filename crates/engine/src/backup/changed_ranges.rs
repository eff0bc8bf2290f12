//! Byte ranges that a change tracker names, any number of them in any order, kept in bounded memory. Pure.
//!
//! To name too much costs time, to name too little loses data: where there are too many ranges the nearest are joined, and nothing
//! that was put in is ever left out.

use std::ops::Range;

/// Ranges that all lists of one run may hold together; 16 bytes each.
pub const LIST_RANGES_MAX: usize = 262_144;

/// What a change tracker calls changed of one volume: ascending, not touching, none empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedRanges(Vec<Range<u64>>);

/// Joins ranges as they come.
#[derive(Debug, Clone)]
pub struct RangeMerger {
    ranges: Vec<Range<u64>>,
    ranges_max: usize,
}

impl ChangedRanges {
    /// The ranges, bytes.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Where the last range ends, bytes.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |last| last.end)
    }
}

impl RangeMerger {
    /// Keeps at most `ranges_max` ranges, at least one; twice as many while it takes them in.
    pub fn new(ranges_max: usize) -> RangeMerger {
        RangeMerger { ranges: Vec::new(), ranges_max: ranges_max.max(1) }
    }

    /// Takes a range of bytes in; an empty one says nothing.
    pub fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some(last) = self.ranges.last_mut()
            && (last.start..=last.end).contains(&range.start)
        {
            last.end = last.end.max(range.end);
            return;
        }
        self.ranges.push(range);
        if self.ranges.len() >= self.ranges_max.saturating_mul(2) {
            self.tidy();
        }
    }

    /// All that was taken in, and perhaps some of what lies between.
    pub fn finish(mut self) -> ChangedRanges {
        self.tidy();
        self.ranges.shrink_to_fit();
        ChangedRanges(self.ranges)
    }

    fn tidy(&mut self) {
        join(&mut self.ranges);
        join_nearest(&mut self.ranges, self.ranges_max);
    }
}

/// Sorts ranges and joins those that overlap or touch.
pub(crate) fn join<T: Ord + Copy>(ranges: &mut Vec<Range<T>>) {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, kept| {
        let meet = next.start <= kept.end;
        if meet {
            kept.end = kept.end.max(next.end);
        }
        meet
    });
}

/// Closes the smallest gaps until there are no more than `ranges_max` ranges.
fn join_nearest(ranges: &mut Vec<Range<u64>>, ranges_max: usize) {
    let too_many = ranges.len().saturating_sub(ranges_max);
    if too_many == 0 {
        return;
    }
    let mut gaps: Vec<u64> = ranges.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
    let widest = *gaps.select_nth_unstable(too_many - 1).1;
    let mut of_widest = too_many - gaps.iter().filter(|gap| **gap < widest).count();
    ranges.dedup_by(|next, kept| {
        let gap = next.start - kept.end;
        let close = gap < widest || (gap == widest && of_widest > 0);
        if close {
            kept.end = next.end;
            of_widest -= usize::from(gap == widest);
        }
        close
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(ranges: &[Range<u64>], ranges_max: usize) -> ChangedRanges {
        let mut merger = RangeMerger::new(ranges_max);
        ranges.iter().for_each(|range| merger.push(range.clone()));
        merger.finish()
    }

    /// Which of 300 bytes are in the ranges.
    fn bytes(ranges: &[Range<u64>]) -> Vec<bool> {
        (0..300).map(|at| ranges.iter().any(|range| range.contains(&at))).collect()
    }

    proptest! {
        #[test]
        fn nothing_is_left_out_and_nothing_added_while_there_is_room(
            given in prop::collection::vec((0..280_u64, 0..20_u64), 0..60),
            ranges_max in 1..40_usize,
        ) {
            let given: Vec<_> = given.into_iter().map(|(start, len)| start..start + len).collect();
            let exact = merged(&given, 1000);
            prop_assert_eq!(bytes(exact.ranges()), bytes(&given));
            let ascend = exact.ranges().windows(2).all(|pair| pair[0].end < pair[1].start);
            prop_assert!(ascend && exact.ranges().iter().all(|range| !range.is_empty()));
            let few = merged(&given, ranges_max);
            prop_assert!(few.ranges().len() <= ranges_max);
            let all_in = bytes(&given).iter().zip(bytes(few.ranges())).all(|(given, kept)| kept || !given);
            prop_assert!(all_in, "{:?} of {:?}", few, given);
            if exact.ranges().len() <= ranges_max && given.len() < 2 * ranges_max {
                prop_assert_eq!(&few, &exact);
            }
            prop_assert_eq!(few.end(), exact.end());
        }
    }

    #[test]
    fn the_smallest_gaps_are_closed_first_and_no_more_than_needed() {
        let ranges = [0..1, 10..11, 13..14, 16..17, 100..101, 103..104];
        assert_eq!(merged(&ranges, 4).ranges(), [0..1, 10..17, 100..101, 103..104]);
        assert_eq!(merged(&ranges, 2).ranges(), [0..17, 100..104]);
        assert_eq!(merged(&ranges, 0).ranges(), std::slice::from_ref(&(0..104)));
    }
}
