//! One attempt of an operation, from its first step to the end that is written down and told.
//!
//! A panic of the work fails the operation and nothing else. Keys, credentials and memory are gone before anybody is told of the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Instant;

use coffer_engine::Resources;
use coffer_store::ObjectStore;

use super::events::Level;
use super::job::Job;
use super::record::{Outcome, Record};
use super::registry::Registry;
use super::request::Request;
use super::run::Run;
use super::{backup, restore, verify};
use crate::errors::AgentError;

pub(super) fn run(registry: &Registry, record: &Record, job: Job, resources: Resources) {
    let began = Instant::now();
    let Some((control, progress, events)) = registry.live_parts(record.id) else { return };
    let work = || -> Result<Outcome, AgentError> {
        // That the point is used is known before anything is written under it.
        registry.journal.save(record)?;
        if let Some(reason) = control.reason() {
            return Err(AgentError::Stopped(reason));
        }
        events.log(registry.ports.clock.now(), Level::Info, "began to run".into());
        let run = Run {
            registry,
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
            registry.ports.meter.store_requests(store.requests().into());
        }
        result
    };
    let result = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(AgentError::Bug(panic_text(&*panic))));
    drop(job);
    drop(resources);
    registry.conclude(record.id, result, Some(began));
}

fn work_on(run: &Run<'_>, request: &Request) -> Result<Outcome, AgentError> {
    match request {
        Request::Backup(request) => backup::run(run, request).map(Outcome::Backup),
        Request::Restore(request) => restore::run(run, request).map(Outcome::Restore),
        Request::Verify(request) => verify::run(run, request).map(Outcome::Verify),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "the work panicked without a word".to_owned())
}
