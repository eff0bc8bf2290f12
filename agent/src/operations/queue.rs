//! The admission queue: which operation runs next, and what each of the others waits for. Pure.
//!
//! Restores go first. Among the others, and among restores, the team whose turn is longest ago goes first, and within a team the oldest. An
//! operation is passed over while one that runs uses a volume or target of its own; it never holds up those that it does not concern.
//!
//! No team keeps the others out. Places, and room to wait, are shared out as [`Pool`] says. Restores of one team go before another team's
//! operation once; then that one goes by its turn among them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use coffer_format::{Id, Label};

use crate::shares::{Held, Holder, Pool};

/// Teams whose last turn is remembered though nothing of theirs waits.
const TEAMS_MAX: usize = 1_024;
/// From so many places on, one is set aside for the controller.
const RESERVE_FROM: usize = 3;

/// An operation that waits or runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which.
    pub id: Id,
    /// Whose.
    pub team: Label,
    /// Who started it: on whose account it waits, and whether it may have the controller's place.
    pub by: Holder,
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
    /// Less goes first: neither a restore nor passed over; how many of its team are before it; when its team had its last turn; when it came.
    rank: (bool, usize, u64, usize),
    item: &'q Item,
    /// What it must have and who has it.
    blocked_by: Option<(&'q str, Id)>,
}

/// An operation that may run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which.
    pub id: Id,
    /// Places that it may take.
    pub places_max: NonZeroUsize,
}

/// An operation that runs.
#[derive(Debug)]
struct Running {
    item: Item,
    places: usize,
}

/// An operation that waits.
#[derive(Debug)]
struct Waiting {
    item: Item,
    /// A restore of another team went before it.
    passed_over: bool,
}

/// The queue is full, or the part of it that one caller may fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull {
    /// How many wait.
    pub waiting: usize,
    /// How many of these the caller started.
    pub own: usize,
}

/// How many operations may wait and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// May wait. One may always, as every operation does for a moment.
    pub waiting_max: usize,
    /// May run.
    pub running_max: usize,
    /// Places that those that run share: the node's shares of memory.
    pub places: usize,
}

/// Operations that wait and those that run.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    /// In order of arrival.
    waiting: Vec<Waiting>,
    running: BTreeMap<Id, Running>,
    turns: BTreeMap<Label, u64>,
    turn: u64,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { waiting_max: limits.waiting_max.max(1), ..limits };
        Queue { limits, waiting: Vec::new(), running: BTreeMap::new(), turns: BTreeMap::new(), turn: 0 }
    }

    /// Whether one more may wait that `by` starts.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn check_room(&self, by: &Holder) -> Result<(), QueueFull> {
        let count = |wanted: &Holder| self.waiting.iter().filter(|waits| waits.item.by == *wanted).count();
        let (waiting, own) = (self.waiting.len(), count(by));
        let held =
            Held { all: waiting as u64, controller: count(&Holder::Controller) as u64, own: own as u64 };
        let room = Pool::with_reserve(self.limits.waiting_max as u64).room(held, by.is_controller());
        if room > 0 { Ok(()) } else { Err(QueueFull { waiting, own }) }
    }

    /// Puts an operation at the end; whoever calls has seen that there is room.
    pub fn push(&mut self, item: Item) {
        self.waiting.push(Waiting { item, passed_over: false });
    }

    /// The operation that may run now, if memory for one is there.
    pub fn next(&self) -> Option<Turn> {
        self.order().into_iter().filter(|place| place.blocked_by.is_none()).find_map(|place| {
            let places_max = NonZeroUsize::new(self.room(place.item))?;
            Some(Turn { id: place.item.id, places_max })
        })
    }

    /// How many others could run now, besides the next.
    pub fn others_ready(&self) -> usize {
        let in_use = self.in_use();
        let ready = |waits: &&Waiting| blocking(&waits.item, &in_use).is_none() && self.room(&waits.item) > 0;
        self.waiting.iter().filter(ready).count().saturating_sub(1)
    }

    /// Lets a waiting operation run with so many places; false if it does not wait.
    pub fn start(&mut self, id: Id, places: usize) -> bool {
        let Some(item) = self.take_waiting(id) else { return false };
        self.turn += 1;
        self.turns.insert(item.team.clone(), self.turn);
        self.forget_turns();
        if item.is_restore {
            let others = self.waiting.iter_mut().filter(|waits| waits.item.team != item.team);
            others.for_each(|waits| waits.passed_over = true);
        }
        self.running.insert(id, Running { item, places });
        true
    }

    /// An operation ended or gave up waiting.
    pub fn remove(&mut self, id: Id) {
        self.take_waiting(id);
        self.running.remove(&id);
    }

    /// Places that an operation may take now, besides what it must have for itself.
    fn room(&self, item: &Item) -> usize {
        let is_controllers = item.by.is_controller();
        let sum = |of: &dyn Fn(&Running) -> usize| -> Held {
            let (mut held, running) = (Held::default(), self.running.values());
            for one in running {
                let count = of(one) as u64;
                held.all += count;
                held.controller += if one.item.by.is_controller() { count } else { 0 };
                // A team's own part is small by what the controller runs for it, too.
                held.own += if one.item.team == item.team { count } else { 0 };
            }
            held
        };
        let operations = reserve_one(self.limits.running_max).room(sum(&|_| 1), is_controllers);
        let places = reserve_one(self.limits.places).room(sum(&|one| one.places), is_controllers);
        if operations == 0 { 0 } else { usize::try_from(places).unwrap_or(usize::MAX) }
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
                None if running >= self.limits.running_max => {
                    format!("a place: {running} operations run, which is the limit, {before} are before it")
                }
                None if self.room(place.item) == 0 && self.places_taken() < self.limits.places => {
                    let (team, own) = (&place.item.team, self.runs_of(&place.item.team));
                    format!("a place: {own} operations of team {team} run, what is free is kept for others")
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
        let places = self.waiting.iter().enumerate().map(|(arrival, Waiting { item, passed_over })| {
            let blocked_by = blocking(item, &in_use);
            let is_late = !item.is_restore && !passed_over;
            let before = own.entry((&item.team, is_late)).or_default();
            let round = *before;
            // Who cannot run now does not use up a turn of its team.
            *before += usize::from(blocked_by.is_none());
            let turn = self.turns.get(&item.team).copied().unwrap_or(0);
            Place { rank: (is_late, round, turn, arrival), item, blocked_by }
        });
        let mut places: Vec<Place<'_>> = places.collect();
        places.sort_by_key(|place| place.rank);
        places
    }

    fn in_use(&self) -> BTreeMap<&str, Id> {
        let items = self.running.values().map(|running| &running.item);
        items.flat_map(|item| item.claims.iter().map(|claim| (claim.name.as_str(), item.id))).collect()
    }

    fn take_waiting(&mut self, id: Id) -> Option<Item> {
        let index = self.waiting.iter().position(|waits| waits.item.id == id)?;
        Some(self.waiting.remove(index).item)
    }

    fn places_taken(&self) -> usize {
        self.running.values().map(|running| running.places).sum()
    }

    fn runs_of(&self, team: &Label) -> usize {
        self.running.values().filter(|running| running.item.team == *team).count()
    }

    fn forget_turns(&mut self) {
        while self.turns.len() > TEAMS_MAX {
            let needed: BTreeSet<&Label> = self.waiting.iter().map(|waits| &waits.item.team).collect();
            let idle = self.turns.iter().filter(|(team, _)| !needed.contains(team));
            let Some(oldest) = idle.min_by_key(|(_, turn)| **turn).map(|(team, _)| team.clone()) else {
                return;
            };
            self.turns.remove(&oldest);
        }
    }
}

/// A pool of which one is set aside, where there are enough.
fn reserve_one(size: usize) -> Pool {
    Pool { size: size as u64, reserve: u64::from(size >= RESERVE_FROM) }
}

/// The first claim of `item` that somebody has, and who.
fn blocking<'i>(item: &'i Item, in_use: &BTreeMap<&str, Id>) -> Option<(&'i str, Id)> {
    item.claims.iter().find_map(|claim| Some((claim.label.as_str(), *in_use.get(claim.name.as_str())?)))
}

#[cfg(test)]
mod tests;
