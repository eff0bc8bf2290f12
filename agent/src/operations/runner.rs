//! One attempt of an operation, from its first step to the end that is written down and told.
//!
//! A panic of the work fails the operation and nothing else. Keys, credentials and memory are gone before anybody is told of the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use coffer_engine::{Environment, Resources, one_line};
use coffer_format::Id;
use coffer_store::ObjectStore;

use super::control::Control;
use super::events::{Events, Level};
use super::history::Group;
use super::job::Job;
use super::live::LiveProgress;
use super::record::{Outcome, Record, State};
use super::registry::Shared;
use super::request::Request;
use super::run::Run;
use super::{backup, restore, verify};
use crate::errors::{AgentError, Failure, Stop};

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
        let result = work_on(&run, &job.request);
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

fn work_on(run: &Run<'_>, request: &Request) -> Result<Outcome, AgentError> {
    match request {
        Request::Backup(request) => backup::run(run, request).map(Outcome::Backup),
        Request::Restore(request) => restore::run(run, request).map(Outcome::Restore),
        Request::Verify(request) => verify::run(run, request).map(Outcome::Verify),
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
