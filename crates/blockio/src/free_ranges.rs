//! Which parts of the arena are free: pure bookkeeping over offsets, with coalescing.
//!
//! It never touches memory and never hands out a byte twice; giving back what is already free is a panic, because
//! it would mean that two buffers own the same bytes.

use std::collections::BTreeMap;

/// The free ranges of one contiguous space, no two of them adjacent.
#[derive(Debug)]
pub(crate) struct FreeRanges {
    /// Start of each free range, in bytes, with its length in bytes.
    len_by_start: BTreeMap<usize, usize>,
}

impl FreeRanges {
    /// A space of `len_bytes` bytes, all free.
    pub(crate) fn new(len_bytes: usize) -> Self {
        Self { len_by_start: BTreeMap::from([(0, len_bytes)]) }
    }

    /// Takes `len_bytes` from the lowest range that is long enough, so that low addresses are used again and again
    /// and high ones may never be touched.
    pub(crate) fn take_lowest(&mut self, len_bytes: usize) -> Option<usize> {
        let (&start, &free_bytes) = self.len_by_start.iter().find(|(_, free)| **free >= len_bytes)?;
        self.len_by_start.remove(&start);
        if free_bytes > len_bytes {
            self.len_by_start.insert(start + len_bytes, free_bytes - len_bytes);
        }
        Some(start)
    }

    /// Takes `len_bytes` from the upper end of the highest range that is long enough.
    pub(crate) fn take_highest(&mut self, len_bytes: usize) -> Option<usize> {
        let (&start, free_bytes) =
            self.len_by_start.iter_mut().rev().find(|(_, free)| **free >= len_bytes)?;
        *free_bytes -= len_bytes;
        let taken = start + *free_bytes;
        if *free_bytes == 0 {
            self.len_by_start.remove(&start);
        }
        Some(taken)
    }

    /// Gives `[start, start + len_bytes)` back and joins it with its free neighbours.
    ///
    /// # Panics
    /// If any byte of it is free already.
    pub(crate) fn give_back(&mut self, start: usize, len_bytes: usize) {
        let mut joined_start = start;
        let mut joined_end = start + len_bytes;
        if let Some((&before, &before_bytes)) = self.len_by_start.range(..=start).next_back() {
            assert!(before + before_bytes <= start, "arena range at {start} was given back twice");
            if before + before_bytes == start {
                joined_start = before;
            }
        }
        if let Some((&after, &after_bytes)) = self.len_by_start.range(start..).next() {
            assert!(after >= joined_end, "arena range at {start} was given back twice");
            if after == joined_end {
                joined_end = after + after_bytes;
                self.len_by_start.remove(&after);
            }
        }
        self.len_by_start.insert(joined_start, joined_end - joined_start);
    }
}

#[cfg(test)]
mod tests {
    use super::FreeRanges;

    fn ranges(free: &FreeRanges) -> Vec<(usize, usize)> {
        free.len_by_start.iter().map(|(start, len)| (*start, *len)).collect()
    }

    #[test]
    fn lowest_and_highest_come_from_the_two_ends() {
        let mut free = FreeRanges::new(100);
        assert_eq!(free.take_lowest(10), Some(0));
        assert_eq!(free.take_highest(10), Some(90));
        assert_eq!(free.take_lowest(81), None);
        assert_eq!(ranges(&free), [(10, 80)]);
    }

    #[test]
    fn given_back_ranges_join_on_both_sides() {
        let mut free = FreeRanges::new(30);
        for start in [0, 10, 20] {
            assert_eq!(free.take_lowest(10), Some(start));
        }
        assert_eq!(free.take_lowest(1), None);
        free.give_back(0, 10);
        free.give_back(20, 10);
        assert_eq!(ranges(&free), [(0, 10), (20, 10)]);
        free.give_back(10, 10);
        assert_eq!(ranges(&free), [(0, 30)]);
    }

    #[test]
    fn a_range_that_is_exactly_long_enough_disappears() {
        let mut free = FreeRanges::new(10);
        assert_eq!(free.take_highest(10), Some(0));
        assert_eq!(ranges(&free), []);
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn giving_back_twice_is_a_panic() {
        let mut free = FreeRanges::new(30);
        assert_eq!(free.take_lowest(10), Some(0));
        free.give_back(0, 10);
        free.give_back(0, 10);
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn giving_back_a_range_that_ends_in_a_free_one_is_a_panic() {
        let mut free = FreeRanges::new(30);
        assert_eq!(free.take_lowest(10), Some(0));
        free.give_back(5, 10);
    }
}
