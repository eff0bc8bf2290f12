//! Which run of a plan begins now, and when the plan is looked at again. Pure.
//!
//! What was decided is remembered in the plan's status; a run's name follows from its slot or trigger. So whoever decides again after a kill
//! decides the same, and makes the same `Backup` or finds it made.

use std::time::Duration;

use coffer_api::ContinuityPlanSpec;
use jiff::{SignedDuration, Timestamp};

use crate::schedule::Slots;

/// How long at most until a plan is looked at again: a clock may be set meanwhile.
const WAKE_MAX: Duration = Duration::from_secs(300);
const WAKE_MIN: Duration = Duration::from_millis(200);

/// What a plan's status remembers of its runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Slots before this are not looked at. `None` while suspended or without a schedule.
    pub active_since: Option<Timestamp>,
    /// The slot that was served or left out last.
    pub last_slot: Option<Timestamp>,
    /// Slots without a run of their own.
    pub missed_slots: i64,
    /// The trigger that was served last.
    pub last_trigger: Option<String>,
    /// How many were served.
    pub served_triggers: i64,
}

/// What is seen of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its team wants.
    pub spec: &'a ContinuityPlanSpec,
    /// Its slots; `None` without a schedule.
    pub slots: Option<&'a Slots>,
    /// Whether a run of it has not ended.
    pub is_running: bool,
    /// The time now.
    pub now: Timestamp,
}

/// A run to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Name of its `Backup`.
    pub name: String,
    /// The slot that it serves; none where a trigger asked.
    pub slot: Option<Timestamp>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The run that begins.
    pub begin: Option<Begin>,
    /// What the status remembers from now on.
    pub memory: Memory,
    /// When the next run may begin by schedule.
    pub next_run: Option<Timestamp>,
    /// When to look again at the latest.
    pub wake_after: Duration,
}

/// Decides.
pub fn decide(seen: &Seen<'_>, memory: &Memory) -> Decision {
    let mut memory = memory.clone();
    let triggered = trigger(seen, &mut memory);
    let scheduled = schedule(seen, &mut memory, triggered.is_some());
    let next_run = next_run(seen, &memory);
    Decision { begin: triggered.or(scheduled), wake_after: wake_after(seen, next_run), memory, next_run }
}

/// A run that the team asked for. It waits for the one that is at work.
fn trigger(seen: &Seen<'_>, memory: &mut Memory) -> Option<Begin> {
    let trigger = seen.spec.trigger.as_ref().filter(|_| !seen.is_running)?;
    if memory.last_trigger.as_ref() == Some(trigger) {
        return None;
    }
    // One word may be given again after another: its place in line tells the runs apart.
    let name = format!("{}-t{}-{}", seen.name, memory.served_triggers + 1, word(trigger));
    memory.last_trigger = Some(trigger.clone());
    memory.served_triggers += 1;
    Some(Begin { name, slot: None })
}

fn schedule(seen: &Seen<'_>, memory: &mut Memory, is_triggered: bool) -> Option<Begin> {
    let Some(slots) = seen.slots.filter(|_| !seen.spec.suspend) else {
        // Once it is resumed, what passed meanwhile is not caught up with.
        memory.active_since = None;
        return None;
    };
    let since = *memory.active_since.get_or_insert(seen.now);
    let after = memory.last_slot.map_or(since, |last| last.max(since));
    let due = slots.due(after, seen.now)?;
    if seen.is_running {
        // It is served when the run has ended, or is one of those that are missed then.
        return None;
    }
    let count = i64::try_from(due.count).unwrap_or(i64::MAX);
    memory.last_slot = Some(due.newest);
    let is_too_late = starting_deadline(seen.spec)
        .is_some_and(|deadline| seen.now.duration_since(due.newest) > deadline + slots.jitter());
    // What a trigger makes now serves the slot as well.
    if is_too_late || is_triggered {
        memory.missed_slots += count - i64::from(is_triggered);
        return None;
    }
    memory.missed_slots += count - 1;
    Some(Begin { name: format!("{}-{}", seen.name, stamp(due.newest)), slot: Some(due.newest) })
}

fn starting_deadline(spec: &ContinuityPlanSpec) -> Option<SignedDuration> {
    let seconds = spec.schedule.as_ref()?.starting_deadline_seconds?;
    Some(SignedDuration::from_secs(i64::from(seconds)))
}

fn next_run(seen: &Seen<'_>, memory: &Memory) -> Option<Timestamp> {
    let since = memory.active_since?;
    let served = memory.last_slot.map_or(since, |last| last.max(since));
    seen.slots?.next_begin(served, seen.now)
}

fn wake_after(seen: &Seen<'_>, next_run: Option<Timestamp>) -> Duration {
    let until = next_run.map(|next| next.duration_since(seen.now));
    let until = until.and_then(|until| Duration::try_from(until).ok()).unwrap_or(WAKE_MAX);
    until.clamp(WAKE_MIN, WAKE_MAX)
}

/// `yyyymmdd-hhmmss`, UTC.
fn stamp(slot: Timestamp) -> String {
    slot.strftime("%Y%m%d-%H%M%S").to_string()
}

/// A trigger as a part of a name: FNV-1a of its text, so that any text will do.
fn word(trigger: &str) -> String {
    let hash = trigger.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests;
