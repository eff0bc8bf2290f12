//! How a backup through agents goes on: which point is taken up, and what follows from how its parts ended. Pure.
//!
//! One point reference is one *round*. A part that was cut off cannot go on under the same point reference, as no object is ever written twice, so it takes a
//! new point for all of them. Agents return what succeeded under a key for ever; once a part succeeded under a point reference that is given up, the
//! next round needs another key, the next *generation* of the caller's.

/// Generations of a key. Each is a look-up at every agent.
pub(crate) const GENERATIONS: u32 = 4;

/// Points that one run opens.
pub(crate) const ROUNDS_MAX: u32 = 4;

/// What separates a generation from the caller's key.
pub(crate) const SEPARATOR: char = '~';

/// The key of operations of a generation, 0 being the caller's own.
pub(crate) fn operation_key(key: &str, generation: u32) -> String {
    match generation {
        0 => key.to_owned(),
        later => format!("{key}{SEPARATOR}{}", later + 1),
    }
}

/// What an agent tells of an operation with the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<T> {
    /// It waits, runs or succeeded, for this point reference.
    Live(T),
    /// It failed.
    Failed,
    /// It was cut off or cancelled: its part of the point is lost.
    Lost,
}

/// How to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begin<T> {
    /// Take up this point.
    Adopt {
        /// Of the key.
        generation: u32,
        /// The point.
        reference: T,
    },
    /// Open a new one.
    Anew {
        /// Of the key.
        generation: u32,
    },
}

/// Chooses from what was found, per generation and agent. `None`: all generations are used up.
pub(crate) fn begin<T: Clone + PartialEq>(found: &[Vec<Option<Found<T>>>]) -> Option<Begin<T>> {
    let Some(newest) = found.iter().rposition(|agents| agents.iter().any(Option::is_some)) else {
        return Some(Begin::Anew { generation: 0 });
    };
    let agents = || found.get(newest).into_iter().flatten().flatten();
    let generation = u32::try_from(newest).ok()?;
    let mut live = agents().filter_map(|found| match found {
        Found::Live(reference) => Some(reference),
        Found::Failed | Found::Lost => None,
    });
    let Some(reference) = live.next() else { return Some(Begin::Anew { generation }) };
    let can_be_finished = live.all(|other| other == reference) && agents().all(|found| *found != Found::Lost);
    if can_be_finished {
        return Some(Begin::Adopt { generation, reference: reference.clone() });
    }
    following(generation).map(|generation| Begin::Anew { generation })
}

/// The next generation, if there is one.
pub(crate) fn following(generation: u32) -> Option<u32> {
    (generation + 1 < GENERATIONS).then_some(generation + 1)
}

/// How an agent's part of a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With records.
    Done,
    /// With an error that trying again at once would not change.
    Failed,
    /// The agent ended before it, or it was stopped for another part's sake.
    Lost,
    /// The agent has it under another point reference, where it lives.
    Elsewhere,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look again what agents have: another call with the same key has begun a point, which is taken up if it can become whole.
    TakeUp,
    /// Commit the point; parts without records become failed volumes.
    Commit,
    /// No part has records: the run fails.
    Fail,
    /// Open another point.
    Another {
        /// Of the key.
        generation: u32,
    },
}

/// Decides when all parts of a round have ended.
pub(crate) fn after(ended: &[Ended], generation: u32, rounds_left: u32) -> Next {
    let any = |wanted: Ended| ended.contains(&wanted);
    if rounds_left > 0 && any(Ended::Elsewhere) {
        return Next::TakeUp;
    }
    if rounds_left > 0 && any(Ended::Lost) {
        // What lives under the key would be returned again as it is.
        let generation = if any(Ended::Done) { following(generation) } else { Some(generation) };
        if let Some(generation) = generation {
            return Next::Another { generation };
        }
    }
    if any(Ended::Done) { Next::Commit } else { Next::Fail }
}

/// Whether the end of one part makes all others useless, so that they are to be stopped.
pub(crate) fn ends_the_round(ended: Ended, rounds_left: u32) -> bool {
    // Under a key that is another call's, too, stopping parts would stop the other's.
    rounds_left > 0 && ended == Ended::Lost
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<Found<u8>> = Some(Found::Live(1));
    const B: Option<Found<u8>> = Some(Found::Live(2));
    const FAILED: Option<Found<u8>> = Some(Found::Failed);
    const LOST: Option<Found<u8>> = Some(Found::Lost);

    #[test]
    fn a_point_is_taken_up_if_it_can_still_become_whole() {
        let check = |found: &[&[Option<Found<u8>>]], expected: Option<Begin<u8>>| {
            let found: Vec<_> = found.iter().map(|agents| agents.to_vec()).collect();
            assert_eq!(begin(&found), expected, "{found:?}");
        };
        let adopt = |generation| Some(Begin::Adopt { generation, reference: 1 });
        let anew = |generation| Some(Begin::Anew { generation });
        check(&[], anew(0));
        check(&[&[None, None], &[None, None]], anew(0));
        check(&[&[A, None]], adopt(0));
        check(&[&[A, A]], adopt(0));
        check(&[&[None, A]], adopt(0));
        check(&[&[A, FAILED]], adopt(0));
        // Nothing lives: the same key starts it again.
        check(&[&[FAILED, None]], anew(0));
        check(&[&[LOST, FAILED]], anew(0));
        // What lives cannot be completed: another key.
        check(&[&[A, LOST]], anew(1));
        check(&[&[A, B]], anew(1));
        // The newest generation counts.
        check(&[&[B, LOST], &[A, None]], adopt(1));
        check(&[&[A, A], &[LOST, LOST]], anew(1));
        let used_up: &[Option<Found<u8>>] = &[A, LOST];
        check(&[used_up; GENERATIONS as usize], None);
    }

    #[test]
    fn a_lost_part_takes_a_new_point_and_a_new_key_only_where_the_old_one_is_taken() {
        use Ended::{Done, Elsewhere, Failed, Lost};
        let check = |ended: &[Ended], left: u32, expected: Next| {
            assert_eq!(after(ended, 0, left), expected, "{ended:?}, {left} left");
        };
        check(&[Done, Done], 3, Next::Commit);
        check(&[Done, Failed], 3, Next::Commit);
        check(&[Failed, Failed], 3, Next::Fail);
        check(&[Lost], 3, Next::Another { generation: 0 });
        check(&[Lost, Failed], 3, Next::Another { generation: 0 });
        check(&[Done, Lost], 3, Next::Another { generation: 1 });
        // One key, two callers: the second takes up what the first began.
        check(&[Elsewhere], 3, Next::TakeUp);
        check(&[Done, Elsewhere], 3, Next::TakeUp);
        check(&[Elsewhere, Lost], 3, Next::TakeUp);
        check(&[Elsewhere], 0, Next::Fail);
        assert!(ends_the_round(Lost, 3) && !ends_the_round(Elsewhere, 3) && !ends_the_round(Lost, 0));
        check(&[Done, Lost], 0, Next::Commit);
        check(&[Lost, Lost], 0, Next::Fail);
        // The last generation has no other after it: what is there is committed.
        assert_eq!(after(&[Done, Lost], GENERATIONS - 1, 3), Next::Commit);
        assert_eq!(after(&[Lost], GENERATIONS - 1, 3), Next::Another { generation: GENERATIONS - 1 });
    }

    #[test]
    fn generations_have_keys_of_their_own() {
        let keys: Vec<String> = (0..GENERATIONS).map(|generation| operation_key("k", generation)).collect();
        assert_eq!(keys, ["k", "k~2", "k~3", "k~4"]);
    }
}
