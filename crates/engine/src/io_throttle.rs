//! Steps back where others read from the same disk: then backups take only a share of its time, with one read at once and pauses between.
//!
//! A priority of the kernel's does not do this: whoever waits for one read at a time leaves the disk idle for a moment after each, in which a
//! long read of somebody less important begins. Others are what a disk's own count of reads shows beyond ours. Readers look at it as
//! they go, so nothing runs while nobody reads. Where a disk cannot be watched nobody steps back.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coffer_blockio::DiskActivity;

use crate::{CancelToken, EngineError};

/// How long reads are counted before it is judged whether they are others'.
const WINDOW: Duration = Duration::from_millis(200);
/// Fewer reads a second do not suffer from ours.
const OTHERS_MIN: f64 = 20.0;
/// So many windows in a row without others end it.
const QUIET_WINDOWS: u32 = 5;
/// How often a waiting thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);
/// The longest pause after one read, whatever it took.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What all operations of a process know of the disks that they read.
#[derive(Debug)]
pub struct IoThrottle {
    share: f64,
    gates: Mutex<BTreeMap<u64, Arc<DiskGate>>>,
}

/// One disk.
#[derive(Debug)]
struct DiskGate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Reads of ours that the disk has done.
    own: u64,
    /// When the window began, with the disk's count and ours.
    window: Option<(Instant, u64, u64)>,
    /// Whether others read too.
    shared: bool,
    quiet_windows: u32,
    /// Whether somebody has the one permit that there is on a shared disk.
    taken: bool,
    free_at: Instant,
}

impl IoThrottle {
    /// Backups take `percent` (1 to 100) of a shared disk's time; with 100 they never step back.
    pub fn new(percent: u8) -> IoThrottle {
        IoThrottle { share: f64::from(percent.clamp(1, 100)) / 100.0, gates: Mutex::default() }
    }

    /// For a volume on these disks.
    pub(crate) fn throttle(&self, mut disks: Vec<Box<dyn DiskActivity>>) -> DiskThrottle {
        // Everybody takes them in the same order, so that nobody waits in a circle.
        disks.sort_unstable_by_key(|disk| disk.id());
        disks.retain(|disk| self.share < 1.0 && disk.reads().is_some());
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // Disks come and go; one that nobody reads is forgotten.
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        let with_lane = |disk: Box<dyn DiskActivity>| {
            (gates.entry(disk.id()).or_insert_with(|| Arc::new(DiskGate::new())).clone(), disk)
        };
        DiskThrottle { share: self.share, disks: disks.into_iter().map(with_lane).collect() }
    }
}

/// The way of one volume's reads.
#[derive(Default)]
pub(crate) struct DiskThrottle {
    share: f64,
    disks: Vec<(Arc<DiskGate>, Box<dyn DiskActivity>)>,
}

/// A read on its way.
pub(crate) struct ReadPermit<'a> {
    throttle: &'a DiskThrottle,
    began: Instant,
    /// Which of the disks it has for itself.
    taken: Vec<bool>,
}

impl DiskThrottle {
    /// Waits until a read may begin. Who has one on its way already (`holding`) never waits, as others may wait for that one.
    pub(crate) fn begin(&self, holding: bool, cancel: &CancelToken) -> Result<ReadPermit<'_>, EngineError> {
        let mut permit =
            ReadPermit { throttle: self, began: Instant::now(), taken: Vec::with_capacity(self.disks.len()) };
        for (gate, disk) in &self.disks {
            let mut state = gate.lock();
            let taken = loop {
                cancel.check()?;
                let now = Instant::now();
                state.look(now, disk.as_ref());
                if !state.shared || holding {
                    break false;
                }
                if !state.taken && now >= state.free_at {
                    state.taken = true;
                    break true;
                }
                let wait =
                    state.free_at.saturating_duration_since(now).clamp(Duration::from_micros(50), LOOK);
                state = gate.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            };
            permit.taken.push(taken);
        }
        permit.began = Instant::now();
        Ok(permit)
    }

    /// Whether a second read ahead of its use would be too much.
    pub(crate) fn is_shared(&self) -> bool {
        self.disks.iter().any(|(gate, _)| gate.lock().shared)
    }
}

impl ReadPermit<'_> {
    /// The read is done; it was of pieces of these lengths, bytes.
    pub(crate) fn done(self, pieces: impl Iterator<Item = u64> + Clone) {
        for (gate, disk) in &self.throttle.disks {
            gate.lock().own += pieces.clone().map(|len| disk.reads_for(len)).sum::<u64>();
        }
    }
}

impl Drop for ReadPermit<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let pause = pause_after(now.saturating_duration_since(self.began), self.throttle.share);
        for ((gate, _), _) in self.throttle.disks.iter().zip(&self.taken).filter(|(_, taken)| **taken) {
            let mut state = gate.lock();
            state.taken = false;
            state.free_at = now + pause;
            drop(state);
            gate.changed.notify_one();
        }
    }
}

impl DiskGate {
    fn new() -> DiskGate {
        let now = Instant::now();
        let state =
            State { own: 0, window: None, shared: false, quiet_windows: 0, taken: false, free_at: now };
        DiskGate { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Judges the window if it is over, and begins the next.
    fn look(&mut self, now: Instant, disk: &dyn DiskActivity) {
        let elapsed = self.window.map(|(began, _, _)| now.saturating_duration_since(began));
        if elapsed.is_some_and(|elapsed| elapsed < WINDOW) {
            return;
        }
        let Some(reads) = disk.reads() else { return };
        // What lies before a pause of ours says nothing of now.
        if let (Some((_, reads_before, own_before)), Some(elapsed)) = (self.window, elapsed)
            && elapsed < 10 * WINDOW
        {
            let own = self.own - own_before;
            let others = reads.saturating_sub(reads_before).saturating_sub(own);
            self.judge(others_read(others, own, elapsed));
        }
        self.window = Some((now, reads, self.own));
    }

    fn judge(&mut self, others_read: bool) {
        self.quiet_windows = if others_read { 0 } else { self.quiet_windows.saturating_add(1) };
        let shared = others_read || (self.shared && self.quiet_windows < QUIET_WINDOWS);
        if shared != self.shared {
            tracing::debug!(shared, "others read from the same disk");
        }
        self.shared = shared;
    }
}

/// Whether that many reads beyond ours are others'. A few are ours that the kernel split, or that were done a moment before they were counted.
fn others_read(others: u64, own: u64, elapsed: Duration) -> bool {
    others as f64 >= OTHERS_MIN * elapsed.as_secs_f64() && others * 2 >= own
}

/// How long the disk is left alone after a read, so that ours take `share` of its time.
fn pause_after(read: Duration, share: f64) -> Duration {
    read.mul_f64((1.0 / share.clamp(0.01, 1.0)) - 1.0).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A disk whose count somebody else drives too.
    #[derive(Clone, Default)]
    struct Fake(Arc<AtomicU64>);

    impl DiskActivity for Fake {
        fn id(&self) -> u64 {
            7
        }

        fn reads(&self) -> Option<u64> {
            Some(self.0.load(Ordering::SeqCst))
        }

        fn reads_for(&self, len_bytes: u64) -> u64 {
            len_bytes.div_ceil(1 << 20)
        }
    }

    fn at(began: Instant, windows: u32) -> Instant {
        began + windows * WINDOW
    }

    #[test]
    fn others_are_what_the_disk_did_beyond_ours() {
        let second = Duration::from_secs(1);
        assert!(others_read(20, 0, second) && others_read(5_000, 500, second));
        assert!(!others_read(19, 0, second), "a log that is written does not suffer");
        assert!(!others_read(200, 500, second), "reads that the kernel split");
    }

    #[test]
    fn a_disk_is_shared_at_once_and_ours_again_after_a_while() {
        let (disk, began) = (Fake::default(), Instant::now());
        let mut state = DiskGate::new().state.into_inner().unwrap();
        state.look(began, &disk);
        // Ours alone, as many as it likes.
        disk.0.fetch_add(300, Ordering::SeqCst);
        state.own += 300;
        state.look(at(began, 1), &disk);
        assert!(!state.shared);
        disk.0.fetch_add(1_000, Ordering::SeqCst);
        state.look(at(began, 2), &disk);
        assert!(state.shared);
        for window in 3..7 {
            state.look(at(began, window), &disk);
            assert!(state.shared, "{window}");
        }
        state.look(at(began, 7), &disk);
        assert!(!state.shared);
        // After a long pause nothing is judged by what happened in it.
        disk.0.fetch_add(1_000_000, Ordering::SeqCst);
        state.look(at(began, 100), &disk);
        assert!(!state.shared);
    }

    #[test]
    fn on_a_shared_disk_one_reads_and_then_pauses() {
        assert_eq!(pause_after(Duration::from_millis(3), 0.25), Duration::from_millis(9));
        assert_eq!(pause_after(Duration::from_secs(60), 0.01), PAUSE_MAX);
        let (io_throttle, cancel) = (IoThrottle::new(50), CancelToken::default());
        let throttle = io_throttle.throttle(vec![Box::new(Fake::default())]);
        throttle.disks[0].0.lock().shared = true;
        assert!(throttle.is_shared());
        let first = throttle.begin(false, &cancel).unwrap();
        assert!(throttle.disks[0].0.lock().taken);
        // Who holds one already is not made to wait for itself.
        throttle.begin(true, &cancel).unwrap().done([1].into_iter());
        assert!(throttle.disks[0].0.lock().taken);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| throttle.begin(false, &cancel).map(drop));
            first.done([1 << 20, 1].into_iter());
            second.join().unwrap().unwrap();
        });
        let state = throttle.disks[0].0.lock();
        assert_eq!((state.own, state.taken), (3, false));
    }

    #[test]
    fn a_cancel_ends_the_wait_for_a_turn() {
        let (io_throttle, cancel) = (IoThrottle::new(1), CancelToken::default());
        let throttle = io_throttle.throttle(vec![Box::new(Fake::default())]);
        throttle.disks[0].0.lock().shared = true;
        let _first = throttle.begin(false, &cancel).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| throttle.begin(false, &cancel).map(drop));
            cancel.cancel();
            assert!(matches!(second.join().unwrap(), Err(EngineError::Cancelled)));
        });
    }

    #[test]
    fn with_the_whole_share_nobody_watches() {
        assert!(IoThrottle::new(100).throttle(vec![Box::new(Fake::default())]).disks.is_empty());
    }
}
