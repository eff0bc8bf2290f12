//! Keeps reading or sending below so many bytes per second, over all threads together.
//!
//! Whoever passes pays afterwards: a debt is waited off before the next bytes, so a request larger than a second's worth
//! still passes. It must never hold up a cancel.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{CancelToken, EngineError};

/// How often a waiting thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);
/// What may be saved up while nothing moves.
const BURST: Duration = Duration::from_millis(250);

/// A limit shared by threads.
#[derive(Debug)]
pub struct RateLimiter {
    bucket: Mutex<Bucket>,
    started: Instant,
}

/// Pure state: bytes that may move now; a debt where negative.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: f64,
    level: f64,
    at: Duration,
}

impl RateLimiter {
    /// Lets `bytes_per_second` pass.
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        RateLimiter { bucket: Mutex::new(Bucket::new(bytes_per_second)), started: Instant::now() }
    }

    /// Returns when `bytes` may move.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn pass(&self, bytes: u64, cancel: &CancelToken) -> Result<(), EngineError> {
        let wait = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(bytes, self.started.elapsed())
        };
        let end = Instant::now() + wait;
        loop {
            cancel.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

impl Bucket {
    fn new(bytes_per_second: NonZeroU64) -> Self {
        Bucket { bytes_per_second: bytes_per_second.get() as f64, level: 0.0, at: Duration::ZERO }
    }

    /// Takes `bytes` at `now` and says how long to wait before they move.
    fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        let earned = now.saturating_sub(self.at).as_secs_f64() * self.bytes_per_second;
        self.at = self.at.max(now);
        self.level = (self.level + earned).min(BURST.as_secs_f64() * self.bytes_per_second);
        let debt = (-self.level).max(0.0);
        self.level -= bytes as f64;
        Duration::try_from_secs_f64(debt / self.bytes_per_second).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(rate: u64) -> Bucket {
        Bucket::new(NonZeroU64::new(rate).unwrap())
    }

    /// When the last of `count` requests of `bytes`, made one after the other, may move.
    fn last_moves_at(bucket: &mut Bucket, bytes: u64, count: u32) -> Duration {
        (0..count).fold(Duration::ZERO, |now, _| now + bucket.take(bytes, now))
    }

    #[test]
    fn over_time_no_more_than_the_rate_passes() {
        let at = last_moves_at(&mut bucket(1_000), 100, 101);
        assert!((at.as_secs_f64() - 10.0).abs() < 0.01, "{at:?}");
    }

    #[test]
    fn a_request_larger_than_a_second_passes_and_is_paid_off() {
        let mut bucket = bucket(1_000);
        assert_eq!(bucket.take(5_000, Duration::ZERO), Duration::ZERO);
        assert_eq!(bucket.take(1, Duration::from_secs(1)), Duration::from_secs(4));
    }

    #[test]
    fn a_pause_saves_up_a_quarter_of_a_second_and_no_more() {
        let mut bucket = bucket(1_000);
        assert_eq!(bucket.take(250, Duration::from_secs(100)), Duration::ZERO);
        assert_eq!(bucket.take(0, Duration::from_secs(100)), Duration::ZERO);
        bucket.take(100, Duration::from_secs(100));
        assert_eq!(bucket.take(0, Duration::from_secs(100)), Duration::from_millis(100));
    }

    #[test]
    fn a_cancel_ends_the_wait() {
        let (limiter, cancel) = (RateLimiter::new(NonZeroU64::MIN), CancelToken::default());
        limiter.pass(1 << 40, &cancel).unwrap();
        cancel.cancel();
        assert!(matches!(limiter.pass(1, &cancel), Err(EngineError::Cancelled)));
    }
}
