//! One step of one actor: one request to the bucket, atomic there, and what the actor makes of the answer.
//!
//! Lost answers and crashes are made here, so that no actor can forget to have them.

use super::names::{ObjectId, Objects, PointId, Points, Volume};
use super::scenario::Scenario;
use super::state::State;
use super::store::Store;
use std::fmt;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The run that writes this point; with agents, its coordinator.
    Writer(PointId),
    /// The agent that writes this volume of the point.
    Agent(PointId, Volume),
    /// A run of `prune`.
    Pruner(u8),
    /// A run of `forget`.
    Forgetter(u8),
    /// A run of `restore`.
    Reader(u8),
    /// A person with `hold`.
    Holder,
    /// A person who rotates the recovery key.
    Rotator,
    /// Somebody who makes a list up.
    Forger,
    /// The network, which still has an old request.
    Network,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writer(point) => write!(f, "backup-{point}"),
            Self::Agent(point, volume) => write!(f, "agent-{point}{volume:?}"),
            Self::Pruner(number) => write!(f, "prune-{}", number + 1),
            Self::Forgetter(number) => write!(f, "forget-{}", number + 1),
            Self::Reader(number) => write!(f, "restore-{}", number + 1),
            Self::Holder => write!(f, "hold"),
            Self::Rotator => write!(f, "rotate"),
            Self::Forger => write!(f, "forger"),
            Self::Network => write!(f, "network"),
        }
    }
}

/// A key in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `points/<point>`, the manifest.
    Manifest(PointId),
    /// `confirmed/<point>`.
    Confirmed(PointId),
    /// `ending/<point>`.
    Ending(PointId),
    /// `ended/<point>/<prune run>`.
    Ended(PointId),
    /// `pins/<point>/<reader>`.
    Pin(PointId),
    /// `holds/<point>`.
    Hold(PointId),
    /// `data/…`.
    Data(ObjectId),
    /// `team.2.json`, the new key's statement.
    Statement,
    /// `team.2.points`, the points that stood.
    PointsList,
    /// `keys/<n>` of the chain that this point opened, sealed to the new key.
    Sealed(PointId),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(point) => write!(f, "points/{point}"),
            Self::Confirmed(point) => write!(f, "confirmed/{point}"),
            Self::Ending(point) => write!(f, "ending/{point}"),
            Self::Ended(point) => write!(f, "ended/{point}"),
            Self::Pin(point) => write!(f, "pins/{point}"),
            Self::Hold(point) => write!(f, "holds/{point}"),
            Self::Data(object) => write!(f, "{object}"),
            Self::Statement => write!(f, "team.2.json"),
            Self::PointsList => write!(f, "team.2.points"),
            Self::Sealed(point) => write!(f, "data/{point}/keys for the new key"),
        }
    }
}

/// What the actor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// LIST of the manifests; what it showed.
    ListPoints(Points),
    /// LIST of the data; what it showed.
    ListData(Objects),
    /// GET by exact key; whether it was there.
    Get(Key, bool),
    /// PUT.
    Put(Key),
    /// PUT whose answer was lost; the actor will retry.
    PutLost(Key),
    /// DELETE.
    Delete(Key),
    /// DELETE whose answer was lost; the actor will retry.
    DeleteLost(Key),
    /// The actor dies, or gives up after errors and says so.
    Crash,
    /// A step that asks nothing of the bucket.
    Decide(&'static str),
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListPoints(points) => write!(f, "LIST points {points}"),
            Self::ListData(objects) => write!(f, "LIST data {objects}"),
            Self::Get(key, true) => write!(f, "GET {key}"),
            Self::Get(key, false) => write!(f, "GET {key}: none"),
            Self::Put(key) => write!(f, "PUT {key}"),
            Self::PutLost(key) => write!(f, "PUT {key}, answer lost"),
            Self::Delete(key) => write!(f, "DELETE {key}"),
            Self::DeleteLost(key) => write!(f, "DELETE {key}, answer lost"),
            Self::Crash => write!(f, "dies"),
            Self::Decide(what) => write!(f, "{what}"),
        }
    }
}

/// A step and the state after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Who acts.
    pub actor: Actor,
    /// What is done.
    pub request: Request,
    /// The state after it.
    pub next: State,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.actor, self.request)
    }
}

/// One actor's turn: collects the steps that it may take now.
pub struct Turn<'a> {
    /// What is being checked.
    pub scenario: &'a Scenario,
    /// The state before the step.
    pub state: &'a State,
    /// Whose turn it is.
    pub actor: Actor,
    /// The steps found so far.
    pub steps: &'a mut Vec<Step>,
}

impl Turn<'_> {
    /// Adds the step in which `request` is answered and `change` is what follows.
    pub fn take(&mut self, request: Request, change: impl FnOnce(&mut State)) {
        let mut next = *self.state;
        change(&mut next);
        self.steps.push(Step { actor: self.actor, request, next });
    }

    /// Adds a crash, where the scenario lets actors crash.
    pub fn crash(&mut self, change: impl FnOnce(&mut State)) {
        if self.scenario.crashes {
            self.take(Request::Crash, change);
        }
    }

    /// Adds a PUT of `key`; where answers get lost, also the PUT that is done and stays to be retried.
    pub fn put(&mut self, key: Key, effect: impl Fn(&mut Store), change: impl FnOnce(&mut State)) {
        self.write([Request::Put(key), Request::PutLost(key)], effect, change);
    }

    /// Adds a DELETE of `key`; where answers get lost, also the DELETE that is done and stays to be retried.
    pub fn delete(&mut self, key: Key, effect: impl Fn(&mut Store), change: impl FnOnce(&mut State)) {
        self.write([Request::Delete(key), Request::DeleteLost(key)], effect, change);
    }

    fn write(
        &mut self,
        [done, lost]: [Request; 2],
        effect: impl Fn(&mut Store),
        change: impl FnOnce(&mut State),
    ) {
        self.take(done, |next| {
            effect(&mut next.store);
            change(next);
        });
        if self.scenario.lost_answers {
            let mut store = self.state.store;
            effect(&mut store);
            if store != self.state.store {
                self.take(lost, |next| next.store = store);
            }
        }
    }
}
