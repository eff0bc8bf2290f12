//! The admission queue: which operation runs next, and what each of the others waits for. Pure.
//!
//! Restores go first. Among the others, and among restores, the team whose turn is longest ago goes first, and within a team the oldest. An
//! operation is passed over while one that runs uses a volume or target of its own; it never holds up those that it does not concern.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Id, Label};

/// Teams whose last turn is remembered though nothing of theirs waits.
const TEAMS_MAX: usize = 1_024;

/// An operation that waits or runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which.
    pub id: Id,
    /// Whose.
    pub team: Label,
    /// Whether it goes before all that are not.
    pub is_restore: bool,
    /// What it must have for itself: names of volumes and targets, each with what a person calls it.
    pub claims: Vec<Claim>,
}

/// Something that only one operation may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Equal for everything that is the same device or file.
    pub name: String,
    /// What a person calls it.
    pub label: String,
}

/// An operation's place among those that wait.
struct Place<'q> {
    /// Less goes first: not a restore; how many of its team are before it; when its team had its last turn; when it came.
    rank: (bool, usize, u64, usize),
    item: &'q Item,
    /// What it must have and who has it.
    blocked_by: Option<(&'q str, Id)>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull {
    /// How many wait.
    pub waiting: usize,
}

/// Operations that wait and those that run.
#[derive(Debug)]
pub struct Queue {
    waiting_max: usize,
    running_max: usize,
    /// In order of arrival.
    waiting: Vec<Item>,
    running: BTreeMap<Id, Item>,
    turns: BTreeMap<Label, u64>,
    turn: u64,
}

impl Queue {
    /// A queue in which up to `waiting_max` operations wait and `running_max` run. One may always wait, as every operation does for a moment.
    pub fn new(waiting_max: usize, running_max: usize) -> Self {
        Queue {
            waiting_max: waiting_max.max(1),
            running_max,
            waiting: Vec::new(),
            running: BTreeMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Whether one more may wait.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn check_room(&self) -> Result<(), QueueFull> {
        let waiting = self.waiting.len();
        if waiting < self.waiting_max { Ok(()) } else { Err(QueueFull { waiting }) }
    }

    /// Puts an operation at the end; whoever calls has seen that there is room.
    pub fn push(&mut self, item: Item) {
        self.waiting.push(item);
    }

    /// The operation that may run now, if memory for one is there.
    pub fn next(&self) -> Option<Id> {
        if self.running.len() >= self.running_max {
            return None;
        }
        self.order().into_iter().find(|place| place.blocked_by.is_none()).map(|place| place.item.id)
    }

    /// How many others could run now, besides the next.
    pub fn others_ready(&self) -> usize {
        let in_use = self.in_use();
        let ready = self.waiting.iter().filter(|item| blocking(item, &in_use).is_none()).count();
        ready.saturating_sub(1)
    }

    /// Lets a waiting operation run; false if it does not wait.
    pub fn start(&mut self, id: Id) -> bool {
        let Some(item) = self.take_waiting(id) else { return false };
        self.turn += 1;
        self.turns.insert(item.team.clone(), self.turn);
        self.forget_turns();
        self.running.insert(id, item);
        true
    }

    /// An operation ended or gave up waiting.
    pub fn remove(&mut self, id: Id) {
        self.take_waiting(id);
        self.running.remove(&id);
    }

    /// Operations that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Operations that run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// What each waiting operation waits for, for people.
    pub fn waits_for(&self) -> BTreeMap<Id, String> {
        let running = self.running.len();
        let text = |(before, place): (usize, Place<'_>)| {
            let text = match place.blocked_by {
                Some((label, user)) => format!("volume {label} is in use by operation {user}"),
                None if running >= self.running_max => {
                    format!("a place: {running} operations run, which is the limit, {before} are before it")
                }
                None => format!("memory: {running} operations run, {before} are before it"),
            };
            (place.item.id, text)
        };
        self.order().into_iter().enumerate().map(text).collect()
    }

    /// All that wait, in the order in which they would run if each ended at once.
    fn order(&self) -> Vec<Place<'_>> {
        let in_use = self.in_use();
        let mut own: BTreeMap<(&Label, bool), usize> = BTreeMap::new();
        let places = self.waiting.iter().enumerate().map(|(arrival, item)| {
            let blocked_by = blocking(item, &in_use);
            let before = own.entry((&item.team, item.is_restore)).or_default();
            let round = *before;
            // Who cannot run now does not use up a turn of its team.
            *before += usize::from(blocked_by.is_none());
            let turn = self.turns.get(&item.team).copied().unwrap_or(0);
            Place { rank: (!item.is_restore, round, turn, arrival), item, blocked_by }
        });
        let mut places: Vec<Place<'_>> = places.collect();
        places.sort_by_key(|place| place.rank);
        places
    }

    fn in_use(&self) -> BTreeMap<&str, Id> {
        let claims = self
            .running
            .values()
            .flat_map(|item| item.claims.iter().map(|claim| (claim.name.as_str(), item.id)));
        claims.collect()
    }

    fn take_waiting(&mut self, id: Id) -> Option<Item> {
        let index = self.waiting.iter().position(|item| item.id == id)?;
        Some(self.waiting.remove(index))
    }

    fn forget_turns(&mut self) {
        while self.turns.len() > TEAMS_MAX {
            let needed: BTreeSet<&Label> = self.waiting.iter().map(|item| &item.team).collect();
            let idle = self.turns.iter().filter(|(team, _)| !needed.contains(team));
            let Some(oldest) = idle.min_by_key(|(_, turn)| **turn).map(|(team, _)| team.clone()) else {
                return;
            };
            self.turns.remove(&oldest);
        }
    }
}

/// The first claim of `item` that somebody has, and who.
fn blocking<'i>(item: &'i Item, in_use: &BTreeMap<&str, Id>) -> Option<(&'i str, Id)> {
    item.claims.iter().find_map(|claim| Some((claim.label.as_str(), *in_use.get(claim.name.as_str())?)))
}

#[cfg(test)]
mod tests;
