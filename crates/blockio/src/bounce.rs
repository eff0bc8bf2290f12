//! A short-lived aligned buffer outside of the arena, for the rare requests that are not aligned.
//!
//! It must never become the normal path: it costs a copy, and its memory is not part of the budget. Each use is
//! bounded by [`BOUNCE_MAX_BYTES`] plus two sectors.

/// The most that one bounce carries, in bytes: enough to hide the copy, small beside any memory budget.
pub(crate) const BOUNCE_MAX_BYTES: usize = 256 * 1024;

/// Heap memory whose used part begins at a multiple of the alignment asked for.
#[derive(Debug)]
pub(crate) struct Bounce {
    memory: Vec<u8>,
    start: usize,
    len_bytes: usize,
}

impl Bounce {
    /// `len_bytes` zeroes, aligned to `align_bytes` (a power of two).
    pub(crate) fn zeroed(len_bytes: usize, align_bytes: usize) -> Self {
        let memory = vec![0; len_bytes + align_bytes];
        let address = memory.as_ptr().addr();
        let start = address.next_multiple_of(align_bytes) - address;
        Self { memory, start, len_bytes }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len_bytes]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len_bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::Bounce;

    #[test]
    fn the_bytes_are_aligned_and_exactly_as_many_as_asked_for() {
        for align_bytes in [1, 512, 4096, 65536] {
            let mut bounce = Bounce::zeroed(1000, align_bytes);
            bounce.bytes_mut().fill(7);
            assert_eq!(bounce.bytes().as_ptr().addr() % align_bytes, 0);
            assert_eq!(bounce.bytes(), [7; 1000]);
        }
    }
}
