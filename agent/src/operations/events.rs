//! What watchers are told: that something changed, and the newest log lines. Never holds up the work, whoever reads slowly or not at all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use coffer_format::Timestamp;
use tokio::sync::watch;

/// Lines that are kept of an operation.
pub const LOG_LINES_MAX: usize = 256;
/// Longest line, bytes; the rest is cut.
const LINE_LEN_MAX: usize = 1_000;
/// Text that is kept of an operation, bytes; the oldest lines go first.
const TEXT_LEN_MAX: usize = 32 << 10;
/// What a line takes in memory besides its text.
const LINE_BYTES: u64 = 64;

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// State changed.
    Info,
    /// Odd; work went on.
    Warn,
    /// A person must act.
    Error,
}

impl Level {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// A line of an operation's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counts from 1; after a restart of the agent some numbers are left out.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// How serious.
    pub level: Level,
    /// What.
    pub text: String,
}

/// The newest lines of an operation, and a bell for watchers.
#[derive(Debug)]
pub struct Events {
    tail: Mutex<Tail>,
    bell: watch::Sender<u64>,
}

#[derive(Debug)]
struct Tail {
    newest: u64,
    lines: VecDeque<Line>,
    text_len: usize,
}

impl Events {
    /// Begins after line `newest`.
    pub fn after(newest: u64) -> Arc<Self> {
        let tail = Mutex::new(Tail { newest, lines: VecDeque::new(), text_len: 0 });
        Arc::new(Events { tail, bell: watch::Sender::new(0) })
    }

    /// Adds a line, and drops the oldest beyond [`LOG_LINES_MAX`] or too much text.
    pub fn log(&self, time: Timestamp, level: Level, mut text: String) {
        text.truncate(text.floor_char_boundary(LINE_LEN_MAX));
        let mut tail = self.tail();
        tail.newest += 1;
        let sequence = tail.newest;
        text.shrink_to_fit();
        tail.text_len += text.len();
        while tail.lines.len() == LOG_LINES_MAX || tail.text_len > TEXT_LEN_MAX {
            let Some(oldest) = tail.lines.pop_front() else { break };
            tail.text_len -= oldest.text.len();
        }
        tail.lines.push_back(Line { sequence, time, level, text });
        drop(tail);
        self.ring();
    }

    /// Kept lines after number `known`, oldest first.
    pub fn lines_after(&self, known: u64) -> Vec<Line> {
        self.tail().lines.iter().filter(|line| line.sequence > known).cloned().collect()
    }

    /// About how much the kept lines take in memory.
    pub fn bytes(&self) -> u64 {
        let tail = self.tail();
        tail.text_len as u64 + tail.lines.len() as u64 * LINE_BYTES
    }

    /// Number of the newest line.
    pub fn newest(&self) -> u64 {
        self.tail().newest
    }

    /// Forgets all lines; their numbers are not used again.
    pub fn forget_lines(&self) {
        let mut tail = self.tail();
        tail.lines = VecDeque::new();
        tail.text_len = 0;
    }

    /// Tells watchers that something changed. Cheap where nobody watches.
    pub fn ring(&self) {
        if self.bell.receiver_count() > 0 {
            self.bell.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Hears every change from now on, several at once as one.
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.bell.receiver_count()
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(events: &Events, count: u64) {
        (0..count).for_each(|number| events.log(Timestamp::from_unix_ms(0), Level::Info, number.to_string()));
    }

    #[test]
    fn the_newest_lines_are_kept_with_their_numbers() {
        let events = Events::after(1_000);
        log(&events, 300);
        let lines = events.lines_after(0);
        assert_eq!(lines.len(), LOG_LINES_MAX);
        assert_eq!((lines[0].sequence, lines[255].sequence), (1_045, 1_300));
        assert_eq!(lines[255].text, "299");
        assert_eq!(events.lines_after(1_299).len(), 1);
        assert_eq!(events.lines_after(1_300), []);
        events.forget_lines();
        log(&events, 1);
        assert_eq!(events.lines_after(0)[0].sequence, 1_301);
    }

    #[test]
    fn who_never_reads_holds_nobody_up_and_hears_of_many_changes_once() {
        let events = Events::after(0);
        let mut bell = events.listen();
        log(&events, 10_000);
        assert!(bell.has_changed().unwrap());
        bell.borrow_and_update();
        assert!(!bell.has_changed().unwrap());
    }

    #[test]
    fn long_lines_push_old_ones_out_earlier() {
        let events = Events::after(0);
        (0..300).for_each(|_| events.log(Timestamp::from_unix_ms(0), Level::Info, "x".repeat(5_000)));
        assert_eq!(events.lines_after(0).len(), 32);
        assert!(events.bytes() <= 40_000, "{}", events.bytes());
        events.forget_lines();
        assert_eq!(events.bytes(), 0);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let events = Events::after(0);
        events.log(Timestamp::from_unix_ms(0), Level::Warn, "ü".repeat(600));
        assert_eq!(events.lines_after(0)[0].text, "ü".repeat(500));
    }
}
