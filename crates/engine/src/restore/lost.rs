//! What a salvage could not restore: ranges of the volume, with the object that stands in the way.

use std::sync::{Mutex, PoisonError};

use crate::EngineError;

/// Ranges that are listed at most; the bytes of all are counted.
const RANGES_MAX: usize = 65_536;

/// A range of a volume that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRange {
    /// Where it begins in the volume, bytes.
    pub offset: u64,
    /// Its length, bytes.
    pub len: u64,
    /// Key of the object that is damaged or missing.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl LostRange {
    fn end(&self) -> u64 {
        self.offset + self.len
    }

    /// Whether `next` goes on where this ends, for the same object's sake.
    fn takes(&mut self, next: &LostRange) -> bool {
        let is_one = self.end() == next.offset && self.key == next.key;
        if is_one {
            self.len += next.len;
        }
        is_one
    }
}

/// Collects lost ranges from all threads of a restore.
#[derive(Default)]
pub(crate) struct Lost(Mutex<Found>);

#[derive(Default)]
struct Found {
    ranges: Vec<LostRange>,
    bytes: u64,
}

impl Lost {
    /// Notes `len` bytes at `offset`, which `error` keeps from being restored.
    pub(crate) fn add(&self, offset: u64, len: u64, error: &EngineError) {
        let (key, reason) = match error {
            EngineError::Damaged { key, detail, .. } => (key.clone(), detail.clone()),
            EngineError::Object { key, source } => (key.clone(), source.to_string()),
            other => (String::new(), other.to_string()),
        };
        let range = LostRange { offset, len, key, reason };
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.bytes += len;
        let is_taken = found.ranges.last_mut().is_some_and(|last| last.takes(&range));
        if !is_taken && found.ranges.len() < RANGES_MAX {
            found.ranges.push(range);
        }
    }

    /// The ranges in ascending order, neighbours joined, and the bytes of all.
    pub(crate) fn into_ranges(self) -> (Vec<LostRange>, u64) {
        let Found { mut ranges, bytes } = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        ranges.sort_by_key(|range| range.offset);
        let mut joined: Vec<LostRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            if !joined.last_mut().is_some_and(|last| last.takes(&range)) {
                joined.push(range);
            }
        }
        (joined, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(key: &str) -> EngineError {
        EngineError::Damaged { volume: "v".into(), key: key.into(), offset: 7, detail: "flipped".into() }
    }

    #[test]
    fn neighbours_of_one_object_are_joined_in_whatever_order_they_come() {
        let lost = Lost::default();
        for (offset, key) in [(30, "b"), (10, "a"), (0, "a"), (20, "a"), (40, "b"), (60, "b")] {
            lost.add(offset, 10, &error(key));
        }
        let (ranges, bytes) = lost.into_ranges();
        let found: Vec<(u64, u64, &str)> =
            ranges.iter().map(|range| (range.offset, range.len, range.key.as_str())).collect();
        assert_eq!(found, [(0, 30, "a"), (30, 20, "b"), (60, 10, "b")]);
        assert_eq!((bytes, ranges[0].reason.as_str()), (60, "flipped"));
    }

    #[test]
    fn the_list_is_bounded_and_the_bytes_are_not() {
        let lost = Lost::default();
        let count = RANGES_MAX as u64 + 5;
        (0..count).for_each(|index| lost.add(index * 20, 10, &error("a")));
        let (ranges, bytes) = lost.into_ranges();
        assert_eq!((ranges.len(), bytes), (RANGES_MAX, count * 10));
    }
}
