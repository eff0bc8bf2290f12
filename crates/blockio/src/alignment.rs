//! Which part of a request direct I/O can take as it is: pure arithmetic.
//!
//! It must never let a request through that the kernel would refuse for its alignment, whatever the caller passes.

/// The units of direct I/O on one file, both powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// Addresses are multiples of this many bytes.
    pub(crate) memory_bytes: usize,
    /// Offsets and lengths are multiples of this many bytes.
    pub(crate) offset_bytes: u64,
}

/// The beginning of a request, in bytes: how much of it goes which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Straight between the device and the caller's memory.
    Direct(usize),
    /// Through the page cache or a bounce buffer.
    Indirect(usize),
}

impl Alignment {
    /// Splits the beginning off a request for `len_bytes` (above zero) at `offset`, whose memory begins at `address`.
    pub(crate) fn first_step(self, offset: u64, address: usize, len_bytes: usize) -> Step {
        let past_boundary = offset % self.offset_bytes;
        if past_boundary != 0 {
            return Step::Indirect(at_most(self.offset_bytes - past_boundary, len_bytes));
        }
        let whole_bytes = len_bytes - at_most(len_bytes as u64 % self.offset_bytes, len_bytes);
        if whole_bytes == 0 || !address.is_multiple_of(self.memory_bytes) {
            return Step::Indirect(len_bytes);
        }
        Step::Direct(whole_bytes)
    }

    /// The last boundary at or before `offset`.
    pub(crate) fn floor(self, offset: u64) -> u64 {
        offset - offset % self.offset_bytes
    }

    /// The first boundary at or after `offset`; `None` past the end of 64 bits.
    pub(crate) fn ceil(self, offset: u64) -> Option<u64> {
        offset.checked_next_multiple_of(self.offset_bytes)
    }
}

fn at_most(bytes: u64, len_bytes: usize) -> usize {
    usize::try_from(bytes).map_or(len_bytes, |bytes| bytes.min(len_bytes))
}

#[cfg(test)]
mod tests {
    use super::{Alignment, Step};

    const SECTOR: Alignment = Alignment { memory_bytes: 512, offset_bytes: 512 };

    #[test]
    fn every_request_is_split_where_direct_io_can_begin_and_must_end() {
        let check = |offset, address, len_bytes, expected| {
            assert_eq!(
                SECTOR.first_step(offset, address, len_bytes),
                expected,
                "{offset} {address} {len_bytes}"
            );
        };
        check(0, 4096, 512, Step::Direct(512));
        check(1024, 512, 1537, Step::Direct(1536));
        check(0, 4096, 511, Step::Indirect(511));
        check(1, 4096, 4096, Step::Indirect(511));
        check(511, 4097, 4096, Step::Indirect(1));
        check(700, 4096, 8, Step::Indirect(8));
        check(512, 4097, 4096, Step::Indirect(4096));
        check(u64::MAX - 511, 4096, 512, Step::Direct(512));
    }

    #[test]
    fn boundaries_enclose_the_offset() {
        assert_eq!((SECTOR.floor(1023), SECTOR.ceil(1023)), (512, Some(1024)));
        assert_eq!((SECTOR.floor(512), SECTOR.ceil(512)), (512, Some(512)));
        assert_eq!(SECTOR.ceil(u64::MAX), None);
    }
}
