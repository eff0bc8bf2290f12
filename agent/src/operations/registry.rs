//! All operations in memory: what is known of each, who sees it, and what is forgotten when.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coffer_format::{Id, Label};
use coffer_proto::checked::{ListOperations, OperationState};

use super::control::Control;
use super::events::{Events, Level};
use super::history::{self, Ended, Group};
use super::job::Job;
use super::journal::Journal;
use super::live::LiveProgress;
use super::ports::{Ports, Settings};
use super::queue::{self, Queue};
use super::record::{Kind, Record, State};
use super::view::{Counts, PAGE_BYTES_MAX, Page, View, Viewer};
use crate::errors::{AgentError, Stop};
use crate::requests::Permit;

/// Ended operations of a group whose log lines are kept.
const LOGS_MAX: usize = 16;
/// Log lines that may have been told since they were last counted in the journal, with plenty to spare.
const LOG_SEQUENCE_STEP: u64 = 1_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// What all threads of the registry share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) ports: Ports,
    pub(super) journal: Journal,
    /// Held by whoever starts something, so that one key is looked up and taken at once. Locked before `inner`, never inside.
    pub(super) starting: Mutex<()>,
    inner: Mutex<Inner>,
    /// Somebody ended.
    ended: Condvar,
    /// Wakes the dispatcher.
    pub(super) bell: Bell,
}

/// What the lock protects. No disk is touched under it.
pub(super) struct Inner {
    pub(super) entries: BTreeMap<Id, Entry>,
    pub(super) keys: HashMap<(Label, String), Id>,
    pub(super) queue: Queue,
    pub(super) draining: bool,
}

/// One operation.
pub(super) struct Entry {
    /// Of an ended operation only what is small, unless the journal could not take it.
    pub(super) record: Record,
    pub(super) events: Arc<Events>,
    pub(super) live: Option<Live>,
    /// Whether the journal lacks this state.
    pub(super) unsaved: bool,
    /// Length of its file in the journal, as it was last written, bytes.
    pub(super) stored: u64,
}

/// What only an operation has that waits or runs.
pub(super) struct Live {
    pub(super) control: Arc<Control>,
    pub(super) progress: Arc<LiveProgress>,
    /// Taken when it begins to run.
    pub(super) job: Option<Job>,
    pub(super) deadline: Instant,
    /// What it takes of the memory of requests.
    pub(super) _permit: Permit,
    /// Its end is being written down.
    pub(super) ending: bool,
}

impl Entry {
    /// Without anything that works.
    pub(super) fn at_rest(record: Record) -> Entry {
        let events = Events::after(record.log_sequence);
        Entry { record, events, live: None, unsaved: false, stored: 0 }
    }

    /// The record with its present progress.
    pub(super) fn present(&self) -> Record {
        let mut record = self.record.clone();
        if let Some(live) = &self.live {
            record.progress = live.progress.snapshot();
        }
        record.log_sequence = self.events.newest();
        record
    }
}

impl Shared {
    pub(super) fn open(settings: Settings, ports: Ports) -> Result<Arc<Shared>, AgentError> {
        let (journal, records) = Journal::open(&settings.state_dir, ports.files.clone())?;
        let mut inner = Inner {
            entries: BTreeMap::new(),
            keys: HashMap::new(),
            queue: Queue::new(queue::Limits {
                waiting_max: settings.queued_max,
                running_max: settings.operations_max,
                places: ports.budget.places(),
            }),
            draining: false,
        };
        for (record, stored) in records {
            let entry = Entry { stored, ..take_up(&journal, &ports, record) };
            inner.keys.insert((entry.record.team.clone(), entry.record.key.clone()), entry.record.id);
            inner.entries.insert(entry.record.id, entry);
        }
        let shared = Shared {
            settings,
            ports,
            journal,
            starting: Mutex::default(),
            inner: Mutex::new(inner),
            ended: Condvar::new(),
            bell: Bell::default(),
        };
        shared.forget_surplus(None);
        Ok(Arc::new(shared))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One operation with its result.
    pub(super) fn view(&self, viewer: &Viewer, id: Id) -> Result<View, AgentError> {
        let (view, is_whole) = {
            let inner = self.lock();
            let entry = inner.entry(viewer, id)?;
            let view = View { record: entry.present(), waiting_for: inner.waiting_for(id) };
            (view, entry.live.is_some() || entry.unsaved)
        };
        if is_whole {
            return Ok(view);
        }
        match self.journal.load(id) {
            Ok(record) => Ok(View { record, ..view }),
            // It was started again, or forgotten, in between.
            Err(_) if !self.is_at_rest(id) => self.lock().entry(viewer, id).map(|_| view),
            Err(error) => Err(error),
        }
    }

    pub(super) fn bytes_to_tell(&self, id: Id) -> u64 {
        let inner = self.lock();
        let Some(entry) = inner.entries.get(&id) else { return 0 };
        let known = history::memory_bytes(&entry.record) + entry.events.bytes();
        let stored = if entry.live.is_none() { entry.stored } else { 0 };
        // Read, taken apart, and made a message.
        2 * known + 3 * stored
    }

    fn is_at_rest(&self, id: Id) -> bool {
        self.lock().entries.get(&id).is_some_and(|entry| entry.live.is_none())
    }

    pub(super) fn list(&self, viewer: &Viewer, wanted: &ListOperations) -> Page {
        let inner = self.lock();
        let mut waiting = inner.queue.waits_for();
        let matches = |entry: &Entry| {
            let record = &entry.record;
            let state = wanted.state.is_none_or(|state| OperationState::from(record.state) == state);
            let key = wanted.idempotency_key.as_ref().is_none_or(|key| key.as_ref() == record.key);
            viewer.sees(&record.team) && state && key && wanted.before.is_none_or(|before| record.id < before)
        };
        let mut found = inner.entries.values().rev().filter(|entry| matches(entry));
        let mut views = Vec::new();
        let mut bytes = 0;
        for entry in found.by_ref().take(wanted.page_size) {
            let waiting_for = waiting.remove(&entry.record.id).unwrap_or_default();
            bytes += history::memory_bytes(&entry.record);
            views.push(View { record: entry.present().listed(), waiting_for });
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        let more = found.next().is_some();
        let next = views.last().filter(|_| more).map(|view| view.record.id);
        Page { views, next }
    }

    pub(super) fn events(&self, viewer: &Viewer, id: Id) -> Result<Arc<Events>, AgentError> {
        self.lock().entry(viewer, id).map(|entry| entry.events.clone())
    }

    /// Refuses work from now on; returns what waits.
    pub(super) fn close(&self) -> Vec<Id> {
        // Whoever is being accepted is in the queue, and not between two looks.
        let _none_starts = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut inner = self.lock();
        inner.draining = true;
        inner.ids_in(State::Queued)
    }

    pub(super) fn running(&self) -> Vec<Id> {
        self.lock().ids_in(State::Running)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    pub(super) fn counts(&self) -> Counts {
        let inner = self.lock();
        let running = |kind| {
            let runs = inner.entries.values().filter(|entry| entry.record.state == State::Running);
            runs.filter(|entry| entry.record.kind == kind).count()
        };
        Counts {
            waiting: inner.queue.waiting(),
            backups: running(Kind::Backup),
            restores: running(Kind::Restore),
            verifications: running(Kind::Verify),
        }
    }

    /// How many of these were interrupted.
    pub(super) fn interrupted_of(&self, ids: &[Id]) -> usize {
        let inner = self.lock();
        let states = ids.iter().filter_map(|id| inner.entries.get(id)).map(|entry| entry.record.state);
        states.filter(|state| *state == State::Interrupted || !state.has_ended()).count()
    }

    /// Asks an operation to stop. One that waits has ended when this returns; one that has ended stays as it is.
    pub(super) fn stop(&self, id: Id, reason: Stop) {
        let is_waiting = {
            let mut inner = self.lock();
            let Some(entry) = inner.entries.get_mut(&id) else { return };
            let Some(live) = &entry.live else { return };
            live.control.stop(reason);
            let is_waiting = entry.record.state == State::Queued && !live.ending;
            if is_waiting {
                // From here on nobody begins it.
                inner.queue.remove(id);
            }
            is_waiting
        };
        if is_waiting {
            self.conclude(id, Err(AgentError::Stopped(reason)), None);
        }
    }

    /// Whether nothing waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().entries.values().all(|entry| entry.live.is_none())
    }

    /// Waits until nothing runs or waits, or the time is over.
    pub(super) fn wait_idle(&self, until: Instant) {
        let mut inner = self.lock();
        while inner.entries.values().any(|entry| entry.live.is_some()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = self.ended.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// An operation ended: everybody who waits for something like that hears of it.
    pub(super) fn tell_ended(&self) {
        self.tell_waiting();
        self.ended.notify_all();
        self.bell.ring();
    }

    /// What those that wait wait for may have changed.
    pub(super) fn tell_waiting(&self) {
        let inner = self.lock();
        let waiting = inner.entries.values().filter(|entry| entry.record.state == State::Queued);
        waiting.for_each(|entry| entry.events.ring());
    }

    /// Forgets ended operations beyond the limits of number, age and size, and the logs of all but the newest. `newcomer` is the group of the
    /// one that has just ended: nobody else makes room for it.
    pub(super) fn forget_surplus(&self, newcomer: Option<&Group>) {
        let now = self.ports.clock.now().unix_ms();
        let limits = history::Limits {
            count_max: self.settings.history_max,
            oldest_ms: now - i64::from(self.settings.history_days) * DAY_MS,
            memory: self.settings.history_bytes,
            disk: self.settings.journal_bytes,
        };
        let forgotten: Vec<Id> = {
            let mut inner = self.lock();
            inner.forget_old_logs(newcomer);
            let ended = inner.at_rest();
            let surplus = history::surplus(ended, limits, newcomer);
            surplus.into_iter().filter(|id| inner.forget(*id)).collect()
        };
        for id in forgotten {
            if let Err(error) = self.journal.remove(id) {
                tracing::warn!(operation = %id, error = coffer_engine::one_line(&error), "forget operation");
            }
        }
    }
}

impl Inner {
    /// An operation, if it is there and may be seen.
    pub(super) fn entry(&self, viewer: &Viewer, id: Id) -> Result<&Entry, AgentError> {
        let found = self.entries.get(&id).filter(|entry| viewer.sees(&entry.record.team));
        found.ok_or_else(|| {
            AgentError::NotFound(format!("there is no operation {id}, or it is not kept any more"))
        })
    }

    pub(super) fn waiting_for(&self, id: Id) -> String {
        self.queue.waits_for().remove(&id).unwrap_or_default()
    }

    fn ids_in(&self, state: State) -> Vec<Id> {
        let found = self.entries.values().filter(|entry| entry.record.state == state);
        found.map(|entry| entry.record.id).collect()
    }

    fn ended(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.live.is_none() && entry.record.state.has_ended())
    }

    /// All ended operations, with what they take.
    fn at_rest(&self) -> Vec<Ended> {
        let ended = |entry: &Entry| Ended {
            id: entry.record.id,
            ended_ms: entry.record.ended.map_or(0, |time| time.unix_ms()),
            group: Group::of(&entry.record),
            memory: history::memory_bytes(&entry.record) + entry.events.bytes(),
            disk: entry.stored,
        };
        self.ended().map(ended).collect()
    }

    /// Keeps the log lines of the newest ended operations of a group.
    fn forget_old_logs(&self, group: Option<&Group>) {
        let Some(group) = group else { return };
        let mut own: Vec<&Entry> = self.ended().filter(|entry| Group::of(&entry.record) == *group).collect();
        own.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.record.ended.map(|time| time.unix_ms())));
        own.iter().skip(LOGS_MAX).for_each(|entry| entry.events.forget_lines());
    }

    fn forget(&mut self, id: Id) -> bool {
        let Some(entry) = self.entries.remove(&id) else { return false };
        let name = (entry.record.team, entry.record.key);
        if self.keys.get(&name) == Some(&id) {
            self.keys.remove(&name);
        }
        true
    }
}

/// An operation of an agent that is gone. What was under way then was interrupted.
fn take_up(journal: &Journal, ports: &Ports, mut record: Record) -> Entry {
    // Lines that were told and not counted must not have their numbers used again.
    record.log_sequence = (record.log_sequence / LOG_SEQUENCE_STEP + 1) * LOG_SEQUENCE_STEP;
    if record.state.has_ended() {
        return Entry::at_rest(record.light());
    }
    let stopped = AgentError::Stopped(Stop::Shutdown).failure();
    record.state = State::Interrupted;
    record.ended = Some(ports.clock.now());
    record.revision += 1;
    let text = format!("interrupted: {}", stopped.message);
    record.failure = Some(stopped);
    let saved = journal.save(&record);
    if let Err(error) = &saved {
        tracing::warn!(operation = %record.id, error = coffer_engine::one_line(error), "write down that the operation was interrupted");
    }
    tracing::info!(operation = %record.id, kind = record.kind.as_str(), team = %record.team, "operation was interrupted by the end of the agent before");
    let unsaved = saved.is_err();
    let entry = Entry { unsaved, ..Entry::at_rest(if unsaved { record } else { record.light() }) };
    entry.events.log(ports.clock.now(), Level::Warn, text);
    entry
}

/// Wakes one thread, also if it is rung before that thread waits.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Default)]
struct BellState {
    rung: bool,
    hung_up: bool,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.state().rung = true;
        self.rung.notify_all();
    }

    /// Ends the thread that waits.
    pub(super) fn hang_up(&self) {
        self.state().hung_up = true;
        self.rung.notify_all();
    }

    /// Waits for a ring, or so long; false once it was hung up.
    pub(super) fn wait(&self, at_most: Option<Duration>) -> bool {
        let mut state = self.state();
        let until = at_most.map(|wait| Instant::now() + wait);
        while !state.rung && !state.hung_up {
            let Some(until) = until else {
                state = self.rung.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.rung.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.rung = false;
        !state.hung_up
    }

    fn state(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
