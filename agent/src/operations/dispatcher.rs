//! One thread that lets operations begin when there is memory for them, ends those whose time is over, and writes progress down now and then.
//!
//! It sleeps without an end while nothing waits or runs, but for one look when the last operation is over for good.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::registry::{Admitted, Registry};
use super::runner;
use super::stall::StallWatch;
use crate::errors::{AgentError, Stop};

/// How often progress goes to the journal while something runs.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// How often what the journal could not take is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long after the last operation memory is given back: code that leaves it is read from the disk again, which operations that follow
/// close on each other should not pay for.
const QUIET: Duration = Duration::from_secs(30);

pub(super) fn spawn(registry: Arc<Registry>) -> Result<JoinHandle<()>, AgentError> {
    let thread = std::thread::Builder::new().name("operations".into());
    let run = move || {
        let stalls = StallWatch::new(registry.settings.stall_after);
        let checkpoint = Instant::now();
        Dispatcher { registry, running: Vec::new(), checkpoint, memory_due: None, stalls }.run()
    };
    thread.spawn(run).map_err(|error| AgentError::Full(format!("no thread can be started: {error}")))
}

struct Dispatcher {
    registry: Arc<Registry>,
    running: Vec<JoinHandle<()>>,
    /// When progress was last written down.
    checkpoint: Instant,
    /// When memory is given back, if nothing begins before.
    memory_due: Option<Instant>,
    stalls: StallWatch,
}

impl Dispatcher {
    fn run(mut self) {
        let mut wait = None;
        while self.registry.bell.wait(wait) {
            while let Some(admitted) = self.registry.admit() {
                self.begin(admitted);
            }
            self.end_overdue();
            self.end_stalled();
            self.write_progress();
            self.join_ended();
            self.give_back_memory();
            wait = self.next_look();
        }
        let all_ended = self.registry.is_idle();
        for thread in self.running.drain(..) {
            // Whoever has told its end is gone in a moment, and lets go of the journal then. What hangs in the kernel is left behind.
            if all_ended || thread.is_finished() {
                let _panicked = thread.join();
            }
        }
    }

    fn begin(&mut self, admitted: Admitted) {
        let Admitted { record, job, resources } = admitted;
        let (registry, id) = (self.registry.clone(), record.id);
        registry.tell_waiting();
        let thread = std::thread::Builder::new().name(format!("op-{}", record.kind.as_str()));
        let work = move || {
            (registry.ports.at_thread_start)();
            runner::run(&registry, &record, job, resources);
        };
        match thread.spawn(work) {
            Ok(thread) => self.running.push(thread),
            Err(error) => {
                let error = AgentError::Full(format!("no thread can be started: {error}"));
                self.registry.conclude(id, Err(error), None);
            }
        }
    }

    fn end_overdue(&self) {
        let overdue = self.registry.read().overdue(Instant::now());
        overdue.into_iter().for_each(|id| self.registry.stop(id, Stop::Deadline));
    }

    /// Ends what has not moved for too long: its place is needed.
    fn end_stalled(&mut self) {
        let stalled = self.stalls.look(Instant::now(), self.registry.read().marks());
        for id in stalled {
            tracing::warn!(operation = %id, after_s = self.registry.settings.stall_after.as_secs(), "operation stands still");
            self.registry.stop(id, Stop::Stalled);
        }
    }

    fn write_progress(&mut self) {
        let due = if self.running.is_empty() { RETRY } else { CHECKPOINT };
        if self.checkpoint.elapsed() < due {
            return;
        }
        self.checkpoint = Instant::now();
        self.registry.write_progress();
    }

    fn join_ended(&mut self) {
        let had_work = !self.running.is_empty();
        for thread in self.running.extract_if(.., |thread| thread.is_finished()) {
            // A panic of the work was caught and told; nothing is left to do.
            let _panicked = thread.join();
        }
        if !self.running.is_empty() {
            self.memory_due = None;
        } else if had_work {
            self.memory_due = Some(Instant::now() + QUIET);
        }
    }

    fn give_back_memory(&mut self) {
        if self.memory_due.take_if(|due| *due <= Instant::now()).is_some() {
            coffer_blockio::give_back_memory();
        }
    }

    /// When there is something to do without being woken.
    fn next_look(&self) -> Option<Duration> {
        let (deadline, has_unsaved) = {
            let table = self.registry.read();
            (table.next_deadline(), table.has_unsaved())
        };
        let now = Instant::now();
        let deadline = deadline.map(|deadline| deadline.saturating_duration_since(now));
        let unsaved = has_unsaved.then_some(RETRY);
        let checkpoint = (!self.running.is_empty()).then_some(CHECKPOINT);
        let memory = self.memory_due.map(|due| due.saturating_duration_since(now));
        let stalls = (!self.running.is_empty()).then(|| self.stalls.pause());
        [deadline, unsaved, checkpoint, memory, stalls].into_iter().flatten().min()
    }
}
