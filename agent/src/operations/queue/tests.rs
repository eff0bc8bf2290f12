//! What holds of the queue whatever comes and goes.

use proptest::prelude::*;

use super::*;

fn id(number: u64) -> Id {
    Id::from_parts(number, [0; 10])
}

fn item(number: u64, team: &str, is_restore: bool, claims: &[&str]) -> Item {
    let claim = |name: &&str| Claim { name: (*name).to_owned(), label: format!("/dev/{name}") };
    Item {
        id: id(number),
        team: team.parse().unwrap(),
        is_restore,
        claims: claims.iter().map(claim).collect(),
    }
}

fn run_all(queue: &mut Queue) -> Vec<Id> {
    let mut order = Vec::new();
    while let Some(next) = queue.next() {
        assert!(queue.start(next));
        order.push(next);
    }
    order
}

#[test]
fn restores_first_then_teams_in_turn() {
    let mut queue = Queue::new(10, 1_000);
    let wanted =
        [(1, "a", false), (2, "a", false), (3, "a", false), (4, "b", false), (5, "c", true), (6, "b", false)];
    for (number, team, is_restore) in wanted {
        queue.push(item(number, team, is_restore, &[]));
    }
    assert_eq!(run_all(&mut queue), [5, 1, 4, 2, 6, 3].map(id));
}

#[test]
fn a_team_that_comes_back_each_time_does_not_starve_the_others() {
    let mut queue = Queue::new(10, 1_000);
    queue.push(item(1, "a", false, &[]));
    (10..13).for_each(|number| queue.push(item(number, "b", false, &[])));
    let mut order = Vec::new();
    for number in 2..6 {
        let next = queue.next().unwrap();
        queue.start(next);
        queue.remove(next);
        order.push(next);
        if next < id(10) {
            queue.push(item(number, "a", false, &[]));
        }
    }
    assert_eq!(order[..4], [1, 10, 2, 11].map(id));
}

#[test]
fn who_waits_can_say_for_what() {
    let mut queue = Queue::new(10, 1_000);
    queue.push(item(1, "a", false, &["x"]));
    queue.push(item(2, "a", false, &["y", "x"]));
    queue.push(item(3, "b", false, &[]));
    queue.start(id(1));
    let texts = queue.waits_for();
    assert_eq!(texts[&id(2)], format!("volume /dev/x is in use by operation {}", id(1)));
    assert_eq!(texts[&id(3)], "memory: 1 operations run, 0 are before it");
    assert_eq!(texts.get(&id(1)), None);
    assert_eq!(queue.next(), Some(id(3)), "who is blocked holds nobody up");
    queue.remove(id(1));
    assert_eq!(queue.others_ready(), 1);
}

#[test]
fn the_queue_has_an_end() {
    let mut queue = Queue::new(1, 1_000);
    assert_eq!(queue.check_room(), Ok(()));
    queue.push(item(1, "a", false, &[]));
    assert_eq!(queue.check_room(), Err(QueueFull { waiting: 1 }));
    queue.start(id(1));
    assert_eq!(queue.check_room(), Ok(()), "who runs does not wait");
}

#[test]
fn no_more_run_than_may() {
    let mut queue = Queue::new(0, 1);
    queue.push(item(1, "a", false, &[]));
    queue.start(id(1));
    assert_eq!(queue.check_room(), Ok(()), "one may always wait");
    queue.push(item(2, "a", true, &[]));
    assert_eq!(queue.next(), None);
    assert_eq!(queue.waits_for()[&id(2)], "a place: 1 operations run, which is the limit, 0 are before it");
    queue.remove(id(1));
    assert_eq!(queue.next(), Some(id(2)));
}

/// Something that happens to a queue.
#[derive(Debug, Clone)]
enum Step {
    Push { team: u8, is_restore: bool, claims: Vec<u8> },
    Start,
    End(u8),
    Cancel(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let claims = proptest::collection::vec(0_u8..4, 0..3);
    prop_oneof![
        4 => (0_u8..4, any::<bool>(), claims).prop_map(|(team, is_restore, claims)| Step::Push { team, is_restore, claims }),
        3 => Just(Step::Start),
        2 => any::<u8>().prop_map(Step::End),
        1 => any::<u8>().prop_map(Step::Cancel),
    ]
}

fn claims_meet(left: &Item, right: &Item) -> bool {
    left.claims.iter().any(|claim| right.claims.iter().any(|other| other.name == claim.name))
}

/// Checks what must hold of the next one.
fn check_next(queue: &Queue) {
    let free = |item: &&Item| !queue.running.values().any(|running| claims_meet(running, item));
    let free: Vec<&Item> = queue.waiting.iter().filter(free).collect();
    let Some(next) = queue.next() else {
        assert!(free.is_empty(), "somebody could run and does not");
        return;
    };
    let next = free.iter().find(|item| item.id == next).expect("the next can run");
    assert!(next.is_restore || !free.iter().any(|item| item.is_restore), "restores first");
    let turn = |item: &Item| queue.turns.get(&item.team).copied().unwrap_or(0);
    let rivals = free.iter().filter(|item| item.is_restore == next.is_restore);
    assert!(rivals.clone().all(|item| turn(item) >= turn(next)), "the team whose turn is longest ago");
    let own = rivals.filter(|item| item.team == next.team);
    assert!(own.min_by_key(|item| item.id).map(|item| item.id) == Some(next.id), "the oldest of its team");
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_hold(steps in proptest::collection::vec(step(), 0..120)) {
        let mut queue = Queue::new(20, 1_000);
        let mut pushed = 0;
        let nth = |ids: Vec<Id>, n: u8| ids.get(usize::from(n) % ids.len().max(1)).copied();
        for step in steps {
            match step {
                Step::Push { team, is_restore, claims } => {
                    if queue.check_room().is_ok() {
                        pushed += 1;
                        let claims: Vec<String> = claims.iter().map(ToString::to_string).collect();
                        let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
                        queue.push(item(pushed, &format!("t{team}"), is_restore, &claims));
                    }
                }
                Step::Start => {
                    if let Some(next) = queue.next() {
                        prop_assert!(queue.start(next));
                    }
                }
                Step::End(n) => {
                    if let Some(id) = nth(queue.running.keys().copied().collect(), n) {
                        queue.remove(id);
                    }
                }
                Step::Cancel(n) => {
                    if let Some(id) = nth(queue.waiting.iter().map(|item| item.id).collect(), n) {
                        queue.remove(id);
                    }
                }
            }
            check_next(&queue);
            let running: Vec<&Item> = queue.running.values().collect();
            for (index, left) in running.iter().enumerate() {
                prop_assert!(!running[index + 1..].iter().any(|right| claims_meet(left, right)), "one user at a time");
            }
            prop_assert!(queue.waiting() <= 20);
            prop_assert_eq!(queue.waits_for().len(), queue.waiting());
        }
        // Whoever is left gets its turn in the end.
        let left = queue.waiting();
        let mut ran = 0;
        loop {
            let running: Vec<Id> = queue.running.keys().copied().collect();
            running.into_iter().for_each(|id| queue.remove(id));
            let Some(next) = queue.next() else { break };
            queue.start(next);
            ran += 1;
        }
        prop_assert_eq!(ran, left);
    }
}
