//! Several ranges that are read into one buffer, and the promise of such a read.
//!
//! A batch owns its buffer. While it is on its way nobody but the read engine can reach the memory; it must never be
//! possible to see bytes of a range before that range was read whole.

use std::ops::Range;
use std::sync::mpsc::Receiver;

use crate::buf::Buf;
use crate::error::ReadError;

/// Ranges that touch in the volume become one request up to this many bytes.
const MERGED_MAX_BYTES: usize = 1024 * 1024;

/// Ranges of a source, to be read one after the other into one buffer.
#[derive(Debug)]
pub struct ReadBatch {
    buf: Buf,
    pieces: Vec<Piece>,
    filled_bytes: usize,
}

/// One request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it begins in the source, in bytes.
    pub(crate) offset: u64,
    /// Where it goes in the buffer; never empty.
    pub(crate) place: Range<usize>,
    /// Whether all of it was read.
    pub(crate) is_read: bool,
}

/// A batch that may be on its way; [`crate::BlockSource::finish_read`] waits for it.
///
/// Dropping it gives the read up: the buffer goes back to the arena after the last byte that the kernel may still
/// write to it, not before.
#[derive(Debug)]
pub struct StartedRead(State);

#[derive(Debug)]
enum State {
    /// Nobody reads yet: whoever finishes it does.
    Deferred(ReadBatch),
    /// A read engine has it and sends it back.
    OnItsWay(Receiver<ReadBatch>),
}

impl ReadBatch {
    /// A batch without ranges, which will be read into `buf`.
    pub fn new(buf: Buf) -> Self {
        Self { buf, pieces: Vec::new(), filled_bytes: 0 }
    }

    /// Adds the `len_bytes` bytes at `offset` behind what was added before. Returns where they will be in
    /// [`ReadBatch::bytes`], or `None`, having added nothing, if the rest of the buffer is too short.
    ///
    /// Multiples of 4 KiB are fast, everything else works.
    pub fn push(&mut self, offset: u64, len_bytes: usize) -> Option<Range<usize>> {
        let start = self.filled_bytes;
        let end = start.checked_add(len_bytes).filter(|end| *end <= self.buf.len())?;
        self.filled_bytes = end;
        match self.pieces.last_mut() {
            _ if len_bytes == 0 => {}
            Some(last) if last.is_continued_by(offset, len_bytes) => last.place.end = end,
            _ => self.pieces.push(Piece { offset, place: start..end, is_read: false }),
        }
        Some(start..end)
    }

    /// The bytes of all ranges, one range behind the other. Unspecified until the batch was read.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[..self.filled_bytes]
    }

    /// Forgets all ranges; the buffer can be used again.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.filled_bytes = 0;
    }

    /// How many bytes a batch in this buffer can hold.
    pub fn capacity_bytes(&self) -> usize {
        self.buf.len()
    }

    /// Reads with `read` what is not read yet, in the order of the ranges.
    pub(crate) fn complete(
        &mut self,
        read: impl Fn(u64, &mut [u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        for piece in self.pieces.iter_mut().filter(|piece| !piece.is_read) {
            read(piece.offset, &mut self.buf[piece.place.clone()])?;
            piece.is_read = true;
        }
        Ok(())
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(crate) fn mark_read(&mut self, piece: usize) {
        if let Some(piece) = self.pieces.get_mut(piece) {
            piece.is_read = true;
        }
    }

    pub(crate) fn buf(&self) -> &Buf {
        &self.buf
    }
}

impl Piece {
    pub(crate) fn len_bytes(&self) -> usize {
        self.place.end - self.place.start
    }

    fn is_continued_by(&self, offset: u64, len_bytes: usize) -> bool {
        let touches = self.offset.checked_add(self.len_bytes() as u64) == Some(offset);
        touches && self.len_bytes().saturating_add(len_bytes) <= MERGED_MAX_BYTES
    }
}

impl StartedRead {
    /// A read that begins when somebody waits for it.
    pub(crate) fn deferred(batch: ReadBatch) -> Self {
        Self(State::Deferred(batch))
    }

    /// A read whose engine sends the batch back when the kernel is done with the memory.
    pub(crate) fn on_its_way(result: Receiver<ReadBatch>) -> Self {
        Self(State::OnItsWay(result))
    }

    /// The batch with all that the engine could read; waits for it.
    pub(crate) fn wait(self) -> Result<ReadBatch, ReadError> {
        match self.0 {
            State::Deferred(batch) => Ok(batch),
            State::OnItsWay(result) => result.recv().map_err(|_| ReadError::EngineGone),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{MERGED_MAX_BYTES, ReadBatch};
    use crate::arena::Arena;
    use crate::error::ReadError;

    const BLOCK: usize = 64 * 1024;

    fn batch(len_bytes: usize) -> ReadBatch {
        ReadBatch::new(Arena::new(4 << 20).unwrap().alloc(len_bytes).unwrap())
    }

    fn shape(batch: &ReadBatch) -> Vec<(u64, usize, usize)> {
        batch.pieces().iter().map(|piece| (piece.offset, piece.place.start, piece.place.end)).collect()
    }

    #[test]
    fn ranges_follow_each_other_and_those_that_touch_are_one_request() {
        let mut batch = batch(5 * BLOCK);
        assert_eq!(batch.push(0, BLOCK), Some(0..BLOCK));
        assert_eq!(batch.push(BLOCK as u64, BLOCK), Some(BLOCK..2 * BLOCK));
        assert_eq!(batch.push(10 * BLOCK as u64, 2 * BLOCK), Some(2 * BLOCK..4 * BLOCK));
        assert_eq!(batch.push(5 * BLOCK as u64, 5), Some(4 * BLOCK..4 * BLOCK + 5));
        let expected = [
            (0, 0, 2 * BLOCK),
            (10 * BLOCK as u64, 2 * BLOCK, 4 * BLOCK),
            (5 * BLOCK as u64, 4 * BLOCK, 4 * BLOCK + 5),
        ];
        assert_eq!(shape(&batch), expected);
        assert_eq!(batch.bytes().len(), 4 * BLOCK + 5);
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut batch = batch(BLOCK);
        assert!(batch.push(0, BLOCK + 1).is_none() && batch.push(0, usize::MAX).is_none());
        assert!(batch.push(0, BLOCK).is_some() && batch.push(9 << 20, 1).is_none());
        assert_eq!(shape(&batch), [(0, 0, BLOCK)]);
        batch.clear();
        assert!(batch.bytes().is_empty() && batch.push(7, 1).is_some());
        assert_eq!((batch.push(1 << 40, 0), shape(&batch)), (Some(1..1), vec![(7, 0, 1)]), "nothing to read");
    }

    #[test]
    fn requests_end_at_a_mebibyte() {
        let mut batch = batch(MERGED_MAX_BYTES + BLOCK);
        for block in 0..17 {
            batch.push(block * BLOCK as u64, BLOCK).unwrap();
        }
        assert_eq!(shape(&batch)[0], (0, 0, MERGED_MAX_BYTES));
        assert_eq!(batch.pieces().len(), 2);
    }

    #[test]
    fn only_what_is_not_read_is_read_and_the_first_error_ends_it() {
        let mut batch = batch(3 * BLOCK);
        for offset in [0, 1 << 20, 2 << 20] {
            batch.push(offset, BLOCK).unwrap();
        }
        batch.mark_read(1);
        batch.mark_read(99);
        let asked = RefCell::new(Vec::new());
        batch
            .complete(|offset, buf| {
                asked.borrow_mut().push((offset, buf.len()));
                buf.fill(7);
                Ok(())
            })
            .unwrap();
        assert_eq!(*asked.borrow(), [(0, BLOCK), (2 << 20, BLOCK)]);
        assert!(batch.bytes()[..BLOCK].iter().all(|byte| *byte == 7));
        batch.complete(|_, _| Err(ReadError::EngineGone)).unwrap();
        batch.clear();
        batch.push(3 << 20, 1).unwrap();
        assert!(matches!(batch.complete(|_, _| Err(ReadError::EngineGone)), Err(ReadError::EngineGone)));
    }
}
