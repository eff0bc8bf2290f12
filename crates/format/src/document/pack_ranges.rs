//! Sets of pack numbers as ascending ranges: what an incomplete run's finished packs leave, gaps among them.

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::error::{check, check_range};
use crate::object_key::PACKS_MAX;

/// Pack numbers as inclusive ranges, ascending and not adjacent. In JSON `[[first,last],…]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackRanges(Vec<(u32, u32)>);

impl PackRanges {
    /// Packs 0 to `packs` - 1.
    #[must_use]
    pub fn first(packs: u32) -> Self {
        Self(packs.checked_sub(1).map(|last| (0, last)).into_iter().collect())
    }

    /// Adds a number that is larger than all that are in it. Returns whether it was.
    pub fn push(&mut self, number: u32) -> bool {
        match self.0.last_mut() {
            Some((_, last)) if *last >= number => return false,
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => self.0.push((number, number)),
        }
        true
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more than the largest number; 0 where there is none.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.0.last().map_or(0, |(_, last)| last.saturating_add(1))
    }

    /// Whether `number` is in it.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.overlaps((number, number))
    }

    /// Whether a number from `first` to `last` is in it.
    #[must_use]
    pub fn overlaps(&self, (first, last): (u32, u32)) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < first);
        self.0.get(at).is_some_and(|(start, _)| *start <= last)
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        if self == other {
            return;
        }
        let mut all: Vec<(u32, u32)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        self.0.clear();
        for (first, last) in all {
            match self.0.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => self.0.push((first, last)),
            }
        }
    }

    /// The numbers, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    pub(super) fn check(&self, what: &'static str) -> Result<(), FormatError> {
        for (first, last) in &self.0 {
            check_range(
                what,
                "last pack of a range",
                (*last).into(),
                (*first).into(),
                u64::from(PACKS_MAX) - 1,
            )?;
        }
        let apart = self.0.is_sorted_by(|(_, last), (first, _)| last.saturating_add(1) < *first);
        check(apart, what, "ranges of packs do not ascend or could be one")
    }
}

#[cfg(test)]
mod tests {
    use super::PackRanges;

    fn of(numbers: &[u32]) -> PackRanges {
        let mut ranges = PackRanges::default();
        assert!(numbers.iter().all(|number| ranges.push(*number)));
        ranges
    }

    #[test]
    fn numbers_come_back_joined() {
        let ranges = of(&[0, 1, 2, 5, 7, 8]);
        assert_eq!(ranges.0, [(0, 2), (5, 5), (7, 8)]);
        assert_eq!(ranges.numbers().collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        assert_eq!((ranges.end(), PackRanges::default().end()), (9, 0));
        assert!(!of(&[3]).push(3));
        assert_eq!(PackRanges::first(3), of(&[0, 1, 2]));
        assert!(PackRanges::first(0).is_empty());
    }

    #[test]
    fn membership_is_exact_at_the_ends() {
        let ranges = of(&[2, 3, 6]);
        let inside: Vec<u32> = (0..9).filter(|number| ranges.contains(*number)).collect();
        assert_eq!(inside, [2, 3, 6]);
        assert!(ranges.overlaps((0, 2)) && ranges.overlaps((4, 6)) && ranges.overlaps((0, 9)));
        assert!(!ranges.overlaps((4, 5)) && !ranges.overlaps((7, 9)) && !ranges.overlaps((0, 1)));
    }

    #[test]
    fn a_union_is_in_canonical_form() {
        for (a, b, both) in [
            (&[0, 1][..], &[2, 3][..], &[0, 1, 2, 3][..]),
            (&[0, 4], &[2, 5], &[0, 2, 4, 5]),
            (&[], &[7], &[7]),
            (&[1, 2, 3, 4], &[2, 3], &[1, 2, 3, 4]),
        ] {
            let mut union = of(a);
            union.add(&of(b));
            assert_eq!(union, of(both));
            union.check("test").unwrap();
        }
        assert!(PackRanges(vec![(0, 1), (2, 3)]).check("test").is_err(), "could be one");
        assert!(PackRanges(vec![(2, 1)]).check("test").is_err(), "backwards");
        assert!(PackRanges(vec![(5, 6), (1, 2)]).check("test").is_err(), "descends");
        assert!(PackRanges(vec![(0, 1 << 24)]).check("test").is_err(), "past the last pack");
    }
}
