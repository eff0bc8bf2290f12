//! All operations of the agent: what is seen of each, and every step from accepted to forgotten, in the journal first and then told.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use coffer_engine::{Environment, Resources, one_line};
use coffer_format::Id;
use coffer_proto::checked::{ListOperations, OperationState};

use super::bell::Bell;
use super::budget::Leased;
use super::control::Control;
use super::ending::end_text;
use super::entry::Entry;
use super::events::{Events, Level};
use super::history::{self, Group};
use super::job::Job;
use super::journal::Journal;
use super::live::LiveProgress;
use super::ports::{Ports, Settings};
use super::queue::{self, Item};
use super::record::{Kind, Outcome, Record, State};
use super::table::Table;
use super::take_up::take_up;
use super::view::{Counts, PAGE_BYTES_MAX, Page, View, Viewer};
use crate::errors::{AgentError, Stop};

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// An operation that begins.
pub(super) struct Admitted {
    pub(super) record: Record,
    pub(super) job: Job,
    pub(super) resources: Resources,
}

/// All operations; their only owner.
pub(super) struct Registry {
    pub(super) settings: Settings,
    pub(super) ports: Ports,
    pub(super) journal: Journal,
    /// Held by whoever starts something, so that one key is looked up and taken at once. Locked before `table`, never inside.
    pub(super) starting: Mutex<()>,
    table: Mutex<Table>,
    /// Somebody ended.
    ended: Condvar,
    /// Wakes the dispatcher.
    pub(super) bell: Bell,
}

impl Registry {
    pub(super) fn open(settings: Settings, ports: Ports) -> Result<Arc<Registry>, AgentError> {
        let (journal, records) = Journal::open(&settings.state_dir, ports.files.clone())?;
        let mut table = Table::new(queue::Limits {
            waiting_max: settings.queued_max,
            running_max: settings.operations_max,
            places: ports.budget.places(),
        });
        for (record, stored) in records {
            table.keep(Entry { stored, ..take_up(&journal, &ports, record) });
        }
        let registry = Registry {
            settings,
            ports,
            journal,
            starting: Mutex::default(),
            table: Mutex::new(table),
            ended: Condvar::new(),
            bell: Bell::default(),
        };
        registry.forget_surplus(None);
        Ok(Arc::new(registry))
    }

    /// To look at: nobody else changes what became of an operation.
    pub(super) fn read(&self) -> impl Deref<Target = Table> + '_ {
        ReadOnly(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One operation with its result.
    pub(super) fn view(&self, viewer: &Viewer, id: Id) -> Result<View, AgentError> {
        let (view, is_whole) = {
            let table = self.lock();
            let entry = table.entry(viewer, id)?;
            let view = View { record: entry.present(), waiting_for: table.waiting_for(id) };
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
        let table = self.lock();
        let Some(entry) = table.entries.get(&id) else { return 0 };
        let known = history::memory_bytes(&entry.record) + entry.events.bytes();
        let stored = if entry.live.is_none() { entry.stored } else { 0 };
        // Read, taken apart, and made a message.
        2 * known + 3 * stored
    }

    fn is_at_rest(&self, id: Id) -> bool {
        self.lock().entries.get(&id).is_some_and(|entry| entry.live.is_none())
    }

    pub(super) fn list(&self, viewer: &Viewer, wanted: &ListOperations) -> Page {
        let table = self.lock();
        let mut waiting = table.queue.waits_for();
        let matches = |entry: &Entry| {
            let record = &entry.record;
            let state = wanted.state.is_none_or(|state| OperationState::from(record.state) == state);
            let key = wanted.idempotency_key.as_ref().is_none_or(|key| key.as_ref() == record.key);
            viewer.sees(&record.team) && state && key && wanted.before.is_none_or(|before| record.id < before)
        };
        let mut found = table.entries.values().rev().filter(|entry| matches(entry));
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
        let mut table = self.lock();
        table.draining = true;
        table.ids_in(State::Queued)
    }

    pub(super) fn running(&self) -> Vec<Id> {
        self.lock().ids_in(State::Running)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    pub(super) fn counts(&self) -> Counts {
        let table = self.lock();
        let running = |kind| {
            let runs = table.entries.values().filter(|entry| entry.record.state == State::Running);
            runs.filter(|entry| entry.record.kind == kind).count()
        };
        Counts {
            waiting: table.queue.waiting(),
            backups: running(Kind::Backup),
            restores: running(Kind::Restore),
            verifications: running(Kind::Verify),
        }
    }

    /// How many of these were interrupted.
    pub(super) fn interrupted_of(&self, ids: &[Id]) -> usize {
        let table = self.lock();
        let states = ids.iter().filter_map(|id| table.entries.get(id)).map(|entry| entry.record.state);
        states.filter(|state| *state == State::Interrupted || !state.has_ended()).count()
    }

    /// Asks an operation to stop. One that waits has ended when this returns; one that has ended stays as it is.
    pub(super) fn stop(&self, id: Id, reason: Stop) {
        if self.lock().stop(id, reason) {
            self.conclude(id, Err(AgentError::Stopped(reason)), None);
        }
    }

    /// Whether nothing waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().is_idle()
    }

    /// Waits until nothing runs or waits, or the time is over.
    pub(super) fn wait_idle(&self, until: Instant) {
        let mut table = self.lock();
        while !table.is_idle() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            table = self.ended.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner).0;
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
        let table = self.lock();
        let waiting = table.entries.values().filter(|entry| entry.record.state == State::Queued);
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
            let mut table = self.lock();
            table.forget_old_logs(newcomer);
            let ended = table.at_rest();
            let surplus = history::surplus(ended, limits, newcomer);
            surplus.into_iter().filter(|id| table.forget(*id)).collect()
        };
        for id in forgotten {
            if let Err(error) = self.journal.remove(id) {
                tracing::warn!(operation = %id, error = one_line(&error), "forget operation");
            }
        }
    }

    /// Time and chance, with one operation's wish to stop.
    pub(super) fn environment(&self, control: &Control) -> Environment {
        Environment {
            clock: self.ports.clock.clone(),
            entropy: self.ports.entropy.clone(),
            cancel: control.token().clone(),
        }
    }

    pub(super) fn live_parts(&self, id: Id) -> Option<(Arc<Control>, Arc<LiveProgress>, Arc<Events>)> {
        let table = self.lock();
        let entry = table.entries.get(&id)?;
        let live = entry.live.as_ref()?;
        Some((live.control.clone(), live.progress.clone(), entry.events.clone()))
    }

    /// Lets an operation wait that is in the journal.
    pub(super) fn accept(&self, entry: Entry, item: Item) {
        self.lock().accept(entry, item);
    }

    /// The next operation that may run, with its memory.
    pub(super) fn admit(&self) -> Option<Admitted> {
        let mut table = self.lock();
        if table.draining {
            return None;
        }
        let turn = table.queue.next()?;
        let leased = self.ports.budget.lease(table.queue.others_ready(), turn.places_max);
        let Leased { resources, places } = match leased {
            Ok(leased) => leased?,
            Err(error) => {
                tracing::error!(error = one_line(&error), "reserve memory for an operation; it waits on");
                return None;
            }
        };
        let (record, job) = table.begin(turn.id, places, self.ports.clock.now())?;
        Some(Admitted { record, job, resources })
    }

    /// Writes the end of an operation down, and then tells it.
    pub(super) fn conclude(&self, id: Id, result: Result<Outcome, AgentError>, began: Option<Instant>) {
        let now = self.ports.clock.now();
        let ended = self.lock().begin_end(id, result, now);
        let Some((mut record, events)) = ended else { return };
        let seconds = began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        let text = end_text(&record);
        let level = if matches!(record.state, State::Succeeded) { Level::Info } else { Level::Warn };
        tracing::info!(
            operation = %id, kind = record.kind.as_str(), team = %record.team, state = record.state.as_str(), seconds,
            done_bytes = record.progress.done, moved_bytes = record.progress.moved, "{text}"
        );
        events.log(self.ports.clock.now(), level, text);
        record.log_sequence = events.newest();
        let saved = self.journal.save(&record);
        if let Err(error) = &saved {
            tracing::error!(operation = %id, error = one_line(error), "write the end of an operation down; it is kept in memory and tried again");
        }
        let (kind, state, group) = (record.kind, record.state, Group::of(&record));
        self.lock().finish_end(record, saved.ok());
        self.ports.meter.ended(kind, state, seconds);
        events.ring();
        self.tell_ended();
        self.forget_surplus(Some(&group));
    }

    /// Writes down what the journal lacks.
    pub(super) fn write_progress(&self) {
        let unwritten = self.lock().unwritten();
        for record in unwritten {
            let saved = self.journal.save(&record);
            if let Err(error) = &saved {
                tracing::warn!(operation = %record.id, error = one_line(error), "write progress down");
            }
            if let Ok(stored) = saved
                && record.state.has_ended()
            {
                self.lock().lighten(&record, stored);
            }
        }
    }

    /// Notes in the journal that an operation made or took this target.
    pub(super) fn remember_target(&self, id: Id, volume: &str, is: String) -> Result<(), AgentError> {
        let noted = self.lock().note_target(id, volume, is);
        noted.map_or(Ok(()), |record| self.journal.save(&record).map(drop))
    }
}

/// The table, to be read.
struct ReadOnly<'a>(MutexGuard<'a, Table>);

impl Deref for ReadOnly<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}
