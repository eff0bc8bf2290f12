//! All operations in memory and what may become of each: accepted, begun, told to stop, ended, forgotten.
//!
//! Every change of an operation's state is a method here, under the registry's one lock. No disk is touched, and nobody is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use coffer_format::{Id, Label, Timestamp};

use super::ending;
use super::entry::Entry;
use super::events::Events;
use super::history::{self, Ended, Group};
use super::job::Job;
use super::queue::{Item, Limits, Queue};
use super::record::{Outcome, Record, State};
use super::stall::Mark;
use super::view::Viewer;
use crate::errors::{AgentError, Stop};

/// Ended operations of a group whose log lines are kept.
const LOGS_MAX: usize = 16;

/// What the lock protects. No disk is touched under it.
pub(super) struct Table {
    pub(super) entries: BTreeMap<Id, Entry>,
    keys: HashMap<(Label, String), Id>,
    pub(super) queue: Queue,
    pub(super) draining: bool,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Table {
        Table { entries: BTreeMap::new(), keys: HashMap::new(), queue: Queue::new(limits), draining: false }
    }

    /// Knows an operation from now on.
    pub(super) fn keep(&mut self, entry: Entry) {
        let record = &entry.record;
        self.keys.insert((record.team.clone(), record.key.clone()), record.id);
        self.entries.insert(record.id, entry);
    }

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

    pub(super) fn ids_in(&self, state: State) -> Vec<Id> {
        let found = self.entries.values().filter(|entry| entry.record.state == state);
        found.map(|entry| entry.record.id).collect()
    }

    fn ended(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.live.is_none() && entry.record.state.has_ended())
    }

    /// All ended operations, with what they take.
    pub(super) fn at_rest(&self) -> Vec<Ended> {
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
    pub(super) fn forget_old_logs(&self, group: Option<&Group>) {
        let Some(group) = group else { return };
        let mut own: Vec<&Entry> = self.ended().filter(|entry| Group::of(&entry.record) == *group).collect();
        own.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.record.ended.map(|time| time.unix_ms())));
        own.iter().skip(LOGS_MAX).for_each(|entry| entry.events.forget_lines());
    }

    pub(super) fn forget(&mut self, id: Id) -> bool {
        let Some(entry) = self.entries.remove(&id) else { return false };
        let name = (entry.record.team, entry.record.key);
        if self.keys.get(&name) == Some(&id) {
            self.keys.remove(&name);
        }
        true
    }

    /// The operation of a team's key.
    pub(super) fn by_key(&self, name: &(Label, String)) -> Option<&Entry> {
        self.keys.get(name).and_then(|id| self.entries.get(id))
    }

    /// What waits from now on: an operation that is in the journal.
    pub(super) fn accept(&mut self, entry: Entry, item: Item) {
        self.keep(entry);
        self.queue.push(item);
    }

    /// An operation begins, in so many places.
    pub(super) fn begin(&mut self, id: Id, places: usize, now: Timestamp) -> Option<(Record, Job)> {
        self.queue.start(id, places);
        let entry = self.entries.get_mut(&id)?;
        let job = entry.live.as_mut()?.job.take()?;
        entry.record.state = State::Running;
        entry.record.started = Some(now);
        entry.record.use_point();
        entry.record.revision += 1;
        Some((entry.present(), job))
    }

    /// Asks an operation to stop; whether it waited, and is to be ended by the caller.
    pub(super) fn stop(&mut self, id: Id, reason: Stop) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let Some(live) = &entry.live else { return false };
        live.control.stop(reason);
        let is_waiting = entry.record.state == State::Queued && !live.ending;
        if is_waiting {
            // From here on nobody begins it.
            self.queue.remove(id);
        }
        is_waiting
    }

    /// The target that an operation made or took; its record, if that is new.
    pub(super) fn note_target(&mut self, id: Id, volume: &str, is: String) -> Option<Record> {
        let entry = self.entries.get_mut(&id)?;
        if entry.record.targets_begun.get(volume) == Some(&is) {
            return None;
        }
        entry.record.targets_begun.insert(volume.to_owned(), is);
        entry.record.revision += 1;
        Some(entry.present())
    }

    /// The record of the end; from here on nobody else writes this operation down.
    pub(super) fn begin_end(
        &mut self,
        id: Id,
        result: Result<Outcome, AgentError>,
        now: Timestamp,
    ) -> Option<(Record, Arc<Events>)> {
        let entry = self.entries.get_mut(&id)?;
        let live = entry.live.as_mut()?;
        if std::mem::replace(&mut live.ending, true) {
            return None;
        }
        let reason = live.control.reason();
        let mut record = entry.present();
        record.ended = Some(now);
        record.revision += 1;
        (record.state, record.failure, record.outcome) = ending::end(result, reason);
        Some((record, entry.events.clone()))
    }

    /// The operation has ended; `stored` is the length of its file, `None` where the journal could not take it.
    pub(super) fn finish_end(&mut self, record: Record, stored: Option<u64>) {
        self.queue.remove(record.id);
        if let Some(entry) = self.entries.get_mut(&record.id) {
            entry.unsaved = stored.is_none();
            entry.stored = stored.unwrap_or(entry.stored);
            entry.record = if stored.is_some() { record.light() } else { record };
            entry.live = None;
        }
    }

    /// How far everything is that runs and was not told to stop.
    pub(super) fn marks(&self) -> Vec<(Id, Mark)> {
        let running = self.entries.values().filter(|entry| entry.record.state == State::Running);
        let mark = |entry: &Entry| {
            let live = entry.live.as_ref().filter(|live| !live.ending && live.control.reason().is_none())?;
            let (progress, requests) = (live.progress.snapshot(), live.progress.requests());
            Some((entry.record.id, Mark { progress, requests, log_sequence: entry.events.newest() }))
        };
        running.filter_map(mark).collect()
    }

    /// States that the journal lacks: progress of what runs, and ends that could not be written.
    pub(super) fn unwritten(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for entry in self.entries.values_mut() {
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
    pub(super) fn lighten(&mut self, saved: &Record, stored: u64) {
        if let Some(entry) =
            self.entries.get_mut(&saved.id).filter(|entry| entry.record.revision == saved.revision)
        {
            entry.unsaved = false;
            entry.stored = stored;
            entry.record = entry.record.light();
        }
    }

    /// What runs or waits past its time.
    pub(super) fn overdue(&self, now: Instant) -> Vec<Id> {
        let live = self.entries.values().filter_map(|entry| Some((entry.record.id, entry.live.as_ref()?)));
        let overdue = live.filter(|(_, live)| live.deadline <= now && live.control.reason().is_none());
        overdue.map(|(id, _)| id).collect()
    }

    /// When the next is.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let live = self.entries.values().filter_map(|entry| entry.live.as_ref());
        live.filter(|live| live.control.reason().is_none()).map(|live| live.deadline).min()
    }

    /// Whether the journal lacks an end.
    pub(super) fn has_unsaved(&self) -> bool {
        self.entries.values().any(|entry| entry.unsaved)
    }

    /// Whether nothing waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.entries.values().all(|entry| entry.live.is_none())
    }
}
