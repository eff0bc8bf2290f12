//! Which ended operations are forgotten. Pure.
//!
//! Each group (a team's own operations, and those that the controller started for it) is forgotten for its own age, number and size only:
//! whatever one does, another's keys keep their meaning.

use std::collections::BTreeMap;

use coffer_format::{Id, Label};

use super::record::Record;
use crate::shares::Holder;

/// What a record takes in memory besides its texts.
const ENTRY_BYTES: u64 = 1_024;

/// Whose history: a team, and whether the team started the operations itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The team.
    pub team: Label,
    /// Whether the team started them.
    pub by_team: bool,
}

/// An operation that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub id: Id,
    /// When.
    pub ended_ms: i64,
    /// Whose.
    pub group: Group,
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes in the journal.
    pub disk: u64,
}

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations of one group.
    pub count_max: usize,
    /// What ended before is forgotten, Unix time in ms.
    pub oldest_ms: i64,
    /// Bytes in memory, all groups together.
    pub memory: u64,
    /// Bytes in the journal, all groups together.
    pub disk: u64,
}

impl Group {
    /// The group that an operation belongs to.
    pub fn of(record: &Record) -> Group {
        Group { team: record.team.clone(), by_team: !started_by(record).is_controller() }
    }
}

/// Who started an operation last.
pub fn started_by(record: &Record) -> Holder {
    let by_team = record.caller.strip_prefix("team ").is_some_and(|team| *team == *record.team.as_ref());
    if by_team { Holder::Team(record.team.clone()) } else { Holder::Controller }
}

/// About how much a record takes in memory.
pub fn memory_bytes(record: &Record) -> u64 {
    let texts = record.key.len() + record.caller.len() + record.team.as_ref().len();
    let volumes: usize = record.volumes.iter().map(|name| name.len() + size_of::<String>()).sum();
    let targets: usize = record.targets_begun.iter().map(|(name, is)| name.len() + is.len() + 96).sum();
    let points = record.points_used.len() * size_of::<Id>();
    let reference =
        record.reference.as_ref().map_or(0, |reference| reference.plan.len() + reference.coordinator.len());
    let failure = record.failure.as_ref().map_or(0, |it| it.message.len() + it.kind.len() + it.advice.len());
    // The key stands in the table of keys, too.
    ENTRY_BYTES + (2 * texts + volumes + targets + points + reference + failure) as u64
}

/// What is forgotten of `ended` when an operation of `newcomer` has just ended, or at the start of the agent. The newest of each group stays.
pub fn surplus(mut ended: Vec<Ended>, limits: Limits, newcomer: Option<&Group>) -> Vec<Id> {
    ended.sort_unstable_by_key(|one| std::cmp::Reverse((one.ended_ms, one.id)));
    let mut counts: BTreeMap<&Group, usize> = BTreeMap::new();
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for one in &ended {
        let count = counts.entry(&one.group).or_default();
        *count += 1;
        if *count > limits.count_max || one.ended_ms < limits.oldest_ms {
            gone.push(one.id);
        } else {
            kept.push(one);
        }
    }
    if let Some(group) = newcomer {
        gone.extend(too_large(&kept, limits, group));
    }
    gone
}

/// Bytes of all groups, and of one.
#[derive(Clone, Copy)]
struct Sizes {
    all: u64,
    own: u64,
}

/// The oldest of `group`, until what it has is not more than what is free; `kept` is newest first.
fn too_large(kept: &[&Ended], limits: Limits, group: &Group) -> Vec<Id> {
    let sum = |bytes: &dyn Fn(&Ended) -> u64| {
        let of = |own: bool| kept.iter().filter(move |one| !own || one.group == *group);
        let (all, own) = (of(false).map(|one| bytes(one)).sum(), of(true).map(|one| bytes(one)).sum());
        Sizes { all, own }
    };
    let (mut memory, mut disk) = (sum(&|one| one.memory), sum(&|one| one.disk));
    let is_over = |held: Sizes, size: u64| held.own > size.saturating_sub(held.all);
    let own: Vec<&&Ended> = kept.iter().filter(|one| one.group == *group).collect();
    let mut gone = Vec::new();
    for one in own.iter().skip(1).rev() {
        if !is_over(memory, limits.memory) && !is_over(disk, limits.disk) {
            break;
        }
        for (held, bytes) in [(&mut memory, one.memory), (&mut disk, one.disk)] {
            held.all -= bytes;
            held.own -= bytes;
        }
        gone.push(one.id);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { count_max: 100, oldest_ms: 0, memory: 1_000, disk: 100_000 };

    fn group(team: &str) -> Group {
        Group { team: team.parse().unwrap(), by_team: true }
    }

    fn ended(number: u64, team: &str, bytes: u64) -> Ended {
        let ended_ms = i64::try_from(number).unwrap();
        Ended {
            id: Id::from_parts(number, [0; 10]),
            ended_ms,
            group: group(team),
            memory: bytes,
            disk: bytes,
        }
    }

    fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<Id> {
        numbers.into_iter().map(|number| Id::from_parts(number, [0; 10])).collect()
    }

    #[test]
    fn number_and_age_are_each_groups_own() {
        let all: Vec<Ended> = (0..10).map(|n| ended(n, if n < 3 { "a" } else { "b" }, 1)).collect();
        let limits = Limits { count_max: 4, ..LIMITS };
        assert_eq!(surplus(all.clone(), limits, None), ids([5, 4, 3]), "b has seven, a three");
        assert_eq!(surplus(all, Limits { oldest_ms: 2, ..LIMITS }, None), ids([1, 0]));
    }

    #[test]
    fn a_team_that_ends_operations_as_fast_as_it_can_forgets_its_own_and_leaves_room() {
        let mut all: Vec<Ended> = (0..40).map(|number| ended(number, "victim", 10)).collect();
        for number in 1_000..3_000 {
            all.push(ended(number, "aggressor", 10));
            for id in surplus(all.clone(), LIMITS, Some(&group("aggressor"))) {
                all.retain(|one| one.id != id);
            }
            assert_eq!(all.iter().filter(|one| one.group == group("victim")).count(), 40);
        }
        let used: u64 = all.iter().map(|one| one.memory).sum();
        assert_eq!(used, 400 + 300, "half of what the victim leaves");
        // And a third team finds room for its own.
        all.push(ended(5_000, "third", 100));
        assert_eq!(surplus(all, LIMITS, Some(&group("third"))), []);
    }

    #[test]
    fn the_newest_stays_however_large_it_is() {
        let all = vec![ended(1, "a", 10), ended(2, "a", 5_000)];
        assert_eq!(surplus(all, LIMITS, Some(&group("a"))), ids([1]));
    }
}
