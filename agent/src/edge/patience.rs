//! How long the other end of a connection may take to say what it began to say, and to take what it asked for.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Bytes with which every HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE_LEN: usize = 24;

/// What is expected of the other end in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// The HTTP/2 preface. What follows is watched by HTTP/2's own pings.
    Preface,
    /// HTTP/1.1: a whole request once it has begun, and that the answer is taken.
    Exchanges,
}

/// A watch over one connection.
#[derive(Debug)]
pub(super) struct Patience {
    expects: Expects,
    time: Duration,
    /// Set while something is waited for that has a time.
    timer: Option<Pin<Box<Sleep>>>,
    /// Of the preface.
    missing_len: usize,
}

impl Patience {
    pub(super) fn new(expects: Expects, time: Duration) -> Patience {
        Patience { expects, time, timer: Some(Box::pin(sleep(time))), missing_len: PREFACE_LEN }
    }

    /// So many bytes came.
    pub(super) fn has_read(&mut self, len: usize) {
        match self.expects {
            Expects::Preface => {
                self.missing_len = self.missing_len.saturating_sub(len);
                if self.missing_len == 0 {
                    self.timer = None;
                }
            }
            Expects::Exchanges if len > 0 => self.begin(),
            Expects::Exchanges => {}
        }
    }

    /// An answer is on its way: it was taken, or waits for the other end to take it.
    pub(super) fn has_written(&mut self, was_taken: bool) {
        match (self.expects, was_taken) {
            (Expects::Preface, _) => {}
            (Expects::Exchanges, true) => self.timer = None,
            (Expects::Exchanges, false) => self.begin(),
        }
    }

    fn begin(&mut self) {
        if self.timer.is_none() {
            self.timer = Some(Box::pin(sleep(self.time)));
        }
    }

    /// Fails once the time is over; wakes `task` then.
    pub(super) fn check(&mut self, task: &mut Context<'_>) -> io::Result<()> {
        match self.timer.as_mut().map(|timer| timer.as_mut().poll(task)) {
            Some(Poll::Ready(())) => {
                let text = format!("the client stopped in the middle for {} s", self.time.as_secs_f32());
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
            Some(Poll::Pending) | None => Ok(()),
        }
    }
}
