//! Work that outlives its callers: journal, queue, budget, runners.
//!
//! [`Operations`] is the whole of it. Starting writes the operation to the journal before anybody is told that it was accepted; an end is written
//! before anybody is told of it. Work runs on plain threads with its own share of memory, keys and store, and forgets them afterwards. Nothing
//! here asks who may: services do.

mod backup;
mod bell;
pub mod budget;
mod control;
mod dispatcher;
mod ending;
mod entry;
pub mod events;
pub mod files;
pub mod history;
mod job;
pub mod journal;
mod live;
pub mod meter;
mod ports;
pub mod queue;
pub mod record;
mod registry;
pub mod request;
mod restore;
mod run;
mod runner;
pub mod secrets;
pub mod stall;
mod start;
pub mod stores;
pub mod system;
mod table;
mod take_up;
mod verify;
mod view;
pub mod volumes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_engine::CancelToken;
use coffer_format::Id;
use coffer_proto::checked::ListOperations;
use tokio::sync::watch;

use self::events::{Events, Line};
pub use self::ports::{Ports, Settings};
use self::registry::Registry;
use self::request::Request;
pub use self::view::{Caller, Counts, PAGE_BYTES_MAX, Page, View, Viewer};
use crate::errors::{AgentError, Stop};
use crate::requests::RequestBudget;

/// Most streams that watch one operation.
const WATCHERS_MAX: usize = 256;
/// Most of these that are a team's.
const TEAM_WATCHERS_MAX: usize = 192;
/// How long an interrupted operation is waited for at a drain; what hangs in the kernel longer is left behind.
const INTERRUPT_WAIT: Duration = Duration::from_secs(5);

/// What came of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Operations that ended by themselves.
    pub finished: usize,
    /// Operations that were interrupted.
    pub interrupted: usize,
}

/// All operations of this agent; clones share them. Calls may block on the disk: not for threads that must not.
///
/// When the last clone is dropped, what runs is interrupted and waited for.
#[derive(Clone)]
pub struct Operations(Arc<Owner>);

struct Owner {
    registry: Arc<Registry>,
    dispatcher: Option<std::thread::JoinHandle<()>>,
}

impl Operations {
    /// Reads the journal, calls interrupted what was under way, and begins to take work.
    ///
    /// # Errors
    /// [`AgentError::Journal`] where the state directory cannot be used.
    pub fn open(settings: Settings, ports: Ports) -> Result<Operations, AgentError> {
        let registry = Registry::open(settings, ports)?;
        let bell = Arc::downgrade(&registry);
        registry.ports.budget.tell_returned(Box::new(move || {
            if let Some(registry) = bell.upgrade() {
                registry.bell.ring();
            }
        }));
        let dispatcher = dispatcher::spawn(registry.clone())?;
        Ok(Operations(Arc::new(Owner { registry, dispatcher: Some(dispatcher) })))
    }

    /// Starts work, or returns the operation that an earlier call with this key started. `gone` says that the caller waits no more: what was not
    /// accepted by then is not.
    ///
    /// # Errors
    /// [`AgentError::Usage`] where the key stands for another request, [`AgentError::Refused`] for a point that was used,
    /// [`AgentError::Full`], [`AgentError::Draining`], [`AgentError::Journal`], and what the volumes' rules say.
    pub fn start(&self, caller: &Caller, request: Request, gone: &CancelToken) -> Result<View, AgentError> {
        start::start(&self.0.registry, caller, request, gone)
    }

    /// One operation, with its result.
    ///
    /// # Errors
    /// [`AgentError::NotFound`], also where the viewer may not see it; [`AgentError::Journal`] where its result cannot be read.
    pub fn get(&self, viewer: &Viewer, id: Id) -> Result<View, AgentError> {
        self.0.registry.view(viewer, id)
    }

    /// Operations, newest first, without results.
    pub fn list(&self, viewer: &Viewer, wanted: &ListOperations) -> Page {
        self.0.registry.list(viewer, wanted)
    }

    /// About how much memory it takes to tell of an operation: its record, its result as the journal has it, and its log. Works also where
    /// the viewer will be told that it is not there.
    pub fn bytes_to_tell(&self, id: Id) -> u64 {
        self.0.registry.bytes_to_tell(id)
    }

    /// The memory that requests and answers count in.
    pub fn requests(&self) -> &RequestBudget {
        &self.0.registry.ports.requests
    }

    /// Listens to an operation.
    ///
    /// # Errors
    /// As of [`Operations::get`]; [`AgentError::Full`] where too many watch it.
    pub fn watch(&self, viewer: &Viewer, id: Id) -> Result<Watch, AgentError> {
        let events = self.0.registry.events(viewer, id)?;
        let most = if *viewer == Viewer::All { WATCHERS_MAX } else { TEAM_WATCHERS_MAX };
        if events.listeners() >= most {
            return Err(AgentError::Full(format!(
                "operation {id} is watched by {most} streams already; close some, or ask with Get"
            )));
        }
        Ok(Watch { bell: events.listen(), events, operations: self.clone(), viewer: viewer.clone(), id })
    }

    /// Asks an operation to stop; returns it as it is then.
    ///
    /// # Errors
    /// As of [`Operations::get`].
    pub fn cancel(&self, viewer: &Viewer, id: Id) -> Result<View, AgentError> {
        self.0.registry.view(viewer, id)?;
        self.0.registry.stop(id, Stop::Cancelled);
        self.0.registry.view(viewer, id)
    }

    /// Takes no more work; waits for what runs, then interrupts it. What waits is interrupted at once: start it elsewhere or later.
    pub fn drain(&self, grace: Duration) -> Drained {
        let registry = &self.0.registry;
        let waiting = registry.close();
        let all: Vec<Id> = waiting.iter().copied().chain(registry.running()).collect();
        waiting.iter().for_each(|id| registry.stop(*id, Stop::Shutdown));
        registry.wait_idle(Instant::now() + grace);
        registry.running().iter().for_each(|id| registry.stop(*id, Stop::Shutdown));
        registry.wait_idle(Instant::now() + INTERRUPT_WAIT);
        let interrupted = registry.interrupted_of(&all);
        Drained { finished: all.len() - interrupted, interrupted }
    }

    /// Whether work is refused.
    pub fn is_draining(&self) -> bool {
        self.0.registry.is_draining()
    }

    /// Operations that wait and that run.
    pub fn counts(&self) -> Counts {
        self.0.registry.counts()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let waiting = self.registry.close();
        waiting
            .into_iter()
            .chain(self.registry.running())
            .for_each(|id| self.registry.stop(id, Stop::Shutdown));
        self.registry.wait_idle(Instant::now() + INTERRUPT_WAIT);
        self.registry.bell.hang_up();
        if let Some(dispatcher) = self.dispatcher.take() {
            // It panicked: that was said where it happened, and there is nothing to wait for.
            let _panicked = dispatcher.join();
        }
    }
}

/// Listens to one operation. Dropping it changes nothing.
pub struct Watch {
    bell: watch::Receiver<u64>,
    events: Arc<Events>,
    operations: Operations,
    viewer: Viewer,
    id: Id,
}

impl Watch {
    /// As [`Operations::bytes_to_tell`].
    pub fn bytes_to_tell(&self) -> u64 {
        self.operations.bytes_to_tell(self.id)
    }

    /// The operation now, and its log lines after number `known`. Changes before this call are not told again by [`Watch::changed`].
    ///
    /// # Errors
    /// As of [`Operations::get`].
    pub fn now(&mut self, known: u64) -> Result<(View, Vec<Line>), AgentError> {
        self.bell.borrow_and_update();
        // The state first: an ended operation has all its lines.
        let view = self.operations.get(&self.viewer, self.id)?;
        Ok((view, self.events.lines_after(known)))
    }

    /// Waits for a change after the last [`Watch::now`]; false when the operation is forgotten.
    pub async fn changed(&mut self) -> bool {
        self.bell.changed().await.is_ok()
    }
}
