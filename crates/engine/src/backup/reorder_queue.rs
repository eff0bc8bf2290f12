//! The reorder queue of a volume's pieces: workers take them in order and finish in any, the map takes results in order.
//!
//! At most `WINDOW` pieces are ahead of the map, so memory is bounded. The first error ends the queue for all.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::block_pass::SegmentDone;
use super::segments::{Piece, Segments};
use crate::EngineError;
use crate::write::uploader::UploadGroup;

/// How many segments may be finished or in work ahead of the map.
const WINDOW: usize = 64;

/// The order in which pieces were handed out and how far the map is.
pub(super) struct ReorderQueue<'a> {
    state: Mutex<QueueState<'a>>,
    changed: Condvar,
}

struct QueueState<'a> {
    segments: Segments<'a>,
    handed_out: usize,
    at_end: bool,
    map_at: usize,
    done: BTreeMap<usize, PieceDone>,
    error: Option<EngineError>,
    stopped: bool,
    /// Workers that are done.
    left: usize,
}

/// Tells the queue when a worker ends, also when it panics.
pub(super) struct QueueGuard<'a, 'b>(pub(super) &'a ReorderQueue<'b>);

impl Drop for QueueGuard<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(EngineError::Bug("a worker thread panicked".into()));
        }
        self.0.lock().left += 1;
        self.0.changed.notify_all();
    }
}

/// A piece that is done.
pub(super) enum PieceDone {
    Segment(SegmentDone),
    ZeroLeaves { first: u32, count: u32 },
    BaseLeaves { first: u32, count: u32 },
}

impl<'a> ReorderQueue<'a> {
    pub(super) fn new(segments: Segments<'a>) -> Self {
        let state = QueueState {
            segments,
            handed_out: 0,
            at_end: false,
            map_at: 0,
            done: BTreeMap::new(),
            error: None,
            stopped: false,
            left: 0,
        };
        ReorderQueue { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next piece for a worker; waits while the map is too far behind.
    pub(super) fn next_piece(&self, volume: &str) -> Result<Option<(usize, Piece)>, EngineError> {
        let mut state = self.lock();
        while !state.stopped && !state.at_end && state.handed_out >= state.map_at + WINDOW {
            state = self.wait(state);
        }
        if state.stopped || state.at_end {
            return Ok(None);
        }
        let piece = state.segments.next_piece();
        let piece = piece.map_err(|source| EngineError::Source { volume: volume.to_owned(), source })?;
        let Some(piece) = piece else {
            state.at_end = true;
            self.changed.notify_all();
            return Ok(None);
        };
        let number = state.handed_out;
        state.handed_out += 1;
        Ok(Some((number, piece)))
    }

    pub(super) fn put(&self, number: usize, piece: PieceDone) {
        self.lock().done.insert(number, piece);
        self.changed.notify_all();
    }

    /// The next finished piece in volume order; `None` when all were taken.
    pub(super) fn take(&self, group: &UploadGroup) -> Result<Option<PieceDone>, EngineError> {
        let mut state = self.lock();
        loop {
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if group.has_failed() {
                drop(state);
                return Err(group.wait().err().unwrap_or(EngineError::Cancelled));
            }
            let at = state.map_at;
            if let Some(piece) = state.done.remove(&at) {
                state.map_at += 1;
                self.changed.notify_all();
                return Ok(Some(piece));
            }
            if state.at_end && at == state.handed_out {
                return Ok(None);
            }
            state = self.wait(state);
        }
    }

    /// Waits until every worker has closed its last pack.
    pub(super) fn wait_for_workers(&self, workers: usize) -> Result<(), EngineError> {
        let mut state = self.lock();
        while state.left < workers && state.error.is_none() {
            state = self.wait(state);
        }
        state.error.take().map_or(Ok(()), Err)
    }

    pub(super) fn fail(&self, error: EngineError) {
        let mut state = self.lock();
        if !state.stopped {
            state.error = Some(error);
        }
        state.stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn take_error(&self) -> Option<EngineError> {
        self.lock().error.take()
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'b>(&self, guard: MutexGuard<'b, QueueState<'a>>) -> MutexGuard<'b, QueueState<'a>> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }
}
