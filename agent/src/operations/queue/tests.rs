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
        by: Holder::Team(team.parse().unwrap()),
        is_restore,
        claims: claims.iter().map(claim).collect(),
    }
}

fn by_controller(number: u64, team: &str) -> Item {
    Item { by: Holder::Controller, ..item(number, team, false, &[]) }
}

/// A queue in which nobody waits for a place.
fn roomy(waiting_max: usize) -> Queue {
    Queue::new(Limits { waiting_max, running_max: 1_000, places: 1_000 })
}

fn small(places: usize) -> Queue {
    Queue::new(Limits { waiting_max: 100, running_max: 16, places })
}

fn next(queue: &Queue) -> Option<Id> {
    queue.next().map(|turn| turn.id)
}

/// Lets all that may run begin, one place each.
fn run_all(queue: &mut Queue) -> Vec<Id> {
    let mut order = Vec::new();
    while let Some(next) = next(queue) {
        assert!(queue.start(next, 1));
        order.push(next);
    }
    order
}

#[test]
fn restores_first_then_teams_in_turn() {
    let mut queue = roomy(10);
    let wanted =
        [(1, "a", false), (2, "a", false), (3, "a", false), (4, "b", false), (5, "c", true), (6, "b", false)];
    for (number, team, is_restore) in wanted {
        queue.push(item(number, team, is_restore, &[]));
    }
    assert_eq!(run_all(&mut queue), [5, 1, 4, 2, 6, 3].map(id));
}

#[test]
fn a_team_that_comes_back_each_time_does_not_starve_the_others() {
    let mut queue = roomy(10);
    queue.push(item(1, "a", false, &[]));
    (10..13).for_each(|number| queue.push(item(number, "b", false, &[])));
    let mut order = Vec::new();
    for number in 2..6 {
        let next = next(&queue).unwrap();
        queue.start(next, 1);
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
    let mut queue = roomy(10);
    queue.push(item(1, "a", false, &["x"]));
    queue.push(item(2, "a", false, &["y", "x"]));
    queue.push(item(3, "b", false, &[]));
    queue.start(id(1), 1);
    let texts = queue.waits_for();
    assert_eq!(texts[&id(2)], format!("volume /dev/x is in use by operation {}", id(1)));
    assert_eq!(texts[&id(3)], "memory: 1 operations run, 0 are before it");
    assert_eq!(texts.get(&id(1)), None);
    assert_eq!(next(&queue), Some(id(3)), "who is blocked holds nobody up");
    queue.remove(id(1));
    assert_eq!(queue.others_ready(), 1);
}

#[test]
fn the_queue_has_an_end() {
    let mut queue = roomy(1);
    assert_eq!(queue.check_room(&team("a")), Ok(()));
    queue.push(item(1, "a", false, &[]));
    assert_eq!(queue.check_room(&team("a")), Err(QueueFull { waiting: 1, own: 1 }));
    queue.start(id(1), 1);
    assert_eq!(queue.check_room(&team("a")), Ok(()), "who runs does not wait");
}

#[test]
fn no_more_run_than_may() {
    let mut queue = Queue::new(Limits { waiting_max: 0, running_max: 1, places: 4 });
    queue.push(item(1, "a", false, &[]));
    queue.start(id(1), 1);
    assert_eq!(queue.check_room(&team("a")), Ok(()), "one may always wait");
    queue.push(item(2, "a", true, &[]));
    assert_eq!(next(&queue), None);
    assert_eq!(queue.waits_for()[&id(2)], "a place: 1 operations run, which is the limit, 0 are before it");
    queue.remove(id(1));
    assert_eq!(next(&queue), Some(id(2)));
}

#[test]
fn a_team_that_fills_the_queue_leaves_room_to_wait() {
    let mut queue = small(4);
    let mut number = 0;
    let mut fill = |queue: &mut Queue, by: &Holder, most: usize| {
        let before = number;
        while queue.check_room(by).is_ok() && number < before + most as u64 {
            number += 1;
            queue.push(Item { by: by.clone(), ..item(number, "x", false, &[]) });
        }
        number - before
    };
    assert_eq!(fill(&mut queue, &team("a"), 1_000), 44);
    assert_eq!(queue.check_room(&team("a")), Err(QueueFull { waiting: 44, own: 44 }));
    assert_eq!(fill(&mut queue, &team("b"), 10), 10);
    assert_eq!(fill(&mut queue, &Holder::Controller, 1_000), 46, "the controller is refused last");
}

#[test]
fn a_team_that_takes_all_places_it_gets_leaves_one_for_another_and_one_for_the_controller() {
    for places in 2..=16 {
        let mut queue = small(places);
        (0..20).for_each(|number| queue.push(item(number, "a", true, &[])));
        let ran = run_all(&mut queue);
        assert!(!ran.is_empty() && ran.len() < places, "{} of {places}", ran.len());
        queue.push(item(100, "b", false, &[]));
        assert_eq!(run_all(&mut queue), [id(100)], "{places} places: another team runs at once");
        queue.push(by_controller(101, "a"));
        let begun = run_all(&mut queue);
        assert_eq!(begun, if places > 2 { vec![id(101)] } else { vec![] }, "{places} places");
    }
}

#[test]
fn who_is_alone_may_take_several_places_at_once() {
    let mut queue = small(4);
    queue.push(item(1, "a", false, &[]));
    assert_eq!(queue.next().unwrap().places_max.get(), 3, "one is the controller's");
    queue.start(id(1), 2);
    queue.push(item(2, "a", false, &[]));
    assert_eq!(queue.next(), None);
    assert_eq!(
        queue.waits_for()[&id(2)],
        "a place: 1 operations of team a run, what is free is kept for others"
    );
    queue.push(item(3, "b", false, &[]));
    assert_eq!(next(&queue), Some(id(3)));
}

#[test]
fn with_one_place_a_team_waits_for_one_operation_of_another_however_many_there_are() {
    let mut queue = small(1);
    (0..50).for_each(|number| queue.push(item(number, "a", true, &[])));
    let mut runs = next(&queue).unwrap();
    queue.start(runs, 1);
    queue.push(item(100, "b", false, &[]));
    let mut waited = 0;
    for number in 200..260 {
        queue.remove(runs);
        queue.push(item(number, "a", true, &[]));
        runs = next(&queue).unwrap();
        queue.start(runs, 1);
        if runs == id(100) {
            break;
        }
        waited += 1;
    }
    assert!(waited <= 1, "a restore goes first once, {waited} did");
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

fn team(name: &str) -> Holder {
    Holder::Team(name.parse().unwrap())
}

fn claims_meet(left: &Item, right: &Item) -> bool {
    left.claims.iter().any(|claim| right.claims.iter().any(|other| other.name == claim.name))
}

/// Checks what must hold of the next one, where nobody waits for a place.
fn check_next(queue: &Queue) {
    let free =
        |waits: &&Waiting| !queue.running.values().any(|running| claims_meet(&running.item, &waits.item));
    let free: Vec<&Waiting> = queue.waiting.iter().filter(free).collect();
    let Some(next) = next(queue) else {
        assert!(free.is_empty(), "somebody could run and does not");
        return;
    };
    let next = free.iter().find(|waits| waits.item.id == next).expect("the next can run");
    let is_early = |waits: &Waiting| waits.item.is_restore || waits.passed_over;
    assert!(is_early(next) || !free.iter().any(|waits| is_early(waits)), "restores first");
    let turn = |waits: &Waiting| queue.turns.get(&waits.item.team).copied().unwrap_or(0);
    let rivals = free.iter().filter(|waits| is_early(waits) == is_early(next));
    assert!(rivals.clone().all(|waits| turn(waits) >= turn(next)), "the team whose turn is longest ago");
    let own = rivals.filter(|waits| waits.item.team == next.item.team);
    let oldest = own.min_by_key(|waits| waits.item.id).map(|waits| waits.item.id);
    assert!(oldest == Some(next.item.id), "the oldest of its team");
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_hold(steps in proptest::collection::vec(step(), 0..120)) {
        let mut queue = roomy(20);
        let mut pushed = 0;
        let nth = |ids: Vec<Id>, n: u8| ids.get(usize::from(n) % ids.len().max(1)).copied();
        for step in steps {
            match step {
                Step::Push { team, is_restore, claims } => {
                    if queue.waiting() < 20 {
                        pushed += 1;
                        let claims: Vec<String> = claims.iter().map(ToString::to_string).collect();
                        let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
                        queue.push(item(pushed, &format!("t{team}"), is_restore, &claims));
                    }
                }
                Step::Start => {
                    if let Some(next) = next(&queue) {
                        prop_assert!(queue.start(next, 1));
                    }
                }
                Step::End(n) => {
                    if let Some(id) = nth(queue.running.keys().copied().collect(), n) {
                        queue.remove(id);
                    }
                }
                Step::Cancel(n) => {
                    if let Some(id) = nth(queue.waiting.iter().map(|waits| waits.item.id).collect(), n) {
                        queue.remove(id);
                    }
                }
            }
            check_next(&queue);
            let running: Vec<&Item> = queue.running.values().map(|running| &running.item).collect();
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
            let Some(next) = next(&queue) else { break };
            queue.start(next, 1);
            ran += 1;
        }
        prop_assert_eq!(ran, left);
    }
}
