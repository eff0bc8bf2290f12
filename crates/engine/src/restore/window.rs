//! A window of leaves whose blocks are planned together.

use std::ops::Range;

use crate::read::frame_run::FrameRun;

/// What was planned of some leaves.
#[derive(Default)]
pub(super) struct Window {
    pub(super) runs: Vec<FrameRun>,
    pub(super) zeroes: Vec<Range<u32>>,
    pub(super) leaves: u32,
}

impl Window {
    pub(super) fn zero(&mut self, range: Range<u32>) {
        match self.zeroes.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.zeroes.push(range),
        }
    }
}
