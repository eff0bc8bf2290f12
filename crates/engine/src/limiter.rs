//! Keeps reading or sending below so much per second, over all threads and operations that share the limit.
//!
//! What is counted is the caller's: bytes, or operations. Who comes first passes first. Whoever passes pays afterwards: a debt is waited off before
//! the next one passes, so a request larger than a second's worth still passes. It must never hold up a cancel, nor let one that was cancelled
//! hold up the others.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{CancelToken, EngineError};

/// How often a waiting thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);
/// What may be saved up while nothing moves.
const BURST: Duration = Duration::from_millis(250);

/// A limit shared by threads. It can be changed while they wait.
#[derive(Debug)]
pub struct RateLimiter {
    state: Mutex<State>,
    changed: Condvar,
    started: Instant,
}

#[derive(Debug)]
struct State {
    /// `None`: everything passes.
    bucket: Option<Bucket>,
    /// Point reference of those who wait, in order of arrival.
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

/// Pure state: what may move now; a debt where negative.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    level: f64,
    at: Duration,
}

impl RateLimiter {
    /// Lets `per_second` bytes or operations pass.
    pub fn new(per_second: NonZeroU64) -> Self {
        Self::of(Some(per_second))
    }

    /// Lets everything pass until a rate is set.
    pub fn unlimited() -> Self {
        Self::of(None)
    }

    /// Sets another rate, for those who wait too; `None` lets everything pass.
    pub fn set_rate(&self, per_second: Option<NonZeroU64>) {
        let now = self.started.elapsed();
        let mut state = self.lock();
        state.bucket = per_second.map(|rate| match state.bucket.take() {
            Some(bucket) => bucket.with_rate(rate, now),
            None => Bucket::new(rate, now),
        });
        self.changed.notify_all();
    }

    /// Returns when `amount` may move and all who came before have passed or left.
    ///
    /// # Errors
    /// As [`CancelToken::check`]; nothing was taken then.
    pub fn pass(&self, amount: u64, cancel: &CancelToken) -> Result<(), EngineError> {
        let mut state = self.lock();
        let reference = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(reference);
        loop {
            if let Err(error) = cancel.check() {
                self.leave(&mut state, reference);
                return Err(error);
            }
            let now = self.started.elapsed();
            let wait = match (state.waiting.front() == Some(&reference), &mut state.bucket) {
                (false, _) => LOOK,
                (true, None) => Duration::ZERO,
                (true, Some(bucket)) => bucket.take(amount, now).err().unwrap_or(Duration::ZERO),
            };
            if wait.is_zero() {
                self.leave(&mut state, reference);
                return Ok(());
            }
            let waited = self.changed.wait_timeout(state, wait.min(LOOK));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    fn of(per_second: Option<NonZeroU64>) -> Self {
        let bucket = per_second.map(|rate| Bucket::new(rate, Duration::ZERO));
        let state = State { bucket, waiting: VecDeque::new(), next_ticket: 0 };
        RateLimiter { state: Mutex::new(state), changed: Condvar::new(), started: Instant::now() }
    }

    fn leave(&self, state: &mut State, reference: u64) {
        state.waiting.retain(|waiting| *waiting != reference);
        if !state.waiting.is_empty() {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn new(per_second: NonZeroU64, at: Duration) -> Self {
        Bucket { per_second: per_second.get() as f64, level: 0.0, at }
    }

    /// Takes `amount` at `now`, or says how long there is still a debt to wait off.
    fn take(&mut self, amount: u64, now: Duration) -> Result<(), Duration> {
        self.earn(now);
        if self.level < 0.0 {
            let debt = -self.level / self.per_second;
            // Never zero: whoever is told to wait has not taken anything.
            let wait = Duration::try_from_secs_f64(debt).unwrap_or(Duration::MAX);
            return Err(wait.max(Duration::from_micros(1)));
        }
        self.level -= amount as f64;
        Ok(())
    }

    /// Settles at the old rate what was earned until `now`. A debt stays what it was: so many bytes or operations.
    fn with_rate(mut self, per_second: NonZeroU64, now: Duration) -> Self {
        self.earn(now);
        self.per_second = per_second.get() as f64;
        self.level = self.level.min(BURST.as_secs_f64() * self.per_second);
        self
    }

    fn earn(&mut self, now: Duration) {
        let earned = now.saturating_sub(self.at).as_secs_f64() * self.per_second;
        self.at = self.at.max(now);
        self.level = (self.level + earned).min(BURST.as_secs_f64() * self.per_second);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::CancelReason;

    fn bucket(rate: u64) -> Bucket {
        Bucket::new(NonZeroU64::new(rate).unwrap(), Duration::ZERO)
    }

    /// When `amount` may move that is asked for at `now`.
    fn moves_at(bucket: &mut Bucket, amount: u64, mut now: Duration) -> Duration {
        while let Err(wait) = bucket.take(amount, now) {
            now += wait;
        }
        now
    }

    /// Spins until `count` threads wait; ends because the caller has started that many.
    fn until_waiting(limiter: &RateLimiter, count: usize) {
        while limiter.waiting() != count {
            std::thread::yield_now();
        }
    }

    fn is_about(at: Duration, seconds: f64) -> bool {
        (at.as_secs_f64() - seconds).abs() < 0.01
    }

    #[test]
    fn over_time_no_more_than_the_rate_passes() {
        let mut bucket = bucket(1_000);
        let at = (0..101).fold(Duration::ZERO, |now, _| moves_at(&mut bucket, 100, now));
        assert!(is_about(at, 10.0), "{at:?}");
    }

    #[test]
    fn a_request_larger_than_a_second_passes_and_is_paid_off() {
        let mut bucket = bucket(1_000);
        assert_eq!(bucket.take(5_000, Duration::ZERO), Ok(()));
        assert_eq!(bucket.take(1, Duration::from_secs(1)), Err(Duration::from_secs(4)));
    }

    #[test]
    fn a_pause_saves_up_a_quarter_of_a_second_and_no_more() {
        let mut bucket = bucket(1_000);
        assert_eq!(bucket.take(350, Duration::from_secs(100)), Ok(()));
        assert_eq!(bucket.take(0, Duration::from_secs(100)), Err(Duration::from_millis(100)));
    }

    #[test]
    fn another_rate_changes_how_long_a_debt_takes_and_not_the_debt() {
        let second = Duration::from_secs(1);
        for (rate, end) in [(4_000, 2.0), (1_000, 5.0), (100, 41.0)] {
            let mut bucket = bucket(1_000);
            bucket.take(5_000, Duration::ZERO).unwrap();
            let mut bucket = bucket.with_rate(NonZeroU64::new(rate).unwrap(), second);
            let at = moves_at(&mut bucket, 1, second);
            assert!(is_about(at, end), "{rate}: {at:?}");
        }
    }

    #[test]
    fn a_cancel_ends_the_wait_and_leaves_no_debt() {
        let limiter = Arc::new(RateLimiter::new(NonZeroU64::MIN));
        limiter.pass(1 << 40, &CancelToken::default()).unwrap();
        let cancel = CancelToken::default();
        let waits = {
            let (limiter, cancel) = (limiter.clone(), cancel.clone());
            std::thread::spawn(move || limiter.pass(1 << 40, &cancel))
        };
        until_waiting(&limiter, 1);
        cancel.cancel_because(CancelReason::Deadline);
        assert!(matches!(waits.join().unwrap(), Err(EngineError::DeadlinePassed)));
        let state = limiter.lock();
        assert!(state.waiting.is_empty());
        let debt = -state.bucket.as_ref().unwrap().level;
        assert!(debt <= (1_u64 << 40) as f64, "only who passed pays: {debt}");
    }

    #[test]
    fn a_higher_rate_lets_those_pass_who_wait_in_the_order_they_came() {
        let limiter = Arc::new(RateLimiter::new(NonZeroU64::MIN));
        let cancel = CancelToken::default();
        limiter.pass(1 << 40, &cancel).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..5_usize)
            .map(|number| {
                let waits = {
                    let (limiter, cancel, order) = (limiter.clone(), cancel.clone(), order.clone());
                    std::thread::spawn(move || {
                        limiter.pass(1 << 40, &cancel).unwrap();
                        // The next can only pass when this one's debt is paid, which takes another rate.
                        order.lock().unwrap().push(number);
                    })
                };
                until_waiting(&limiter, number + 1);
                waits
            })
            .collect();
        for left in (0..5).rev() {
            // Pays the debt off at once; the next one makes another.
            let mut state = limiter.lock();
            state.bucket.as_mut().unwrap().level = 0.0;
            drop(state);
            limiter.changed.notify_all();
            until_waiting(&limiter, left);
            while order.lock().unwrap().len() != 5 - left {
                std::thread::yield_now();
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn without_a_rate_all_pass_also_those_who_wait() {
        let limiter = Arc::new(RateLimiter::new(NonZeroU64::MIN));
        let cancel = CancelToken::default();
        limiter.pass(1 << 40, &cancel).unwrap();
        let waits = {
            let (limiter, cancel) = (limiter.clone(), cancel.clone());
            std::thread::spawn(move || (0..9).try_for_each(|_| limiter.pass(1 << 40, &cancel)))
        };
        until_waiting(&limiter, 1);
        limiter.set_rate(None);
        waits.join().unwrap().unwrap();
        RateLimiter::unlimited().pass(u64::MAX, &cancel).unwrap();
    }
}
