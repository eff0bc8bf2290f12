//! Starting an operation: one key, one piece of work. It is in the journal before its caller is told that it was accepted.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use coffer_engine::CancelToken;
use coffer_format::{Id, Label};

use super::control::Control;
use super::entry::{Entry, Live};
use super::events::{Events, Level};
use super::job::Job;
use super::live::LiveProgress;
use super::queue::{Claim, Item};
use super::record::{Kind, Progress, Record, State};
use super::registry::Registry;
use super::request::Request;
use super::table::Table;
use super::view::{Caller, View, Viewer};
use super::volumes::Behalf;
use crate::errors::AgentError;
use crate::shares::Holder;

/// What an operation takes of memory while it waits or runs, besides its texts: records, bookkeeping, its log, threads' handles.
const OPERATION_BYTES: u64 = 4 << 10;

/// What a key stands for.
enum Known {
    /// Nothing yet.
    Nothing,
    /// This work, which waits, runs or is done.
    Same(Id),
    /// This work, which did not come to its end.
    Again(Box<Record>),
}

pub(super) fn start(
    registry: &Arc<Registry>,
    caller: &Caller,
    request: Request,
    gone: &CancelToken,
) -> Result<View, AgentError> {
    // The lock goes with each of these statements: what follows takes it again.
    let found = known(&registry.read(), &request)?;
    if let Known::Same(id) = found {
        return registry.view(&Viewer::All, id);
    }
    let behalf = Behalf { team: request.team().clone(), by_team: caller.is_team };
    // Looking at volumes may take a while: nobody waits for it who starts something else.
    let claims = claims(registry, &behalf, &request, gone)?;
    let id = {
        let _one_at_a_time = registry.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known(&registry.read(), &request)?;
        match found {
            Known::Same(id) => id,
            Known::Nothing => accept(registry, caller, behalf, claims, request, None)?,
            Known::Again(record) => accept(registry, caller, behalf, claims, request, Some(*record))?,
        }
    };
    registry.bell.ring();
    registry.view(&Viewer::All, id)
}

fn known(table: &Table, request: &Request) -> Result<Known, AgentError> {
    let name = (request.team().clone(), request.key().to_string());
    let Some(entry) = table.by_key(&name) else {
        return Ok(Known::Nothing);
    };
    let record = &entry.record;
    if record.kind != request.kind() || record.fingerprint != request.fingerprint() {
        return Err(AgentError::Usage(format!(
            "idempotency key `{}` stands for another request (operation {}, a {}); give this request a key of its own",
            record.key,
            record.id,
            record.kind.as_str()
        )));
    }
    if entry.live.is_none() && record.state.can_restart() {
        return Ok(Known::Again(Box::new(record.clone())));
    }
    Ok(Known::Same(record.id))
}

/// The node is looked at once, however many volumes there are; nothing goes on for a caller who has gone.
fn claims(
    registry: &Registry,
    behalf: &Behalf,
    request: &Request,
    gone: &CancelToken,
) -> Result<Vec<Claim>, AgentError> {
    let volumes = request.volume_refs();
    if volumes.is_empty() {
        return Ok(Vec::new());
    }
    let sight = registry.ports.volumes.look(behalf, &volumes, gone)?;
    let mut claims = Vec::new();
    for volume in volumes {
        gone.check()?;
        claims.extend(sight.claims(volume)?);
    }
    Ok(claims)
}

/// Writes the operation down and lets it wait.
fn accept(
    registry: &Arc<Registry>,
    caller: &Caller,
    behalf: Behalf,
    claims: Vec<Claim>,
    request: Request,
    earlier: Option<Record>,
) -> Result<Id, AgentError> {
    let by = caller.holder(request.team());
    check_room(&registry.read(), &by, &request, earlier.as_ref().map(|record| record.id))?;
    let bytes = request.bytes() + OPERATION_BYTES;
    let permit = registry.ports.requests.take_leaving_some(&by, bytes, "an operation")?;
    let mut record = match earlier {
        None => fresh(registry, &request)?,
        Some(earlier) => again(earlier, &request),
    };
    caller.name.clone_into(&mut record.caller);
    let events = registry.read().entries.get(&record.id).map(|entry| entry.events.clone());
    let events = events.unwrap_or_else(|| Events::after(record.log_sequence));
    record.log_sequence = events.newest();
    let stored = registry.journal.save(&record)?;

    let (id, kind, attempt) = (record.id, record.kind, record.attempt);
    let progress = LiveProgress::new(kind, events.clone(), registry.ports.meter.clone());
    let deadline = Instant::now() + request.timeout();
    let item = Item { id, team: record.team.clone(), by, is_restore: kind == Kind::Restore, claims };
    let live = Live {
        control: Arc::new(Control::default()),
        progress: Arc::new(progress),
        job: Some(Job { request, behalf }),
        deadline,
        _permit: permit,
        ending: false,
    };
    registry.accept(Entry { record, events: events.clone(), live: Some(live), unsaved: false, stored }, item);
    let text = format!("accepted a {} from {}, attempt {attempt}", kind.as_str(), caller.name);
    events.log(registry.ports.clock.now(), Level::Info, text);
    Ok(id)
}

fn check_room(table: &Table, by: &Holder, request: &Request, own: Option<Id>) -> Result<(), AgentError> {
    if table.draining {
        return Err(AgentError::Draining);
    }
    if let Some(point) = request.point() {
        check_point(table, request.team(), point, own)?;
    }
    table.queue.check_room(by).map_err(|full| {
        AgentError::Full(format!(
            "{} operations wait already, {} of them started by {by}, which is as many as may; start it later",
            full.waiting, full.own
        ))
    })
}

/// Objects are named by their team and point, and no name is used twice. What another team does is not told by this either.
fn check_point(table: &Table, team: &Label, point: Id, own: Option<Id>) -> Result<(), AgentError> {
    let uses = |entry: &&Entry| {
        let record = &entry.record;
        let names = record.reference.as_ref().is_some_and(|reference| reference.point == point);
        record.team == *team && (record.points_used.contains(&point) || (names && own != Some(record.id)))
    };
    match table.entries.values().find(uses) {
        None => Ok(()),
        Some(entry) => Err(AgentError::Refused(format!(
            "point {point} was used by operation {} before, and no object is written twice: open a new point, and start this with its reference",
            entry.record.id
        ))),
    }
}

fn fresh(registry: &Registry, request: &Request) -> Result<Record, AgentError> {
    let environment = registry.environment(&Control::default());
    let id = environment.new_id()?;
    Ok(Record {
        id,
        kind: request.kind(),
        state: State::Queued,
        key: request.key().to_string(),
        fingerprint: request.fingerprint(),
        team: request.team().clone(),
        caller: String::new(),
        created: environment.clock.now(),
        started: None,
        ended: None,
        attempt: 1,
        volumes: request.volume_names(),
        reference: request.reference(),
        points_used: Vec::new(),
        targets_begun: std::collections::BTreeMap::new(),
        progress: Progress::default(),
        log_sequence: 0,
        failure: None,
        outcome: None,
        revision: 1,
    })
}

/// The next attempt, with the point reference that came this time.
fn again(earlier: Record, request: &Request) -> Record {
    Record {
        state: State::Queued,
        started: None,
        ended: None,
        attempt: earlier.attempt.saturating_add(1),
        reference: request.reference(),
        progress: Progress::default(),
        failure: None,
        outcome: None,
        revision: earlier.revision + 1,
        ..earlier
    }
}
