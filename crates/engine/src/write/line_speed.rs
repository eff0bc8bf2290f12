//! How much one pack may hold on this line, so that a run that is killed loses about a minute of sending and not more. Pure: lengths and
//! times go in, a length comes out.
//!
//! What a kill loses are packs of which parts were sent and not all: one for each worker, and what is on its way. Age alone would be the wrong
//! measure: an incremental that finds little to store would leave many small packs on a fast line. So a pack's age is counted in sending.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Sending that a pack may take at most, milliseconds.
const PACK_MS: u64 = 60_000;
/// The first pack's limit until something of this run was sent, bytes. It alone is short, to measure the line: short ones of all workers would
/// cost every run on a fast line several requests, and every later compare as many.
const FIRST_BYTES: u64 = 8 << 20;
/// A pack may always hold so much, bytes: smaller ones cost more in requests than they save.
const LEAST_BYTES: u64 = 1 << 20;
/// Shorter requests say more of the way to the store than of its width, bytes.
const MEASURED_BYTES_MIN: u64 = 1 << 20;
/// What was measured counts for seven eighths when the next measure comes, so that it follows a line that changes.
const KEPT: (u64, u64) = (7, 8);

/// The speed of requests that carry data, as they went lately.
#[derive(Debug)]
pub(crate) struct LineSpeed {
    /// Requests sent at once, and packs open at once.
    at_once: u64,
    packs: u64,
    /// Whether the pack that measures the line was begun.
    probed: AtomicBool,
    sent: Mutex<Option<Sent>>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    bytes: u64,
    ms: u64,
}

impl LineSpeed {
    /// Nothing was sent yet. `packs` are open at once, `at_once` requests are under way at once.
    pub(crate) fn new(at_once: usize, packs: usize) -> LineSpeed {
        let (at_once, packs) = (at_once.max(1) as u64, packs.max(1) as u64);
        LineSpeed { at_once, packs, probed: AtomicBool::new(false), sent: Mutex::new(None) }
    }

    /// A request with `bytes` took `ms`, waits for a limit and repetitions among them.
    pub(crate) fn sent(&self, bytes: u64, ms: u64) {
        if bytes < MEASURED_BYTES_MIN {
            return;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = |value: u64| value / KEPT.1 * KEPT.0 + value % KEPT.1 * KEPT.0 / KEPT.1;
        let before = sent.map_or((0, 0), |Sent { bytes, ms }| (kept(bytes), kept(ms)));
        *sent = Some(Sent { bytes: before.0.saturating_add(bytes), ms: before.1.saturating_add(ms) });
    }

    /// Whether the pack that begins now is the one that measures the line: the first.
    pub(crate) fn begins_probe(&self) -> bool {
        !self.probed.swap(true, Ordering::Relaxed)
    }

    /// Bytes that a pack may hold now, one `probe` or another; `u64::MAX` where nothing is known yet, or the line is so fast that its time was
    /// not to be measured.
    pub(crate) fn pack_bytes_max(&self, probe: bool) -> u64 {
        let sent = *self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Sent { bytes, ms }) = sent else { return if probe { FIRST_BYTES } else { u64::MAX } };
        if ms == 0 {
            return u64::MAX;
        }
        let by_one = u128::from(bytes) * u128::from(PACK_MS) / u128::from(ms);
        // Where more packs are open than requests are under way, each gets its share.
        let each = by_one * u128::from(self.at_once) / u128::from(self.packs.max(self.at_once));
        u64::try_from(each).unwrap_or(u64::MAX).max(LEAST_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_pack_holds_a_minute_of_sending() {
        let speed = LineSpeed::new(6, 4);
        assert!(speed.begins_probe() && !speed.begins_probe(), "the first only");
        assert_eq!((speed.pack_bytes_max(true), speed.pack_bytes_max(false)), (FIRST_BYTES, u64::MAX));
        // 17 MiB in 100 s by each of six requests: about 1 MiB/s.
        speed.sent(17 * MIB, 100_000);
        assert_eq!(speed.pack_bytes_max(false), 17 * MIB * 6 / 10);
        let many = LineSpeed::new(2, 8);
        many.sent(16 * MIB, 16_000);
        assert_eq!(many.pack_bytes_max(false), 15 * MIB);
    }

    #[test]
    fn a_line_that_becomes_slow_or_fast_is_followed_within_some_requests() {
        let speed = LineSpeed::new(4, 4);
        for _ in 0..50 {
            speed.sent(16 * MIB, 10);
        }
        assert!(speed.pack_bytes_max(false) > 128 * MIB);
        for _ in 0..16 {
            speed.sent(16 * MIB, 64_000);
        }
        assert!(speed.pack_bytes_max(false) < 20 * MIB, "{}", speed.pack_bytes_max(false));
        for _ in 0..60 {
            speed.sent(16 * MIB, 1_000);
        }
        assert!(speed.pack_bytes_max(false) > 500 * MIB, "{}", speed.pack_bytes_max(false));
    }

    #[test]
    fn small_requests_say_nothing_and_no_line_is_too_slow_or_too_fast() {
        let speed = LineSpeed::new(4, 4);
        speed.sent(100, 50);
        assert_eq!(speed.pack_bytes_max(true), FIRST_BYTES);
        speed.sent(MIB, 0);
        assert_eq!(speed.pack_bytes_max(false), u64::MAX);
        for _ in 0..100 {
            speed.sent(MIB, u64::MAX / 16);
        }
        assert_eq!(speed.pack_bytes_max(false), LEAST_BYTES);
    }
}
