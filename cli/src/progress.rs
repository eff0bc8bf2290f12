//! Progress on standard error: a bar on a terminal, otherwise one line every 10 s. It never slows the work down.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coffer_engine::backup::Progress;
use coffer_terminal::{clean, remark, remark_exactly};
use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use serde_json::json;

use crate::human;
use crate::output::{Output, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(10);

/// The bar that is drawn now, so that log lines can step around it.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Runs `print` with the bar out of the way.
pub(crate) fn suspend<T>(print: impl FnOnce() -> T) -> T {
    let bar = locked(&BAR).clone();
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// Shows progress until it is dropped.
pub(crate) struct Reporter {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    verb: &'static str,
    style: ProgressStyle,
    started: Instant,
    total: AtomicU64,
    done: AtomicU64,
    moved: AtomicU64,
    resumed: AtomicU64,
    volume: Mutex<String>,
    bar: Option<ProgressBar>,
    over: AtomicBool,
    sleeping: Mutex<()>,
    woken: Condvar,
}

impl Reporter {
    /// Begins to show the progress of `verb`.
    pub(crate) fn start(output: &Output, verb: &'static str) -> Reporter {
        let style = output.progress_style();
        let bar = (style == ProgressStyle::Bar).then(|| draw(verb));
        locked(&BAR).clone_from(&bar);
        let shared = Arc::new(Shared {
            verb,
            style,
            started: Instant::now(),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            volume: Mutex::default(),
            bar,
            over: AtomicBool::new(false),
            sleeping: Mutex::new(()),
            woken: Condvar::new(),
        });
        let has_lines = matches!(style, ProgressStyle::Lines | ProgressStyle::JsonLines);
        let ticker = has_lines.then(|| tick(&shared)).flatten();
        Reporter { shared, ticker }
    }

    /// Shows the progress of `verb` while the coordinator has agents do the `work`.
    pub(crate) fn at_agents<T>(
        output: &Output,
        verb: &'static str,
        work: impl FnOnce(Arc<dyn coffer_coordinator::Progress>) -> T,
    ) -> T {
        let reporter = Reporter::start(output, verb);
        work(reporter.shared.clone())
    }

    /// What the engine tells.
    pub(crate) fn progress(&self) -> Arc<dyn Progress> {
        self.shared.clone()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        drop(locked(&self.shared.sleeping));
        self.shared.woken.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // A panic of the ticker was printed; progress is not worth another.
            drop(ticker.join());
        }
        if let Some(bar) = &self.shared.bar {
            bar.finish_and_clear();
            locked(&BAR).take();
        }
    }
}

/// Work at agents tells where it stands instead of how far it got.
impl coffer_coordinator::Progress for Shared {
    fn show(&self, standing: coffer_coordinator::Standing) {
        self.total.store(standing.total_bytes, Ordering::Relaxed);
        self.done.store(standing.done_bytes, Ordering::Relaxed);
        self.moved.store(standing.moved_bytes, Ordering::Relaxed);
        self.resumed.store(standing.resumed_bytes, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_length(standing.total_bytes);
            bar.set_position(standing.done_bytes);
            bar.set_message(clean(&standing.doing).into_owned());
        }
        *locked(&self.volume) = standing.doing;
    }
}

impl Progress for Shared {
    fn volume(&self, volume: &str, total_bytes: u64) {
        let total = self.total.fetch_add(total_bytes, Ordering::Relaxed) + total_bytes;
        volume.clone_into(&mut locked(&self.volume));
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_message(clean(volume).into_owned());
        }
    }

    fn advance(&self, done_bytes: u64, moved_bytes: u64) {
        self.done.fetch_add(done_bytes, Ordering::Relaxed);
        self.moved.fetch_add(moved_bytes, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(done_bytes);
        }
    }

    fn resumed(&self, stored_bytes: u64) {
        self.resumed.fetch_add(stored_bytes, Ordering::Relaxed);
    }
}

impl Shared {
    /// One line about now.
    fn tell(&self) {
        match self.style {
            ProgressStyle::JsonLines => remark_exactly(self.line()),
            _ => remark(self.line()),
        }
    }

    fn line(&self) -> String {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let moved = self.moved.load(Ordering::Relaxed);
        let resumed = self.resumed.load(Ordering::Relaxed);
        let seconds = self.started.elapsed().as_secs();
        let volume = locked(&self.volume).clone();
        if self.style == ProgressStyle::JsonLines {
            let fields = json!({ "message": "progress", "operation": self.verb, "volume": volume, "done_bytes": done,
                "total_bytes": total, "moved_bytes": moved, "resumed_bytes": resumed, "seconds": seconds });
            let timestamp = jiff::Timestamp::now().to_string();
            return json!({ "timestamp": timestamp, "level": "INFO", "fields": fields, "target": "coffer" })
                .to_string();
        }
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
        let (done, total, moved) = (human::size(done), human::size(total), human::size(moved));
        let resumed =
            if resumed > 0 { format!("{} taken over, ", human::size(resumed)) } else { String::new() };
        format!(
            "{}: volume {volume}, {done} of {total} ({percent} %), {moved} moved, {resumed}{seconds} s",
            self.verb
        )
    }
}

fn draw(verb: &'static str) -> ProgressBar {
    let template = "{prefix} {msg} [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    let style = BarStyle::with_template(template).unwrap_or_else(|_| BarStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_prefix(verb);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Starts the thread that prints lines; without a thread there are no lines, and the work goes on.
fn tick(shared: &Arc<Shared>) -> Option<JoinHandle<()>> {
    let shared = shared.clone();
    let print = move || {
        let mut sleeping = locked(&shared.sleeping);
        while !shared.over.load(Ordering::Acquire) {
            let (guard, wait) =
                shared.woken.wait_timeout(sleeping, LINE_EVERY).unwrap_or_else(PoisonError::into_inner);
            sleeping = guard;
            if wait.timed_out() && !shared.over.load(Ordering::Acquire) {
                shared.tell();
            }
        }
    };
    std::thread::Builder::new().name("progress".into()).spawn(print).ok()
}

/// No holder leaves these values half written, so a panic of another thread does not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(style: ProgressStyle) -> Shared {
        Shared {
            verb: "backup",
            style,
            started: Instant::now(),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            volume: Mutex::default(),
            bar: None,
            over: AtomicBool::new(false),
            sleeping: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    #[test]
    fn lines_tell_volume_and_share_also_before_anything_is_known() {
        let progress = shared(ProgressStyle::Lines);
        assert!(progress.line().contains("0 B of 0 B (0 %)"), "{}", progress.line());
        progress.volume("vdb", 4 << 20);
        progress.advance(1 << 20, 100);
        assert!(
            progress.line().starts_with("backup: volume vdb, 1.0 MiB of 4.0 MiB (25 %), 100 B moved, 0 s")
        );
        progress.resumed(1 << 20);
        assert!(progress.line().ends_with("100 B moved, 1.0 MiB taken over, 0 s"), "{}", progress.line());
    }

    #[test]
    fn work_at_agents_shows_where_it_stands_now() {
        use coffer_coordinator::{Progress, Standing};
        let progress = shared(ProgressStyle::Lines);
        let standing = |done_bytes| Standing {
            doing: "vdb on n".into(),
            total_bytes: 1000,
            done_bytes,
            ..Standing::default()
        };
        progress.show(standing(900));
        progress.show(standing(500));
        assert!(progress.line().contains("volume vdb on n, 500 B of 1000 B (50 %)"), "{}", progress.line());
    }

    #[test]
    fn json_lines_are_json() {
        let progress = shared(ProgressStyle::JsonLines);
        progress.volume("vdb", 10);
        let line: serde_json::Value = serde_json::from_str(&progress.line()).unwrap();
        assert_eq!(line["fields"]["total_bytes"], 10);
    }
}
