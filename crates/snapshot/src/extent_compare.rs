//! Compares the extent maps of two files of one file system. Pure.
//!
//! Two ranges are the same if both are holes, or both lie at the same place on the device, and the base still holds that place. Everything else counts as changed:
//! whether an extent is called shared says nothing, and what has no place of its own (compressed, inline, not yet allocated) is never the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;

use coffer_blockio::{ExtentPlace, FileExtent};

/// A run of bytes in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    end: u64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Zero,
    /// Device offset minus file offset, wrapping.
    Device(u64),
    Unknown,
}

/// Walks a map segment by segment, holes included.
struct Walk<I> {
    extents: I,
    size: u64,
    position: u64,
    next: Option<FileExtent>,
    seen: DefaultHasher,
}

/// Digests of the two maps as they were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) base: u64,
    pub(crate) target: u64,
}

/// Why a comparison ended.
#[derive(Debug)]
pub(crate) enum CompareError {
    Base(io::Error),
    Target(io::Error),
    Order,
}

/// Gives `sink` the ranges of a file of `target_size` bytes that may differ from the base.
pub(crate) fn compare<B, T>(
    base: B,
    base_size: u64,
    target: T,
    target_size: u64,
    sink: &mut dyn FnMut(Range<u64>),
) -> Result<Seen, CompareError>
where
    B: Iterator<Item = io::Result<FileExtent>>,
    T: Iterator<Item = io::Result<FileExtent>>,
{
    let mut base = Walk::new(base, base_size);
    let mut target = Walk::new(target, target_size);
    let common = base_size.min(target_size);
    let mut position = 0;
    while position < common {
        let before = base.segment().map_err(|error| error.unwrap_or_base())?;
        let now = target.segment().map_err(|error| error.unwrap_or_target())?;
        let end = before.end.min(now.end).min(common);
        if before.place != now.place || now.place == Place::Unknown {
            sink(position..end);
        }
        position = end;
        base.position = end;
        target.position = end;
    }
    if target_size > base_size {
        sink(base_size..target_size);
    }
    Ok(Seen {
        base: base.finish().map_err(|error| error.unwrap_or_base())?,
        target: target.finish().map_err(|error| error.unwrap_or_target())?,
    })
}

/// The digest of a whole map, to be held against an earlier one.
pub(crate) fn digest(
    extents: impl Iterator<Item = io::Result<FileExtent>>,
    size: u64,
) -> Result<u64, CompareError> {
    Walk::new(extents, size).finish().map_err(|error| error.unwrap_or_target())
}

/// A failed step of a walk.
enum WalkError {
    Io(io::Error),
    Order,
}

impl WalkError {
    fn unwrap_or_base(self) -> CompareError {
        match self {
            Self::Io(error) => CompareError::Base(error),
            Self::Order => CompareError::Order,
        }
    }

    fn unwrap_or_target(self) -> CompareError {
        match self {
            Self::Io(error) => CompareError::Target(error),
            Self::Order => CompareError::Order,
        }
    }
}

impl<I: Iterator<Item = io::Result<FileExtent>>> Walk<I> {
    fn new(extents: I, size: u64) -> Self {
        Walk { extents, size, position: 0, next: None, seen: DefaultHasher::new() }
    }

    /// The segment at the position, which lies before the end.
    fn segment(&mut self) -> Result<Segment, WalkError> {
        while self.next.is_none_or(|extent| end_of(&extent) <= self.position) {
            if !self.advance()? {
                return Ok(Segment { end: self.size, place: Place::Zero });
            }
        }
        let extent = self.next.expect("advanced to one");
        if extent.start > self.position {
            return Ok(Segment { end: extent.start, place: Place::Zero });
        }
        let place = match extent.place {
            ExtentPlace::Zero => Place::Zero,
            ExtentPlace::Device(at) => Place::Device(at.wrapping_sub(extent.start)),
            ExtentPlace::Unknown => Place::Unknown,
        };
        Ok(Segment { end: end_of(&extent), place })
    }

    /// Takes the next extent in; `false` after the last.
    fn advance(&mut self) -> Result<bool, WalkError> {
        let before = self.next.map_or(0, |extent| end_of(&extent));
        let Some(extent) = self.extents.next().transpose().map_err(WalkError::Io)? else { return Ok(false) };
        // Maps ascend; one that does not cannot be walked.
        if extent.len_bytes == 0 || extent.start < before {
            return Err(WalkError::Order);
        }
        extent.hash(&mut self.seen);
        self.next = Some(extent);
        Ok(true)
    }

    fn finish(mut self) -> Result<u64, WalkError> {
        while self.advance()? {}
        self.size.hash(&mut self.seen);
        Ok(self.seen.finish())
    }
}

fn end_of(extent: &FileExtent) -> u64 {
    extent.start.saturating_add(extent.len_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extent(start: u64, len_bytes: u64, place: ExtentPlace) -> FileExtent {
        FileExtent { start, len_bytes, place }
    }

    fn changed(base: &[FileExtent], base_size: u64, target: &[FileExtent], size: u64) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let map = |extents: &[FileExtent]| extents.iter().copied().map(Ok).collect::<Vec<_>>().into_iter();
        compare(map(base), base_size, map(target), size, &mut |range| ranges.push(range)).unwrap();
        ranges
    }

    #[test]
    fn the_example_of_xfs_gives_what_was_written_and_punched() {
        use ExtentPlace::Device;
        // KiB of a real file: written over, punched, zeroed and appended to after the base was cloned.
        let base = [
            extent(0, 1024, Device(1120)),
            extent(1024, 64, Device(2144)),
            extent(1088, 960, Device(2208)),
            extent(2048, 64, Device(3168)),
            extent(2112, 1984, Device(3232)),
            extent(8192, 256, Device(9312)),
            extent(8448, 768, Device(9568)),
        ];
        let target = [
            extent(0, 1024, Device(1120)),
            extent(1024, 64, Device(5280)),
            extent(1088, 960, Device(2208)),
            extent(2112, 1984, Device(3232)),
            extent(8448, 768, Device(9568)),
            extent(10240, 8, Device(7000)),
        ];
        let expected = [1024..1088, 2048..2112, 8192..8448, 10240..10248];
        assert_eq!(changed(&base, 12000, &target, 12000), expected);
        assert_eq!(changed(&target, 12000, &target, 12000), []);
        assert_eq!(changed(&target, 9000, &target, 12000), std::slice::from_ref(&(9000..12000)));
    }

    #[test]
    fn what_has_no_place_is_changed_and_a_map_out_of_order_is_refused() {
        let unknown = [extent(0, 64, ExtentPlace::Unknown)];
        assert_eq!(changed(&unknown, 64, &unknown, 64), std::slice::from_ref(&(0..64)));
        let zero = [extent(0, 64, ExtentPlace::Zero)];
        assert_eq!(changed(&zero, 64, &[], 64), []);
        let wrong = [extent(64, 64, ExtentPlace::Zero), extent(0, 64, ExtentPlace::Zero)];
        let map = |extents: &[FileExtent]| extents.iter().copied().map(Ok).collect::<Vec<_>>().into_iter();
        let result = compare(map(&wrong), 200, map(&zero), 200, &mut |_| ());
        assert!(matches!(result, Err(CompareError::Order)));
    }

    /// A map of one-byte places: 0 is a hole, 9 unknown, others are places on the device.
    fn map_of(bytes: &[u8]) -> Vec<FileExtent> {
        let extent = |(start, place): (usize, &u8)| {
            let place = match place {
                0 => return None,
                9 => ExtentPlace::Unknown,
                place => ExtentPlace::Device(u64::from(*place) * 1000 + start as u64),
            };
            Some(FileExtent { start: start as u64, len_bytes: 1, place })
        };
        bytes.iter().enumerate().filter_map(extent).collect()
    }

    proptest! {
        #[test]
        fn exactly_what_differs_is_named(
            base in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 9]), 0..40),
            target in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 9]), 0..40),
        ) {
            let ranges = changed(&map_of(&base), base.len() as u64, &map_of(&target), target.len() as u64);
            for (at, place) in target.iter().enumerate() {
                let same = base.get(at) == Some(place) && *place != 9;
                let named = ranges.iter().any(|range| range.contains(&(at as u64)));
                prop_assert_eq!(named, !same, "byte {} of {:?} and {:?}: {:?}", at, base, target, ranges);
            }
        }
    }
}
