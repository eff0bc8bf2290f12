//! One attempt of an operation, from its first step to the end that is written down and told.
//!
//! A panic of the work fails the operation and nothing else. Keys, credentials and memory are gone before anybody is told of the end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use coffer_engine::{EngineError, Environment, Repository, Resources, one_line};
use coffer_format::{Id, Label};
use coffer_proto::checked::{RepositoryAccess, VolumeRef};
use coffer_store::{ObjectStore, OpenOptions};

use super::control::Control;
use super::events::{Events, Level};
use super::history::Group;
use super::live::LiveProgress;
use super::record::{Outcome, Record, State};
use super::registry::Shared;
use super::request::Request;
use super::volumes::{Behalf, Sight};
use super::{backup, restore, stores, verify};
use crate::errors::{AgentError, Failure, Stop, in_fields};

/// Work, with the secrets that it needs.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) behalf: Behalf,
}

/// What the work of one attempt has at hand.
pub(super) struct Run<'a> {
    pub(super) shared: &'a Shared,
    pub(super) id: Id,
    pub(super) behalf: &'a Behalf,
    pub(super) control: &'a Control,
    pub(super) progress: &'a LiveProgress,
    pub(super) resources: &'a Resources,
    pub(super) events: &'a Events,
    /// What targets were when earlier attempts began to write them.
    pub(super) targets_begun: &'a BTreeMap<String, String>,
    /// The store that was opened, for its count of requests.
    store: OnceLock<Arc<dyn ObjectStore>>,
}

pub(super) fn run(shared: &Shared, record: &Record, job: Job, resources: Resources) {
    let began = Instant::now();
    let Some((control, progress, events)) = shared.live_parts(record.id) else { return };
    let work = || -> Result<Outcome, AgentError> {
        // That the point is used is known before anything is written under it.
        shared.journal.save(record)?;
        if let Some(reason) = control.reason() {
            return Err(AgentError::Stopped(reason));
        }
        events.log(shared.ports.clock.now(), Level::Info, "began to run".into());
        let run = Run {
            shared,
            id: record.id,
            behalf: &job.behalf,
            control: &control,
            progress: &progress,
            resources: &resources,
            events: &events,
            targets_begun: &record.targets_begun,
            store: OnceLock::new(),
        };
        let result = run.work(&job.request);
        if let Some(store) = run.store.get() {
            shared.ports.meter.store_requests(store.requests().into());
        }
        result
    };
    let result = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(AgentError::Bug(panic_text(&*panic))));
    drop(job);
    drop(resources);
    shared.conclude(record.id, result, Some(began));
}

impl Run<'_> {
    fn work(&self, request: &Request) -> Result<Outcome, AgentError> {
        match request {
            Request::Backup(request) => backup::run(self, request).map(Outcome::Backup),
            Request::Restore(request) => restore::run(self, request).map(Outcome::Restore),
            Request::Verify(request) => verify::run(self, request).map(Outcome::Verify),
        }
    }

    /// Opens a repository with the operation's own key and credentials.
    pub(super) fn open_repository(
        &self,
        access: &RepositoryAccess,
        team: &Label,
    ) -> Result<Repository, AgentError> {
        let url = stores::address(&access.url)?;
        let ports = &self.shared.ports;
        let credentials = ports.mounted.credentials(team, &access.s3)?;
        let key = ports.mounted.key(team, &access.key)?;
        let cancelled = Some(self.control.token().shared_flag());
        let store =
            ports.stores.open(&url, OpenOptions { cancelled, credentials, ..OpenOptions::default() })?;
        self.progress.watch_store(&store);
        let _opened_once = self.store.set(store.clone());
        let repository = Repository::open(store, self.shared.environment(self.control), key)?;
        self.info(format!("opened repository {} at {}", repository.id(), repository.store().describe()));
        Ok(repository)
    }

    /// This node as it is now, for these volumes.
    pub(super) fn look(&self, volumes: &[&VolumeRef]) -> Result<Box<dyn Sight + '_>, AgentError> {
        self.shared.ports.volumes.look(self.behalf, volumes, self.control.token())
    }

    pub(super) fn info(&self, text: String) {
        self.log(Level::Info, text);
    }

    pub(super) fn warn(&self, text: String) {
        tracing::warn!(operation = %self.id, text);
        self.log(Level::Warn, text);
    }

    fn log(&self, level: Level, text: String) {
        let text = in_fields(&text);
        self.events.log(self.shared.ports.clock.now(), level, text);
    }
}

impl Shared {
    /// Time and chance, with one operation's wish to stop.
    pub(super) fn environment(&self, control: &Control) -> Environment {
        Environment {
            clock: self.ports.clock.clone(),
            entropy: self.ports.entropy.clone(),
            cancel: control.token().clone(),
        }
    }

    fn live_parts(&self, id: Id) -> Option<(Arc<Control>, Arc<LiveProgress>, Arc<Events>)> {
        let inner = self.lock();
        let entry = inner.entries.get(&id)?;
        let live = entry.live.as_ref()?;
        Some((live.control.clone(), live.progress.clone(), entry.events.clone()))
    }

    /// Writes the end of an operation down, and then tells it.
    pub(super) fn conclude(&self, id: Id, result: Result<Outcome, AgentError>, began: Option<Instant>) {
        let Some((mut record, events)) = self.begin_end(id, result) else { return };
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
        {
            let mut inner = self.lock();
            inner.queue.remove(id);
            if let Some(entry) = inner.entries.get_mut(&id) {
                entry.unsaved = saved.is_err();
                entry.stored = saved.as_ref().copied().unwrap_or(entry.stored);
                entry.record = if saved.is_ok() { record.light() } else { record };
                entry.live = None;
            }
        }
        self.ports.meter.ended(kind, state, seconds);
        events.ring();
        self.tell_ended();
        self.forget_surplus(Some(&group));
    }

    /// The record of the end; from here on nobody else writes this operation down.
    fn begin_end(&self, id: Id, result: Result<Outcome, AgentError>) -> Option<(Record, Arc<Events>)> {
        let mut inner = self.lock();
        let entry = inner.entries.get_mut(&id)?;
        let live = entry.live.as_mut()?;
        if std::mem::replace(&mut live.ending, true) {
            return None;
        }
        let reason = live.control.reason();
        let mut record = entry.present();
        record.ended = Some(self.ports.clock.now());
        record.revision += 1;
        let end = end(result, reason);
        (record.state, record.failure, record.outcome) = end;
        Some((record, entry.events.clone()))
    }
}

/// How an operation ended. Whatever a stop made fail first, it was the stop. Pure.
fn end(
    result: Result<Outcome, AgentError>,
    stopped: Option<Stop>,
) -> (State, Option<Failure>, Option<Outcome>) {
    let error = match (result, stopped) {
        (Ok(outcome), _) => return (State::Succeeded, None, Some(outcome)),
        (Err(_), Some(stop)) => AgentError::Stopped(stop),
        (Err(error), None) => error,
    };
    let state = match &error {
        AgentError::Stopped(Stop::Shutdown) => State::Interrupted,
        AgentError::Stopped(Stop::Cancelled | Stop::Deadline) => State::Cancelled,
        AgentError::Stopped(Stop::Stalled) => State::Failed,
        _ => State::Failed,
    };
    (state, Some(error.failure()), None)
}

/// One line that an operator can read.
fn end_text(record: &Record) -> String {
    let (kind, state) = (record.kind.as_str(), record.state.as_str());
    let what = match record.volumes.as_slice() {
        [] => String::new(),
        [one] => format!(" of volume {one}"),
        [first, rest @ ..] => format!(" of volume {first} and {} more", rest.len()),
    };
    match &record.failure {
        Some(failure) => format!("{kind}{what} {state}: {}", failure.message),
        None => {
            let moved = record.progress.moved;
            format!("{kind}{what} {state}: {} bytes looked at, {moved} bytes moved", record.progress.done)
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "the work panicked without a word".to_owned())
}

/// Of an operation whose volumes all failed, the first failure.
pub(super) fn all_failed(error: EngineError) -> AgentError {
    AgentError::Engine(EngineError::AllVolumesFailed(Box::new(error)))
}
