//! One thread that lets operations begin when there is memory for them, ends those whose time is over, and writes progress down now and then.
//!
//! It sleeps without an end while nothing waits or runs, but for one look when the last operation is over for good.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coffer_engine::{Resources, one_line};
use coffer_format::Id;

use super::budget::Leased;
use super::job::Job;
use super::record::{Record, State};
use super::registry::Shared;
use super::runner;
use super::stall::{Mark, StallWatch};
use crate::errors::{AgentError, Stop};

/// How often progress goes to the journal while something runs.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// How often what the journal could not take is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long after the last operation memory is given back: code that leaves it is read from the disk again, which operations that follow
/// close on each other should not pay for.
const QUIET: Duration = Duration::from_secs(30);

/// An operation that begins.
struct Admitted {
    record: Record,
    job: Job,
    resources: Resources,
}

pub(super) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>, AgentError> {
    let thread = std::thread::Builder::new().name("operations".into());
    let run = move || {
        let stalls = StallWatch::new(shared.settings.stall_after);
        let checkpoint = Instant::now();
        Dispatcher { shared, running: Vec::new(), checkpoint, memory_due: None, stalls }.run()
    };
    thread.spawn(run).map_err(|error| AgentError::Full(format!("no thread can be started: {error}")))
}

struct Dispatcher {
    shared: Arc<Shared>,
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
        while self.shared.bell.wait(wait) {
            while let Some(admitted) = self.admit() {
                self.begin(admitted);
            }
            self.end_overdue();
            self.end_stalled();
            self.write_progress();
            self.join_ended();
            self.give_back_memory();
            wait = self.next_look();
        }
        let all_ended = self.shared.is_idle();
        for thread in self.running.drain(..) {
            // Whoever has told its end is gone in a moment, and lets go of the journal then. What hangs in the kernel is left behind.
            if all_ended || thread.is_finished() {
                let _panicked = thread.join();
            }
        }
    }

    /// The next operation that may run, with its memory.
    fn admit(&self) -> Option<Admitted> {
        let mut inner = self.shared.lock();
        if inner.draining {
            return None;
        }
        let turn = inner.queue.next()?;
        let id = turn.id;
        let leased = self.shared.ports.budget.lease(inner.queue.others_ready(), turn.places_max);
        let Leased { resources, places } = match leased {
            Ok(leased) => leased?,
            Err(error) => {
                tracing::error!(error = one_line(&error), "reserve memory for an operation; it waits on");
                return None;
            }
        };
        inner.queue.start(id, places);
        let entry = inner.entries.get_mut(&id)?;
        let job = entry.live.as_mut()?.job.take()?;
        entry.record.state = State::Running;
        entry.record.started = Some(self.shared.ports.clock.now());
        entry.record.use_point();
        entry.record.revision += 1;
        Some(Admitted { record: entry.present(), job, resources })
    }

    fn begin(&mut self, admitted: Admitted) {
        let Admitted { record, job, resources } = admitted;
        let (shared, id) = (self.shared.clone(), record.id);
        shared.tell_waiting();
        let thread = std::thread::Builder::new().name(format!("op-{}", record.kind.as_str()));
        let work = move || {
            (shared.ports.at_thread_start)();
            runner::run(&shared, &record, job, resources);
        };
        match thread.spawn(work) {
            Ok(thread) => self.running.push(thread),
            Err(error) => {
                let error = AgentError::Full(format!("no thread can be started: {error}"));
                self.shared.conclude(id, Err(error), None);
            }
        }
    }

    fn end_overdue(&self) {
        let now = Instant::now();
        let overdue: Vec<Id> = {
            let inner = self.shared.lock();
            let live =
                inner.entries.values().filter_map(|entry| Some((entry.record.id, entry.live.as_ref()?)));
            live.filter(|(_, live)| live.deadline <= now && live.control.reason().is_none())
                .map(|(id, _)| id)
                .collect()
        };
        overdue.into_iter().for_each(|id| self.shared.stop(id, Stop::Deadline));
    }

    /// Ends what has not moved for too long: its place is needed.
    fn end_stalled(&mut self) {
        let stalled = self.stalls.look(Instant::now(), self.shared.marks());
        for id in stalled {
            tracing::warn!(operation = %id, after_s = self.shared.settings.stall_after.as_secs(), "operation stands still");
            self.shared.stop(id, Stop::Stalled);
        }
    }

    fn write_progress(&mut self) {
        let due = if self.running.is_empty() { RETRY } else { CHECKPOINT };
        if self.checkpoint.elapsed() < due {
            return;
        }
        self.checkpoint = Instant::now();
        for record in self.shared.unwritten() {
            let saved = self.shared.journal.save(&record);
            if let Err(error) = &saved {
                tracing::warn!(operation = %record.id, error = one_line(error), "write progress down");
            }
            if let Ok(stored) = saved
                && record.state.has_ended()
            {
                self.shared.lighten(&record, stored);
            }
        }
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
        let inner = self.shared.lock();
        let now = Instant::now();
        let live = inner.entries.values().filter_map(|entry| entry.live.as_ref());
        let deadlines = live.filter(|live| live.control.reason().is_none()).map(|live| live.deadline);
        let deadline = deadlines.min().map(|deadline| deadline.saturating_duration_since(now));
        let unsaved = inner.entries.values().any(|entry| entry.unsaved).then_some(RETRY);
        let checkpoint = (!self.running.is_empty()).then_some(CHECKPOINT);
        let memory = self.memory_due.map(|due| due.saturating_duration_since(now));
        let stalls = (!self.running.is_empty()).then(|| self.stalls.pause());
        [deadline, unsaved, checkpoint, memory, stalls].into_iter().flatten().min()
    }
}

impl Shared {
    /// How far everything is that runs and was not told to stop.
    fn marks(&self) -> Vec<(Id, Mark)> {
        let inner = self.lock();
        let running = inner.entries.values().filter(|entry| entry.record.state == State::Running);
        let mark = |entry: &super::registry::Entry| {
            let live = entry.live.as_ref().filter(|live| !live.ending && live.control.reason().is_none())?;
            let (progress, requests) = (live.progress.snapshot(), live.progress.requests());
            Some((entry.record.id, Mark { progress, requests, log_sequence: entry.events.newest() }))
        };
        running.filter_map(mark).collect()
    }

    /// States that the journal lacks: progress of what runs, and ends that could not be written.
    fn unwritten(&self) -> Vec<Record> {
        let mut inner = self.lock();
        let mut records = Vec::new();
        for entry in inner.entries.values_mut() {
            let runs =
                entry.live.as_ref().is_some_and(|live| !live.ending) && entry.record.state == State::Running;
            let present = entry.present();
            let moved = present.progress != entry.record.progress
                || present.log_sequence != entry.record.log_sequence;
            if runs && moved {
                entry.record.progress.clone_from(&present.progress);
                entry.record.log_sequence = present.log_sequence;
                entry.record.revision += 1;
                records.push(entry.present());
            } else if entry.unsaved {
                records.push(entry.record.clone());
            }
        }
        records
    }

    /// The journal has this state now.
    fn lighten(&self, saved: &Record, stored: u64) {
        let mut inner = self.lock();
        if let Some(entry) =
            inner.entries.get_mut(&saved.id).filter(|entry| entry.record.revision == saved.revision)
        {
            entry.unsaved = false;
            entry.stored = stored;
            entry.record = entry.record.light();
        }
    }
}
